"""What people write for an object means one thing, or is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdure.errors import UnknownObjectError, UsageError
from perdure.objects import IdFactory
from perdure.server._references import all_paths, candidates, facet_path, reference
from perdure.storage import ObjectKey

KEY = ObjectKey("Room", IdFactory("Room").from_name("a"))
FACETS = {0: {"app": 1, "a": 2, "a/b": 3}, 1: {"deep": 4, "de/ep": 5}, 2: {"b": 6, "c": 7}}


@given(st.text(min_size=1, max_size=30))
def test_a_printed_reference_leads_back(name: str) -> None:
    key = ObjectKey("Room", IdFactory("Room").from_name(name))

    ways = candidates(reference(key, name))

    assert any(way.first <= key.object_id <= way.last and way.namespace in {"Room", None} for way in ways)
    assert all(way.facets == "" for way in ways)


@pytest.mark.parametrize("text", ["", "Room", "Room/", "/a", "#", "#xyz", "#12", f"#{'0' * 65}"])
def test_what_names_no_object_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"names no object|is no id"):
        candidates(text)


def test_a_name_may_hold_the_sign_of_facets() -> None:
    names = ["a:b:c", "a:b", "a"]
    ids = [IdFactory("Room").from_name(name) for name in names]

    ways = candidates("Room/a:b:c")

    assert {(ids[0], ""), (ids[1], "c"), (ids[2], "b:c")} <= {(way.first, way.facets) for way in ways}
    assert {way.facets for way in ways} == {"", "c", "b:c"}


def test_an_object_of_a_jurisdiction_is_found_by_its_name_and_printed_by_its_id() -> None:
    key = ObjectKey("Room", IdFactory("Room").from_name("a", "eu"))

    assert key.object_id in {way.first for way in candidates("Room/a")}
    assert reference(key, "a") == f"#{key.object_id.hex()}"


def test_an_id_may_be_cut_short() -> None:
    (way,) = candidates(f"#{KEY.object_id.hex()[:5]}:app")

    assert way.namespace is None
    assert way.first <= KEY.object_id <= way.last
    assert way.facets == "app"


@pytest.mark.parametrize(
    ("text", "path"),
    [("", ()), ("app", ("app",)), ("app/deep", ("app", "deep")), ("app/de/ep", ("app", "de/ep")), ("a/c", ("a", "c"))],
)
def test_facets_are_found_by_their_names(text: str, path: tuple[str, ...]) -> None:
    assert facet_path(text, FACETS) == path


def test_a_path_that_leads_two_ways_is_refused() -> None:
    with pytest.raises(UnknownObjectError, match="more than one way"):
        facet_path("a/b", FACETS)


def test_an_unknown_facet_is_told_what_there_is() -> None:
    with pytest.raises(UnknownObjectError, match="its facets are: `app`, `app/deep`"):
        facet_path("ap", FACETS)


def test_all_paths_name_each_facet_once() -> None:
    assert sorted(all_paths(FACETS)) == ["a", "a/b", "a/b", "a/c", "app", "app/de/ep", "app/deep"]
