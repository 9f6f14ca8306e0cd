"""Savepoints: which transactions of the user's code are open inside a unit, and whether its writes need confirmation.

They nest, and only the innermost may end. One that was begun by `transaction()` may stay open over several turns; one
of `transaction_sync()` must end within its turn. A write without confirmation holds back no reply; one that needs it
makes the whole unit need it, unless it is rolled back (spec 2.4). Effects: none.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from perdure.errors import UsageError
from perdure.limits import TRANSACTION_DEPTH_MAX


class Savepoint(NamedTuple):
    """One open transaction; `number` is its place, the outermost has 1."""

    number: int
    is_sync: bool
    was_confirmed: bool

    @property
    def name(self) -> str:
        """What SQLite calls it."""
        return f"_cf_{'sync_' if self.is_sync else ''}savepoint_{self.number}"


@dataclass(slots=True)
class Savepoints:
    """The open ones, outermost first. `is_confirmed`: something was written that must be confirmed."""

    is_confirmed: bool = False
    _open: list[Savepoint] = field(default_factory=list)

    @property
    def depth(self) -> int:
        """How many are open."""
        return len(self._open)

    @property
    def is_explicit(self) -> bool:
        """Whether one of them may outlive the turn."""
        return any(not savepoint.is_sync for savepoint in self._open)

    @property
    def left_open(self) -> Savepoint | None:
        """The innermost one when it had to end within the turn."""
        return self._open[-1] if self._open and self._open[-1].is_sync else None

    def begin(self, *, is_sync: bool) -> Savepoint:
        """Open one inside the others. Raises UsageError when they are nested too deeply."""
        if self.depth >= TRANSACTION_DEPTH_MAX:
            raise UsageError(f"transactions are nested too deeply: the limit is {TRANSACTION_DEPTH_MAX}")
        savepoint = Savepoint(self.depth + 1, is_sync, self.is_confirmed)
        self._open.append(savepoint)
        return savepoint

    def innermost(self, number: int) -> Savepoint:
        """The one with this number, which is to end. Raises UsageError unless it is the innermost."""
        if not 0 < number <= self.depth:
            raise UsageError("this transaction has ended already: it cannot be committed or rolled back again")
        if number < self.depth:
            raise UsageError("Cannot roll back an outer transaction while a nested transaction is still running")
        return self._open[-1]

    def release(self) -> None:
        """The innermost one ended well: what it wrote belongs to the one around it."""
        self._open.pop()

    def roll_back(self) -> None:
        """The innermost one is undone: so is whatever in it needed confirmation."""
        self.is_confirmed = self._open.pop().was_confirmed

    def clear(self) -> None:
        """The unit has ended, and all of them with it."""
        self._open.clear()
        self.is_confirmed = False
