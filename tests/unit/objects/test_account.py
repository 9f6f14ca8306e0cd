"""What facets have used, and when it is too much."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdure.api import Budget, FacetLimits
from perdure.errors import BudgetExceededError
from perdure.objects._account import Account, Served

MS = 1_000_000


class Line:
    """A root, a facet, and a facet below that; `stopped` says whom the accounts stopped."""

    def __init__(self) -> None:
        self.stopped: list[str] = []
        self.root = Account("root")
        self.facet = Account("facet", above=self.root, stop=lambda error: self.stopped.append(f"facet: {error.limit}"))
        self.inner = Account("inner", above=self.facet, stop=lambda error: self.stopped.append(f"inner: {error.limit}"))


def charge(account: Account, *, cpu_ms: int = 0, read: int = 0, written: int = 0, served: Served | None = None) -> None:
    account.charge(cpu_ns=cpu_ms * MS, rows_read=read, rows_written=written, served=served)


def test_what_is_used_below_counts_above() -> None:
    line = Line()

    charge(line.inner, cpu_ms=3, read=4, written=5)

    meters = [account.meter for account in (line.inner, line.facet, line.root)]
    assert [(meter.cpu_ns, meter.rows_read, meter.rows_written) for meter in meters] == [(3 * MS, 4, 5)] * 3


def test_a_budget_holds_for_what_is_below() -> None:
    line = Line()
    line.facet.budget = Budget(rows_read=10)

    charge(line.inner, read=10)
    charge(line.inner, read=1)

    assert line.stopped == ["facet: rows_read"]
    with pytest.raises(BudgetExceededError, match="11 of 10 `rows_read`"):
        line.inner.check()


def test_cpu_time_is_overdrawn_when_none_is_left() -> None:
    line = Line()
    line.inner.budget = Budget(cpu_ms=10)

    charge(line.inner, cpu_ms=10)

    assert line.stopped == ["inner: cpu_ms"]


def test_the_last_request_of_a_budget_is_served() -> None:
    line = Line()
    line.inner.budget = Budget(requests=1)

    line.inner.admit(now_ms=5)
    charge(line.inner, read=1)

    assert line.stopped == []
    assert line.root.meter.last_used_ms == 5
    with pytest.raises(BudgetExceededError):
        line.inner.admit(now_ms=6)
    assert line.inner.meter.requests == 1


def test_a_raised_budget_lets_requests_in() -> None:
    line = Line()
    line.inner.budget = Budget(requests=0)
    with pytest.raises(BudgetExceededError):
        line.inner.admit(now_ms=1)

    line.inner.budget = Budget(requests=1)

    line.inner.admit(now_ms=1)


def test_a_turn_has_what_limits_and_budgets_leave() -> None:
    line = Line()
    line.facet.limits = FacetLimits(cpu_ms=50)
    line.facet.budget = Budget(cpu_ms=100)

    assert line.inner.cpu_ms_left(2_000) == 50
    charge(line.inner, cpu_ms=70)
    assert line.inner.cpu_ms_left(2_000) == 30
    assert line.inner.cpu_ms_left(20) == 20


def test_the_tightest_memory_bound_holds() -> None:
    line = Line()
    assert line.inner.memory_mb() is None

    line.facet.limits = FacetLimits(memory_mb=32)
    line.inner.limits = FacetLimits(memory_mb=64)

    assert line.inner.memory_mb() == 32


@given(
    st.lists(st.tuples(st.integers(0, 20), st.integers(0, 50), st.sampled_from(["open", "close", "own", "shared"]))),
)
def test_requests_get_all_that_is_charged_while_one_is_under_way(steps: list[tuple[int, int, str]]) -> None:
    account = Account("facet")
    every: list[Served] = []
    charged = 0
    for cpu_ms, rows, act in steps:
        if act == "open":
            every.append(Served(len(every) + 1, "call", 0.0))
            account.requests.add(every[-1])
        elif act == "close" and account.requests:
            account.requests.pop()
        elif account.requests:
            served = next(iter(account.requests)) if act == "own" else None
            charge(account, cpu_ms=cpu_ms, read=rows, served=served)
            charged += cpu_ms * MS

    assert account.meter.cpu_ns == charged
    assert sum(served.cpu_ns for served in every) == pytest.approx(charged)
    assert sum(served.rows_read for served in every) == pytest.approx(account.meter.rows_read)
