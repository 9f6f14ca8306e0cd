"""A hundred thousand facets under one root: found, listed and counted without reading them all."""

from __future__ import annotations

from perdure.limits import FACET_LIST_PAGE_NAMES
from perdure.storage._database import Database
from perdure.storage._facet_index import FacetIndex

MANY = 100_000


def test_a_hundred_thousand_facets_have_an_index(database: Database) -> None:
    index = FacetIndex(database)
    index.number(0, "facet 000001")
    for number in range(2, MANY + 1):
        database.host_exec("INSERT INTO _cf_FACETS VALUES (?, 0, ?)", (number, f"facet {number:06}"))
    database.commit()
    index = FacetIndex(database)

    assert tuple(index.count(0)) == (MANY, MANY)
    assert index.number_or_none(0, f"facet {MANY:06}") == MANY
    assert index.number(0, "one more") == MANY + 1
    assert tuple(index.count(0)) == (MANY + 1, MANY + 1)
    index.remove(5)
    assert tuple(index.count(0)) == (MANY, MANY + 1)
    page = index.names(0, start_after="facet 050000", limit=FACET_LIST_PAGE_NAMES)
    assert page == [f"facet {number:06}" for number in range(50_001, 50_001 + FACET_LIST_PAGE_NAMES)]


def test_each_look_uses_an_index(database: Database) -> None:
    FacetIndex(database).number(0, "a")

    for query in (
        "SELECT number FROM _cf_FACETS WHERE parent = 0 AND name = 'a'",
        "SELECT name FROM _cf_FACETS WHERE parent = 0 AND name > 'a' ORDER BY name LIMIT 10",
        "SELECT parent FROM _cf_FACETS WHERE number = 1 AND name IS NOT NULL",
    ):
        plan = " ".join(str(row[-1]) for row in database.host_exec(f"EXPLAIN QUERY PLAN {query}"))
        assert "SEARCH" in plan
        assert "SCAN" not in plan
        assert "TEMP B-TREE" not in plan
