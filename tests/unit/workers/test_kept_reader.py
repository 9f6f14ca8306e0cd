"""What a guest may name in env and props: services that it was given, stubs of its own worker, and no more."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from perdure.api import Capability, Target, lent_by
from perdure.errors import PerdureError, UsageError, ValueNotCloneableError
from perdure.limits import KEPT_STUBS_DEPTH_MAX
from perdure.web import Request
from perdure.workers._references import KeptReader, Read, References


class Named:
    """A target that says how it was named."""

    def __init__(self, what: object, fields: object, props: object) -> None:
        self.named = (what, fields, props)

    async def fetch(self, request: Request) -> Any:
        raise AssertionError

    async def call(self, path: Sequence[str], arguments: object) -> Any:
        raise AssertionError

    async def get(self, path: Sequence[str]) -> Any:
        raise AssertionError


class Session:
    """Establishes whatever is named."""

    async def ask_lent(self, *arguments: object, **more: object) -> Any:
        raise AssertionError

    def returned(self) -> None: ...

    def channel(self, what: object, fields: object, read: Read) -> Target:
        props = read(fields["p"]) if isinstance(fields, dict) and "p" in fields else None
        return Named(what, fields, props)


@pytest.fixture
def references() -> References:
    return References(Session())


def lend(references: References, target: Target) -> int:
    parcel = references.parcel()
    number = parcel.tag(target)[1]
    parcel.seal()
    assert isinstance(number, int)
    return number


def test_a_service_that_it_holds(references: References) -> None:
    service = Named("a", {}, None)
    number = lend(references, service)

    value: Any = KeptReader(references).read({"deep": [[["import", number]]]})

    assert lent_by(value["deep"][0]) is service


@pytest.mark.parametrize("number", [2, 0, -1, True, 1.0, "1", None, [[1]], 2**60])
def test_numbers_that_it_does_not_hold(references: References, number: object) -> None:
    lend(references, Named("a", {}, None))

    with pytest.raises((UsageError, ValueNotCloneableError)):
        KeptReader(references).read(["import", number])


def test_what_is_alive_is_refused(references: References) -> None:
    number = lend(references, Capability("function"))

    for expression in (["import", number], ["export", 1, "service"], ["export", 1, "function"]):
        with pytest.raises(ValueNotCloneableError, match="cannot be serialized in this context"):
            KeptReader(references).read({"a": expression})
    assert not references.is_held  # Nothing of the guest's was taken.


def test_stubs_in_props_of_stubs_have_an_end(references: References) -> None:
    def nested(depth: int) -> object:
        tree: object = {}
        for _ in range(depth):
            tree = ["channel", "export", {"x": "A", "p": tree}]
        return tree

    KeptReader(references).read(nested(KEPT_STUBS_DEPTH_MAX))
    for depth in (KEPT_STUBS_DEPTH_MAX + 1, 200):
        with pytest.raises(UsageError, match="the limit"):
            KeptReader(references).read(nested(depth))


def test_an_ended_life_gives_nothing(references: References) -> None:
    number = lend(references, Named("a", {}, None))
    references.end(PerdureError("over"))

    with pytest.raises(PerdureError, match="over"):
        KeptReader(references).read(["import", number])


def test_numbers_go_on_in_the_next_life(references: References) -> None:
    before = lend(references, Named("a", {}, None))
    references.end(PerdureError("over"))
    after = References(Session(), after=references)

    assert lend(after, Named("b", {}, None)) > before
    with pytest.raises(UsageError):
        KeptReader(after).read(["import", before])
