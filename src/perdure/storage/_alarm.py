"""The alarm of one database: one row of the host's table `_cf_ALARM`, inside the unit of whoever changes it (spec 3.9).

Retries are counted in the row, so they commit with the object and outlive the process. While its handler runs a row
stays, so that a crash fires it again; `get` hides it, and whoever ends the run says which `generation` ran, so that an
alarm set meanwhile is never taken for it. Effects: disk.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, Protocol

from perdure.limits import ALARM_RETRIES_MAX
from perdure.storage._journal import AlarmChange
from perdure.wire import SqlValue

_TABLE: Final = """
CREATE TABLE IF NOT EXISTS _cf_ALARM(
    one INTEGER PRIMARY KEY CHECK (one = 1), scheduled_ms INTEGER NOT NULL, attempt_ms INTEGER NOT NULL,
    retries INTEGER NOT NULL, exponent INTEGER NOT NULL, generation INTEGER NOT NULL)
"""
ALARM_TABLE_QUERY: Final = "SELECT 1 FROM sqlite_schema WHERE name = '_cf_ALARM'"
_READ: Final = "SELECT scheduled_ms, attempt_ms, retries, exponent, generation FROM _cf_ALARM"
_WRITE: Final = (
    "INSERT OR REPLACE INTO _cf_ALARM(one, scheduled_ms, attempt_ms, retries, exponent, generation) "
    "VALUES (1, ?, ?, ?, ?, ?)"
)


class AlarmRow(NamedTuple):
    """An alarm: the time asked for, and that of the next attempt.

    `retries`: the failures that were counted; `exponent`: of the next delay; `generation`: which setting of it this is.
    """

    scheduled_ms: int
    attempt_ms: int
    retries: int
    exponent: int
    generation: int


class HostTables(Protocol):
    """Host statements on one database, inside its open unit if they write."""

    def host_exec(
        self, query: str, bindings: Sequence[SqlValue] = (), *, is_confirmed: bool = True
    ) -> list[tuple[SqlValue, ...]]: ...


class Alarm:
    """See the module. What it reads it reads anew each time: a rollback needs no word to it."""

    __slots__ = ("_generation_last", "_is_touched", "_running", "_tables")

    def __init__(self, tables: HostTables) -> None:
        self._tables = tables
        self._is_touched = False
        self._running = 0
        self._generation_last = 0

    # ── what the object's code asks ──────────────────────────────────────────────────────────────────────────

    def get(self) -> int | None:
        """The time asked for; None without an alarm, and while its handler runs unless that set a new one."""
        row = self.row_or_none()
        return None if row is None or row.generation == self._running else row.scheduled_ms

    def set(self, at_ms: int, *, now_ms: int, is_confirmed: bool = True) -> None:
        """Have an alarm at `at_ms`, or now if that is past, instead of what there was; the same changes nothing.

        Unless `is_confirmed`, no reply waits for it to be durable.
        """
        row = self.row_or_none()
        at_ms = max(at_ms, now_ms)
        if row is not None and row.generation != self._running and (row.scheduled_ms, row.retries) == (at_ms, 0):
            return
        # Rows come and go, so their own numbers are not enough to tell an alarm from one that was deleted before.
        former = 0 if row is None else row.generation
        self._generation_last = max(now_ms, former + 1, self._generation_last + 1)
        self._write(AlarmRow(at_ms, at_ms, 0, 0, self._generation_last), is_confirmed=is_confirmed)

    def delete(self, *, is_confirmed: bool = True) -> None:
        """Have no alarm. The one whose handler runs stays until that has ended: it is at its end anyway."""
        row = self.row_or_none()
        if row is not None and row.generation != self._running:
            self._remove(is_confirmed=is_confirmed)

    # ── what its runs say ────────────────────────────────────────────────────────────────────────────────────

    def begin(self, *, now_ms: int) -> AlarmRow | None:
        """The alarm to run now; None when there is none, or none that is due."""
        row = self.row_or_none()
        if row is None or row.attempt_ms > now_ms:
            return None
        self._running = row.generation
        return row

    def finish(self, generation: int) -> None:
        """Its handler succeeded, or it is to be dropped."""
        if self._is_still(generation):
            self._remove()

    def fail(
        self, generation: int, *, now_ms: int, delay_ms: Callable[[int], int], begins_anew: bool = False
    ) -> AlarmRow | None:
        """Its handler failed: the next attempt, None when there is none: it was the last, or another alarm is set.

        `delay_ms`: how long to wait, by exponent; it `begins_anew` with the shortest delay.
        """
        row = self.row_or_none()
        if row is None or row.generation != generation:
            return None
        if row.retries >= ALARM_RETRIES_MAX:
            self._remove()
            return None
        exponent = 0 if begins_anew else row.exponent
        attempt_ms = now_ms + delay_ms(exponent)
        following = row._replace(attempt_ms=attempt_ms, retries=row.retries + 1, exponent=exponent + 1)
        self._write(following)
        return following

    def end_run(self) -> None:
        """No handler runs any more, however it ended."""
        self._running = 0

    # ── what the commit asks ─────────────────────────────────────────────────────────────────────────────────

    def restate(self) -> None:
        """Say the alarm again with the next commit: what the index holds is not what is here.

        Writes a row and perhaps takes it away again, so that there is something to commit.
        """
        row = self.row_or_none()
        self._write(row or AlarmRow(0, 0, 0, 0, 0))
        if row is None:
            self._remove()

    def change_or_none(self) -> AlarmChange | None:
        """What the commit about to be made says of the alarm, None when nothing touched it since the last one."""
        if not self._is_touched:
            return None
        row = self.row_or_none()
        return AlarmChange(None if row is None else row.attempt_ms)

    def settled(self) -> None:
        """The unit was committed, or undone as a whole."""
        self._is_touched = False

    # ── the row ──────────────────────────────────────────────────────────────────────────────────────────────

    def row_or_none(self) -> AlarmRow | None:
        """The alarm as it is stored."""
        # Asked each time: a turn that is rolled back takes the table with it.
        rows = self._tables.host_exec(_READ) if self._tables.host_exec(ALARM_TABLE_QUERY) else []
        if not rows:
            return None
        numbers = [value for value in rows[0] if isinstance(value, int)]
        assert len(numbers) == len(AlarmRow._fields), f"the alarm's row holds {rows[0]!r} where numbers belong"
        return AlarmRow(*numbers)

    def _is_still(self, generation: int) -> bool:
        row = self.row_or_none()
        return row is not None and row.generation == generation

    def _write(self, row: AlarmRow, *, is_confirmed: bool = True) -> None:
        self._is_touched = True
        self._tables.host_exec(_TABLE, is_confirmed=is_confirmed)
        self._tables.host_exec(_WRITE, row, is_confirmed=is_confirmed)

    def _remove(self, *, is_confirmed: bool = True) -> None:
        self._is_touched = True
        self._tables.host_exec("DELETE FROM _cf_ALARM", is_confirmed=is_confirmed)
