"""One run of an alarm's handler: what the body that runs it and whoever started it tell each other.

`begin`, `finish` and `fail` are called within turns, so that what they write commits with what the handler wrote. A run
that is not `is_recorded` at its end left the alarm as it was. Effects: timers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from perdure.errors import LimitExceededError, PerdureError
from perdure.limits import ALARM_RUN_S_MAX
from perdure.storage import Alarm, AlarmRow


class AlarmRun:
    """See the module. `delay_ms`: how long a retry waits, by exponent; it `begins_anew` with the shortest."""

    def __init__(self, *, delay_ms: Callable[[int], int], begins_anew: bool = False) -> None:
        self.row: AlarmRow | None = None
        """The alarm that runs, once it has begun."""
        self.following: AlarmRow | None = None
        """The next attempt, after a failure that has one."""
        self.is_recorded = False
        self.has_no_handler = False
        self._delay_ms = delay_ms
        self._begins_anew = begins_anew
        self._alarm: Alarm | None = None
        self._overdue: asyncio.TimerHandle | None = None

    def begin(self, alarm: Alarm, *, now_ms: int, reset: Callable[[PerdureError], None]) -> AlarmRow | None:
        """The alarm to run; None when the object has none that is due. `reset` ends a run that takes too long."""
        self._alarm = alarm
        self.row = alarm.begin(now_ms=now_ms)
        if self.row is None:
            alarm.restate()
            self.is_recorded = True
            return None
        self._overdue = asyncio.get_running_loop().call_later(ALARM_RUN_S_MAX, reset, alarm_overdue())
        return self.row

    def finish(self) -> None:
        """The handler succeeded."""
        assert self._alarm is not None, "a run ended that had not begun"
        assert self.row is not None, "a run ended that had not begun"
        self._alarm.finish(self.row.generation)
        self._alarm.end_run()  # What comes before this is acknowledged may look at the alarm, and delete a retry.
        self.is_recorded = True

    def drop(self) -> None:
        """There is no handler to run."""
        self.has_no_handler = True
        self.finish()

    def fail(self, *, now_ms: int) -> None:
        """The handler failed, and that counts."""
        assert self._alarm is not None, "a run failed that had not begun"
        self.fail_in(self._alarm, now_ms=now_ms)
        self._alarm.end_run()

    def fail_in(self, alarm: Alarm, *, now_ms: int) -> None:
        """The same, when the object was reset meanwhile: in its database as it was opened anew."""
        assert self.row is not None, "a run failed that had not begun"
        self.following = alarm.fail(
            self.row.generation, now_ms=now_ms, delay_ms=self._delay_ms, begins_anew=self._begins_anew
        )
        self.is_recorded = True

    def end(self) -> None:
        """It is over, however it went."""
        if self._overdue is not None:
            self._overdue.cancel()
        if self._alarm is not None:
            self._alarm.end_run()


def alarm_overdue() -> LimitExceededError:
    """Why an object is reset whose alarm ran too long."""
    return LimitExceededError(
        f"Alarm exceeded its allowed execution time of {ALARM_RUN_S_MAX:g} s: the object was reset; do the work in "
        "smaller parts, and set the next alarm at the end of each",
        limit="alarm",
    )
