"""Names of facets, and what a start callback may return."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from perdure.api import (
    Budget,
    DurableObjectClass,
    FacetEvent,
    FacetLimits,
    FacetOptions,
    Facets,
    FacetUsage,
    ObjectId,
    StartFacet,
    Target,
    facet_options,
    no_start_facet,
)
from perdure.errors import FacetError
from perdure.limits import FACET_LIST_PAGE_NAMES


class RecordingCalls:
    def __init__(self) -> None:
        self.calls: list[tuple[object, ...]] = []
        self.names: list[str] = []

    def start_by_name(self, name: str) -> StartFacet:
        raise no_start_facet(name, "App")

    def get(self, name: str, start: StartFacet) -> Target:
        self.calls.append(("get", name))
        return None  # type: ignore[return-value]  # nobody uses it

    def abort(self, name: str, reason: str) -> None:
        self.calls.append(("abort", name, reason))

    def delete(self, name: str) -> None:
        self.calls.append(("delete", name))

    async def clone(self, source: str, target: str) -> None:
        self.calls.append(("clone", source, target))

    def list(self, start_after: str, limit: int) -> list[str]:
        self.calls.append(("list", start_after, limit))
        return [name for name in self.names if name > start_after][:limit]

    async def rewind(self, name: str, to: str | int) -> str:
        self.calls.append(("rewind", name, to))
        return "undo"

    async def usage(self, name: str | None) -> FacetUsage:
        self.calls.append(("usage", name))
        return FacetUsage(0, 0, 0, 0, 0.0, 0, 0, 0, None)

    def set_budget(self, name: str, budget: Budget | None) -> None:
        self.calls.append(("set_budget", name, budget))

    def events(self) -> AsyncIterator[FacetEvent]:
        raise AssertionError("nobody listens")


def never() -> object:
    raise AssertionError("a start callback was called")


ACTS: list[Callable[[Facets, Any], object]] = [
    lambda facets, name: facets.get(name, never),
    lambda facets, name: facets.abort(name),
    lambda facets, name: facets.delete(name),
]


@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize("name", ["x" * 257, "é" * 129, "\U0001f600" * 65])
def test_a_name_of_more_than_256_bytes_is_refused_at_the_call(act: Callable[[Facets, Any], object], name: str) -> None:
    calls = RecordingCalls()

    with pytest.raises(FacetError, match=r"Facet name is too long \(max 256 characters\)"):
        act(Facets(calls), name)

    assert calls.calls == []
    assert issubclass(FacetError, TypeError)


@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize("name", ["x" * 256, "é" * 128, "\0", "\U0001f600" * 64, " "])
def test_a_name_of_256_bytes_is_fine(act: Callable[[Facets, Any], object], name: str) -> None:
    calls = RecordingCalls()

    act(Facets(calls), name)

    assert calls.calls[0][1] == name


@pytest.mark.parametrize("act", ACTS)
def test_half_a_character_is_refused(act: Callable[[Facets, Any], object]) -> None:
    with pytest.raises(FacetError, match="half a character at 1"):
        act(Facets(RecordingCalls()), "a\ud800")


@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize("name", ["", None, 1, b"a"])
def test_a_name_is_a_string_that_is_not_empty(act: Callable[[Facets, Any], object], name: object) -> None:
    with pytest.raises(FacetError, match="a facet's name is a string"):
        act(Facets(RecordingCalls()), name)


def test_get_calls_nothing() -> None:
    Facets(RecordingCalls()).get("a", never)


def test_start_must_be_callable() -> None:
    with pytest.raises(FacetError, match="start is a function that returns FacetOptions, not `FacetOptions`"):
        Facets(RecordingCalls()).get("a", FacetOptions(cls=int))  # type: ignore[arg-type]  # that is the point


def test_the_reason_of_an_abort_becomes_text() -> None:
    calls = RecordingCalls()

    Facets(calls).abort("a", ValueError("why"))  # type: ignore[arg-type]  # JavaScript's habit

    assert calls.calls == [("abort", "a", "why")]


class Inner:
    """Stands for a user's class."""


