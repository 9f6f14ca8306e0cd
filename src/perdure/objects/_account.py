"""Account: what a facet and everything below it have used, and what its supervisor lets them use.

What an object uses is charged to its account and to those above, so that a budget holds for a whole subtree. A root
object has an account too, which nobody bounds: it sums up its facets.
Effects: none.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from perdure.api import Budget, FacetLimits
from perdure.errors import BudgetExceededError
from perdure.objects._tree_usage import Meter, TreeUsage

_NS_PER_MS: Final = 1_000_000


@dataclass(slots=True, eq=False)
class Served:
    """One request under way."""

    request_id: int
    method: str
    started_s: float
    cpu_ns: float = 0.0
    rows_read: float = 0.0
    rows_written: float = 0.0


def _nobody(error: BudgetExceededError) -> None:
    raise AssertionError(f"an account without a budget was overdrawn: {error}")


class Account:
    """The account of one object. `stop` ends the object when it is overdrawn."""

    __slots__ = ("_line", "budget", "limits", "meter", "number", "requests", "scope", "stop", "tree")

    def __init__(
        self,
        scope: str,
        *,
        above: Account | None = None,
        tree: TreeUsage | None = None,
        stop: Callable[[BudgetExceededError], None] = _nobody,
    ) -> None:
        self.scope: Final = scope
        self.tree: Final[TreeUsage] = above.tree if above is not None else tree or TreeUsage()
        """The meters of all that belong to one root object."""
        self._line: Final = (self, *(above.line if above is not None else ()))
        self.stop = stop
        self.number = -1
        """Of the object's database, once that was opened."""
        self.meter = Meter()
        self.limits = FacetLimits()
        self.budget: Budget | None = None
        self.requests: set[Served] = set()
        """Those under way."""

    @property
    def line(self) -> tuple[Account, ...]:
        """This account and those above it."""
        return self._line

    def charge(self, *, cpu_ns: int, rows_read: int, rows_written: int, served: Served | None) -> None:
        """Add what a turn used. Without `served` it belongs to all requests under way alike.

        Stops every object whose budget is used up.
        """
        sharing = [served] if served is not None else list(self.requests)
        for request in sharing:
            request.cpu_ns += cpu_ns / len(sharing)
            request.rows_read += rows_read / len(sharing)
            request.rows_written += rows_written / len(sharing)
        for account in self.line:
            meter = account.meter
            meter.cpu_ns += cpu_ns
            meter.rows_read += rows_read
            meter.rows_written += rows_written
            account.count()
        for account in self.line:
            error = account.overdrawn_or_none(is_admission=False)
            if error is not None:
                self.tree.overdrawn(account.number)
                account.stop(error)

    def admit(self, *, now_ms: int) -> None:
        """A request comes. Raises BudgetExceededError when a budget, here or above, is used up."""
        self.check()
        for account in self.line:
            account.meter.requests += 1
            account.meter.last_used_ms = now_ms
            account.count()

    def count(self) -> None:
        """The meter has moved: what a budget is measured by is kept."""
        if self.budget is not None and not self.meter.is_kept:
            self.meter.is_kept = True
        if self.meter.is_kept:
            self.tree.count(self.number)

    def check(self) -> None:
        """Raise BudgetExceededError when a budget, here or above, leaves nothing."""
        for account in self.line:
            error = account.overdrawn_or_none(is_admission=True)
            if error is not None:
                self.tree.overdrawn(account.number)
                raise error

    def overdrawn_or_none(self, *, is_admission: bool) -> BudgetExceededError | None:
        """The error when this account's budget is used up. A request is admitted while something of all is left."""
        budget = self.budget
        if budget is None:
            return None
        for limit in ("cpu_ms", "requests", "rows_read", "rows_written"):
            bound: int | None = getattr(budget, limit)
            if bound is None or (limit == "requests" and not is_admission):
                continue
            used = self.meter.used(limit)
            if used > bound or (used == bound and (is_admission or limit == "cpu_ms")):
                return BudgetExceededError(
                    f"`{self.scope}` has used up its budget: {used} of {bound} `{limit}`; it takes no further event "
                    "until its supervisor raises the budget",
                    limit=limit,
                )
        return None

    def cpu_ms_left(self, cpu_ms: int) -> int:
        """How much of `cpu_ms` one turn may use: no more than what limits and budgets leave."""
        for account in self.line:
            if account.limits.cpu_ms is not None:
                cpu_ms = min(cpu_ms, account.limits.cpu_ms)
            if account.budget is not None and account.budget.cpu_ms is not None:
                left_ns = account.budget.cpu_ms * _NS_PER_MS - account.meter.cpu_ns
                cpu_ms = min(cpu_ms, -(-left_ns // _NS_PER_MS))
        return max(1, cpu_ms)

    def memory_mb(self) -> int | None:
        """The tightest bound on an isolate's memory, here or above."""
        bounds = [account.limits.memory_mb for account in self.line if account.limits.memory_mb is not None]
        return min(bounds, default=None)
