"""How many pages a tree of databases has."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from perdure.storage._layout import Lineage, number_of
from perdure.storage._page_ledger import PageLedger, TreeBound

TREE: list[Lineage] = [(), (1,), (2,), (1, 3), (1, 3, 4), (2, 5)]


def test_a_tree_is_a_database_and_all_below_it() -> None:
    ledger = PageLedger()

    for pages, lineage in enumerate(TREE, 1):
        ledger.record(lineage, pages)

    assert ledger.total(0) == 21
    assert ledger.total(1) == 2 + 4 + 5
    assert ledger.total(3) == 4 + 5
    assert ledger.pages(1) == 2


def test_a_deleted_database_has_no_pages() -> None:
    ledger = PageLedger()
    ledger.record((1,), 4)

    ledger.record((1,), 0)

    assert (ledger.pages(1), ledger.total(1), ledger.total(0)) == (0, 0, 0)


def test_the_tightest_bound_gives_the_room() -> None:
    ledger = PageLedger()
    ledger.record((1,), 4)
    ledger.record((1, 3), 2)
    wide, tight = TreeBound(0, 100, "root"), TreeBound(1, 10, "one")

    assert ledger.room((1, 3), [wide, tight]) == (6, tight)
    assert ledger.room((1, 3), []) is None


def test_what_two_write_at_once_is_claimed_by_one() -> None:
    ledger = PageLedger()
    bound = TreeBound(0, 10, "root")
    ledger.record((1,), 4)
    ledger.record((2,), 4)

    assert ledger.claim((1,), 6, [bound]) is None
    assert ledger.claim((2,), 6, [bound]) == bound
    assert ledger.total(0) == 10


def test_a_tree_that_is_too_large_already_may_shrink() -> None:
    ledger = PageLedger()
    ledger.record((1,), 40)

    assert ledger.claim((1,), 30, [TreeBound(0, 10, "root")]) is None


@given(st.lists(st.tuples(st.sampled_from(TREE), st.integers(0, 20))), st.integers(0, 60))
def test_no_claim_oversteps_a_bound(claims: list[tuple[Lineage, int]], pages_max: int) -> None:
    ledger = PageLedger()
    bound = TreeBound(0, pages_max, "root")
    model: dict[Lineage, int] = {}
    for lineage, pages in claims:
        refused = ledger.claim(lineage, pages, [bound])
        if refused is None:
            model[lineage] = pages
        else:
            assert sum(model.values()) + pages - model.get(lineage, 0) > pages_max
        assert ledger.total(0) == sum(model.values()) <= pages_max
        for other in TREE:
            below = [pages for path, pages in model.items() if path[: len(other)] == other]
            assert ledger.total(number_of(other)) == sum(below)


def test_room_that_is_held_counts_until_it_is_let_go_or_taken() -> None:
    ledger = PageLedger()
    ledger.record((), 2)
    ledger.record((1,), 3)
    bounds = [TreeBound(0, 10, "it")]

    assert ledger.hold((), 4, bounds) is None
    assert ledger.total(0) == 9
    assert ledger.hold((), 2, bounds) == bounds[0]
    assert ledger.claim((1,), 5, bounds) == bounds[0]
    ledger.let_go((), 4)
    assert ledger.total(0) == 5
    assert ledger.hold((), 4, bounds) is None
    assert ledger.claim_all({(2,): 6}, bounds, above=(), held=4) == bounds[0]
    assert (ledger.total(0), ledger.pages(2)) == (9, 0)
    assert ledger.claim_all({(1,): 0, (2,): 5, (2, 3): 3}, bounds, above=(), held=4) is None
    assert (ledger.total(0), ledger.total(2), ledger.total(1)) == (10, 8, 0)
    assert ledger.claim_all({(2,): 4, (2, 3): 0}, [TreeBound(0, 1, "it")], above=(), held=0) is None
