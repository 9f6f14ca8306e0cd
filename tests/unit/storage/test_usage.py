"""The table of what facets have used."""

from __future__ import annotations

import pytest

from perdure.storage._database import Database
from perdure.storage._facet_index import FacetIndex
from perdure.storage._usage import UsageRow, all_usage, usage_or_none, write_usage


@pytest.fixture
def index(database: Database) -> FacetIndex:
    return FacetIndex(database)


def row(number: int, requests: int = 1) -> UsageRow:
    return UsageRow(number, requests, 2, 3, 4, 5)


def test_totals_are_read_back(database: Database, index: FacetIndex) -> None:
    number = index.number(0, "a")

    write_usage(database, [row(0), row(number)])
    write_usage(database, [row(number, requests=9)])

    assert usage_or_none(database, number) == row(number, requests=9)
    assert all_usage(database) == [row(0), row(number, requests=9)]


def test_asking_makes_no_table(database: Database) -> None:
    assert usage_or_none(database, 1) is None
    assert all_usage(database) == []
    assert not database.in_unit


def test_a_deleted_facet_has_no_row(database: Database, index: FacetIndex) -> None:
    outer = index.number(0, "a")
    inner = index.number(outer, "b")
    write_usage(database, [row(0), row(outer), row(inner)])

    index.remove(outer)
    write_usage(database, [row(inner)])  # Whoever was about to write it comes late.

    assert all_usage(database) == [row(0)]


def test_a_table_that_was_rolled_back_is_made_again(database: Database) -> None:
    write_usage(database, [row(0)])
    database.rollback()

    write_usage(database, [row(0)])

    assert all_usage(database) == [row(0)]
