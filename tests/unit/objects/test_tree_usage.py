"""Which meters are to be written down, and what becomes of them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from perdure.api import Budget
from perdure.errors import BudgetExceededError
from perdure.objects._account import Account
from perdure.objects._tree_usage import TreeUsage
from perdure.storage import UsageRow


class Paper:
    """What was written down, and a tree that says when there is more."""

    def __init__(self) -> None:
        self.rows: dict[int, UsageRow] = {}
        self.heard: list[bool] = []
        self.tree = self.new_tree()

    def new_tree(self) -> TreeUsage:
        return TreeUsage(lambda tree, *, is_urgent: self.heard.append(is_urgent))

    def write(self, count: int = 1_000) -> None:
        self.rows.update({row.number: row for row in self.tree.take(count)})

    def account(self, number: int, *, budget: Budget | None = None) -> Account:
        account = Account(f"facet {number}", tree=self.tree, stop=lambda error: None)
        account.number = number
        account.meter = self.tree.meter(number, self.rows.get)
        account.budget = budget
        return account


def charge(account: Account, *, rows: int) -> None:
    account.charge(cpu_ns=1, rows_read=rows, rows_written=0, served=None)


def test_a_facet_that_nobody_bounds_or_asks_for_costs_no_write() -> None:
    paper = Paper()

    charge(paper.account(1), rows=5)

    assert paper.heard == []
    assert paper.tree.unwritten_count == 0


def test_what_a_budget_is_measured_by_is_written() -> None:
    paper = Paper()

    charge(paper.account(1, budget=Budget(rows_read=10)), rows=5)
    paper.write()

    assert paper.rows == {1: UsageRow(1, 0, 1, 5, 0, 0)}
    assert paper.heard == [False]


def test_who_was_asked_for_once_is_kept_from_then_on() -> None:
    paper = Paper()
    charge(paper.account(1), rows=5)

    paper.tree.keep(1)
    paper.write()
    paper.tree = paper.new_tree()
    charge(paper.account(1), rows=2)
    paper.write()

    assert paper.rows[1].rows_read == 7


def test_an_overdrawn_budget_is_urgent() -> None:
    paper = Paper()
    account = paper.account(1, budget=Budget(rows_read=10))

    charge(account, rows=11)

    assert paper.heard == [False, True]
    paper.write()
    try:
        account.check()
    except BudgetExceededError:
        assert paper.heard == [False, True]  # It is written: nothing is urgent any more.


def test_what_could_not_be_written_is_still_to_be_written() -> None:
    paper = Paper()
    charge(paper.account(1, budget=Budget()), rows=1)
    charge(paper.account(2, budget=Budget()), rows=1)

    rows = paper.tree.take(2)
    paper.tree.forget(2)
    paper.tree.give_back(rows)

    assert [row.number for row in paper.tree.take(2)] == [1]


def test_a_number_given_out_anew_begins_at_zero() -> None:
    paper = Paper()
    charge(paper.account(1, budget=Budget()), rows=1)

    meter = paper.tree.begin(1)

    assert meter.rows_read == 0


@given(st.lists(st.tuples(st.sampled_from(["charge", "write", "reload"]), st.integers(1, 3), st.integers(0, 9))))
def test_no_order_of_writes_and_reloads_loses_what_was_written(steps: list[tuple[str, int, int]]) -> None:
    """A process that stops in order writes first; whatever happens between, totals are sums."""
    paper = Paper()
    expected = dict.fromkeys((1, 2, 3), 0)

    for act, number, rows in steps:
        if act == "charge":
            charge(paper.account(number, budget=Budget()), rows=rows)
            expected[number] += rows
        elif act == "write":
            paper.write(number)
        else:
            paper.write()
            paper.tree = paper.new_tree()

    assert {number: paper.account(number).meter.rows_read for number in expected} == expected
