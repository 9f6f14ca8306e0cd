"""Kept values: copies, and services that are written for one sandbox after the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from perdure.api import Capability, Copies, KeptValue, RpcStub, Service, Stub, kind_of, lent_by
from perdure.errors import ValueNotCloneableError
from perdure.testing import run_sim
from perdure.web import Request, Response


class Thing:
    """A target that counts who asked for it again."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.again_asked = 0

    def again(self) -> Thing:
        self.again_asked += 1
        return Thing(f"{self.name} again")

    async def fetch(self, request: Request) -> Response:
        return Response(self.name)

    async def call(self, path: Sequence[str], arguments: Sequence[object] | Copies) -> Any:
        return [self.name, *path]

    async def get(self, path: Sequence[str]) -> Any:
        return self.name


class Writer:
    """Numbers what is introduced, from 7 on."""

    def __init__(self) -> None:
        self.met: list[object] = []

    def introduce(self, value: object) -> list[object] | None:
        assert isinstance(value, Stub)
        target = lent_by(value)
        assert target is not None
        if target not in self.met:
            self.met.append(target)
        return ["export", 7 + self.met.index(target), kind_of(target)]

    def mark(self) -> int:
        return 0

    def rewind(self, mark: int) -> None: ...


def test_a_value_without_stubs_is_its_expression() -> None:
    given = {"a": [1, {2}]}
    kept = KeptValue.of(given)
    given["a"] = []

    assert kept.services == []
    assert kept.written(Writer()) is kept.tree
    assert kept.value() == {"a": [1, {2}]}


def test_stubs_get_the_numbers_of_each_reader() -> None:
    kept = KeptValue.of({"a": Stub(Thing("a")), "more": [Stub(Thing("b"))]})

    assert [kept.written(Writer()) for _ in range(2)] == [
        {"a": ["export", 7, "service"], "more": [[["export", 8, "service"]]]}
    ] * 2
    assert KeptValue.of(kept.value()).services == kept.services  # Not wrapped again.


def test_a_service_is_established_for_each_call() -> None:
    async def scenario() -> None:
        thing = Thing("a")
        stub = KeptValue.of([Stub(thing)]).value()[0]

        assert await stub.hello() == ["a again", "hello"]
        assert await stub.name == "a again"
        assert await (await stub.fetch("http://x/")).text() == "a again"
        assert thing.again_asked == 3
        assert await Service(Service(thing)).get(["x"]) == "a again"

    run_sim(scenario)


@pytest.mark.parametrize("value", [lambda: None, print, object()])
def test_what_is_alive_is_refused(value: object) -> None:
    with pytest.raises(ValueNotCloneableError):
        KeptValue.of({"deep": [value]})


def test_a_stub_of_what_is_alive_is_refused() -> None:
    with pytest.raises(ValueNotCloneableError, match='"RpcStub", it cannot be serialized in this context'):
        KeptValue.of([RpcStub(Capability("function"))])