HANDLE = DurableObjectClass("any")


class LoopbackNamespace:
    durable_object_class = HANDLE


@pytest.mark.parametrize(
    ("answer", "kind", "identity"),
    [
        (FacetOptions(cls=Inner), Inner, None),
        (FacetOptions(cls=HANDLE, id="x"), HANDLE, "x"),
        ({"class": HANDLE}, HANDLE, None),
        ({"cls": HANDLE, "id": "x"}, HANDLE, "x"),
        (HANDLE, HANDLE, None),
        (Inner, Inner, None),
        (LoopbackNamespace(), HANDLE, None),
        (FacetOptions(cls=LoopbackNamespace(), id=ObjectId("ab", name="n")), HANDLE, "ab"),  # type: ignore[arg-type]  # allowed
    ],
)
def test_what_a_start_callback_may_return(answer: object, kind: object, identity: str | None) -> None:
    options = facet_options(answer)

    assert (options.cls, options.id, options.inherit_id) == (kind, identity, False)


@pytest.mark.parametrize("answer", [FacetOptions(Inner, inherit_id=True), {"class": Inner, "inheritId": True}])
def test_a_facet_may_have_its_parents_id(answer: object) -> None:
    assert facet_options(answer).inherit_id


def test_a_facet_has_one_id() -> None:
    with pytest.raises(FacetError, match="not both"):
        facet_options(FacetOptions(Inner, id="x", inherit_id=True))


@pytest.mark.parametrize("answer", [None, 1, {}, {"class": "App"}, "App", FacetOptions(cls=None)])
def test_anything_else_is_refused(answer: object) -> None:
    with pytest.raises(FacetError, match="the start callback of a facet returned"):
        facet_options(answer)


def test_ids_are_compared_by_their_bytes_alone() -> None:
    assert ObjectId("ab", name="x").equals(ObjectId("ab"))
    assert not ObjectId("ab").equals(ObjectId("cd"))
    assert not ObjectId("ab").equals("ab")
    assert len({ObjectId("ab", name="x"), ObjectId("ab")}) == 1
    assert str(ObjectId("ab", name="x")) == "ab"


def test_names_are_listed_page_by_page() -> None:
    calls = RecordingCalls()
    calls.names = sorted(f"{number:05}" for number in range(2_500))

    assert Facets(calls).list() == calls.names
    assert [call[2] for call in calls.calls] == [FACET_LIST_PAGE_NAMES] * 3
    assert Facets(calls).list(start_after="00009", limit=2) == ["00010", "00011"]
    assert Facets(calls).list(limit=0) == []


@pytest.mark.parametrize("limit", [-1, 1.5, True, "1"])
def test_a_limit_is_a_whole_number(limit: Any) -> None:
    with pytest.raises(FacetError, match="takes a whole number"):
        Facets(RecordingCalls()).list(limit=limit)


def test_limits_may_be_written_as_a_mapping() -> None:
    options = facet_options({"class": Inner, "limits": {"databaseBytes": 5, "cpu_ms": 7}, "budget": {"rowsRead": 9}})

    assert options.limits == FacetLimits(database_bytes=5, cpu_ms=7)
    assert options.budget == Budget(rows_read=9)


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"limits": {"bytes": 1}}, "limits of a facet have no `bytes`; there are: database_bytes, tree_bytes"),
        ({"limits": 5}, "are a FacetLimits"),
        ({"budget": {"cpu_ms": -1}}, "Budget.cpu_ms is `-1`"),
        ({"budget": {"requests": "many"}}, "Budget.requests is `'many'`"),
        ({"limits": {"facets": True}}, "FacetLimits.facets is `True`"),
    ],
)
def test_limits_that_make_no_sense_are_refused(given: dict[str, object], text: str) -> None:
    with pytest.raises(FacetError) as caught:
        facet_options({"class": Inner, **given})

    assert text in str(caught.value)
