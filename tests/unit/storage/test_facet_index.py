"""Numbers of facets, and how many there are."""

from __future__ import annotations

from collections.abc import Sequence

import apsw
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perdure.errors import FacetError
from perdure.storage._database import Database
from perdure.storage._facet_index import FacetIndex
from perdure.wire import SqlValue


@pytest.fixture
def index(database: Database) -> FacetIndex:
    return FacetIndex(database)


def test_facets_are_counted_for_each_that_has_them_below_it(index: FacetIndex) -> None:
    one, two = index.number(0, "one"), index.number(0, "two")
    inner = index.number(one, "inner")
    index.number(inner, "deep")

    assert [tuple(index.count(number)) for number in (0, one, two, inner)] == [(4, 4), (2, 2), (0, 0), (1, 1)]


def test_a_deleted_facet_was_made_once(index: FacetIndex) -> None:
    one = index.number(0, "one")
    index.number(one, "inner")
    before = index.count(0)

    index.remove(one)
    index.number(0, "one")

    assert tuple(before) == (2, 2)
    assert tuple(index.count(0)) == (1, 3)


def test_what_is_kept_is_what_a_new_index_counts(index: FacetIndex, database: Database) -> None:
    index.count(0)
    one = index.number(0, "one")
    index.count(one)
    index.remove(index.number(one, "inner"))
    index.number(one, "other")

    anew = FacetIndex(database)

    assert [index.count(number) for number in (0, one)] == [anew.count(number) for number in (0, one)]


def test_names_come_in_pages(index: FacetIndex) -> None:
    for name in ("b", "a", "\0", "\U0001f600", "ä"):
        index.number(0, name)

    first = index.names(0, start_after="", limit=3)

    assert first == ["\0", "a", "b"]
    assert index.names(0, start_after=first[-1], limit=3) == ["ä", "\U0001f600"]


def test_names_may_hold_anything_but_half_characters(index: FacetIndex) -> None:
    names = ["a\0b", "a", "\0", "\U0001f600" * 64, "'; DROP TABLE _cf_FACETS; --"]
    numbers = [index.number(0, name) for name in names]

    assert [index.number_or_none(0, name) for name in names] == numbers
    assert len(set(numbers)) == len(names)
    with pytest.raises(FacetError, match="257 bytes"):
        index.number(0, "x" * 257)


@given(st.lists(st.tuples(st.integers(0, 3), st.sampled_from("abc"), st.booleans()), max_size=20))
@settings(max_examples=50, deadline=None)
def test_the_index_is_a_tree_of_names(steps: list[tuple[int, str, bool]]) -> None:
    database = MemoryTables()
    index = FacetIndex(database)
    live: dict[int, tuple[int, str]] = {}
    ever = 0
    for choice, name, removes in steps:
        known = [0, *live]
        parent = known[choice % len(known)]
        depth = _depth(live, parent)
        if removes and parent:
            index.remove(parent)
            gone = {parent}
            while more := {child for child, (above, _) in live.items() if above in gone} - gone:
                gone |= more
            live = {number: facet for number, facet in live.items() if number not in gone}
        elif depth < 3:
            number = index.number(parent, name)
            ever += number not in live
            live[number] = (parent, name)
        assert tuple(index.count(0)) == (len(live), ever)
        for number in (0, *live):
            assert index.numbers(number) == {facet[1]: child for child, facet in live.items() if facet[0] == number}
            assert index.count(number) == FacetIndex(database).count(number)


def _depth(live: dict[int, tuple[int, str]], number: int) -> int:
    return 0 if number == 0 else 1 + _depth(live, live[number][0])


class MemoryTables:
    def __init__(self) -> None:
        self._connection = apsw.Connection(":memory:")

    def host_exec(self, query: str, bindings: Sequence[SqlValue] = ()) -> list[tuple[SqlValue, ...]]:
        return self._connection.execute(query, bindings).fetchall()
