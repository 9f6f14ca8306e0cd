"""The alarms of a platform: fires what the index on disk says is due, when it is due.

It holds no alarms in memory: the time of the next one, and what runs now. The wall clock decides, and may jump; a timer
only says when to look at it again. At least once: an alarm leaves the index with the commit that its run made.
Effects: clock, disk, log, tasks, timers.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Final, Protocol

from perdure.clock import Clock, Entropy
from perdure.errors import PerdureError
from perdure.limits import ALARM_CLASS_MISSING_MS, ALARM_LOOK_S_MAX, ALARM_MS_MAX
from perdure.objects._alarm_clock import AlarmClock, Place, place_of, retry_delay_ms
from perdure.objects._alarm_delivery import AlarmEnd
from perdure.storage import DueAlarm
from perdure.workers import shared_task

_LOG: Final = logging.getLogger("perdure.objects")
_CHANCES: Final = 2**32


class AlarmIndex(Protocol):
    """The index of all alarms, on disk: the store."""

    def due_alarms(self, *, until_ms: int, limit: int) -> list[DueAlarm]: ...
    def watch_alarms(self, listener: Callable[[int], object] | None) -> None: ...
    def postpone_alarms(self, alarms: Sequence[tuple[DueAlarm, int]]) -> None: ...
    def hurry_alarms(self, *, namespace: str | None = None) -> None: ...


class Deliver(Protocol):
    """Who runs a handler."""

    def __call__(self, alarm: DueAlarm, *, begins_anew: bool) -> Awaitable[AlarmEnd]: ...


class Alarms:
    """Made and started with the platform, on its event loop; `stop` it, let the objects end, then `wait_ended`."""

    def __init__(self, index: AlarmIndex, deliver: Deliver, *, clock: Clock, entropy: Entropy) -> None:
        self._index = index
        self._deliver = deliver
        self._clock = clock
        self._entropy = entropy
        self._loop = asyncio.get_running_loop()
        self._alarms = AlarmClock()
        self._next_ms: int | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._looking: asyncio.Handle | None = None
        self._runs: set[asyncio.Task[None]] = set()
        self._late: list[tuple[DueAlarm, int]] = []
        self._postponing: asyncio.Task[None] | None = None
        self._told: set[str] = set()
        self._is_stopped = False

    def start(self) -> None:
        """Fire what is overdue, and from now on what becomes due."""
        self._index.watch_alarms(self._alarm_set)
        self._index.hurry_alarms()  # What hindered them may be gone with the process before.
        self._look_soon()

    def classes_changed(self) -> None:
        """Alarms of classes that were missing may be delivered now. May be called while the loop does not run."""
        for namespace in self._told:
            self._index.hurry_alarms(namespace=namespace)
        if self._told:
            self._told.clear()
            self._loop.call_soon_threadsafe(self._look_soon)

    @property
    def running(self) -> int:
        """How many alarms run now."""
        return self._alarms.running

    def stop(self) -> None:
        """Fire nothing more. What runs goes on until its object ends."""
        self._is_stopped = True
        self._index.watch_alarms(None)
        for handle in (self._timer, self._looking):
            if handle is not None:
                handle.cancel()

    async def wait_ended(self) -> None:
        """Until nothing runs; to be called when the objects have ended."""
        for run in self._runs:
            run.cancel()
        self._late.clear()
        # Not cancelled: a thread may be waiting for the index, which is closed next.
        under_way = [*self._runs, *([self._postponing] if self._postponing is not None else [])]
        if under_way:
            await asyncio.wait(under_way)

    # ── when to look ─────────────────────────────────────────────────────────────────────────────────────────

    def _alarm_set(self, at_ms: int) -> None:
        """A commit says when somebody wants to be woken."""
        if self._next_ms is None or at_ms < self._next_ms:
            self._next_ms = at_ms
            self._wake()

    def _wake(self) -> None:
        """Look at the index if the next alarm is due by the wall's time; else sleep on."""
        if self._next_ms is None:
            return
        wait_ms = self._next_ms - self._clock.now_ms()
        if wait_ms <= 0:
            self._look_soon()
        else:
            self._sleep(wait_ms / 1000)

    def _sleep(self, delay_s: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        # Not longer, because the wall clock may be set forward meanwhile.
        self._timer = self._loop.call_later(min(delay_s, ALARM_LOOK_S_MAX), self._wake)

    def _look_soon(self) -> None:
        """Once for all that happens in this step of the loop."""
        if self._looking is None and not self._is_stopped:
            self._looking = self._loop.call_soon(self._look)

    def _look(self) -> None:
        self._looking = None
        now_ms = self._clock.now_ms()
        try:
            page = self._index.due_alarms(until_ms=ALARM_MS_MAX, limit=self._alarms.page)
        except PerdureError as error:
            _LOG.warning("alarms cannot be read, they are late: %s", error)
            self._next_ms = now_ms
            self._sleep(ALARM_LOOK_S_MAX)
            return
        plan = self._alarms.plan(page, now_ms=now_ms, now_s=self._clock.monotonic_s())
        for alarm in plan.starts:
            run = self._loop.create_task(self._run(alarm))
            self._runs.add(run)
            run.add_done_callback(partial(self._ended, place_of(alarm)))
        self._next_ms = now_ms if plan.look_in_s is not None else plan.look_ms
        if plan.look_in_s is not None:
            self._sleep(plan.look_in_s)
        else:
            self._wake()

    # ── a run ────────────────────────────────────────────────────────────────────────────────────────────────

    async def _run(self, alarm: DueAlarm) -> None:
        place = place_of(alarm)
        try:
            end = await self._deliver(alarm, begins_anew=self._alarms.was_missed(place))
        except Exception:  # noqa: BLE001  # the last place above it: the alarm must not be lost, nor spin
            _LOG.exception("an alarm was not delivered because of a bug in perdure: please report this")
            end = AlarmEnd.MISSED
        if end is AlarmEnd.SETTLED:
            self._alarms.met(place)
        elif not self._is_stopped:
            await self._postpone(alarm, self._later_ms(alarm, end))

    def _ended(self, place: Place, run: asyncio.Task[None]) -> None:
        """A task's last callback, and not the coroutine's end: the loop may be closed by then."""
        self._runs.discard(run)
        self._alarms.ended(place)
        self._look_soon()

    def _later_ms(self, alarm: DueAlarm, end: AlarmEnd) -> int:
        if end is AlarmEnd.MISSED:
            chance = int.from_bytes(self._entropy.random_bytes(4)) / _CHANCES
            delay_ms = retry_delay_ms(self._alarms.missed(place_of(alarm)), chance=chance)
        else:
            delay_ms = ALARM_CLASS_MISSING_MS
            self._tell_missing(alarm.key.namespace)
        return self._clock.now_ms() + delay_ms

    def _tell_missing(self, namespace: str) -> None:
        if namespace not in self._told:
            self._told.add(namespace)
            _LOG.warning(
                "alarms of class `%s` are due, but no such class is on this platform: they wait until it is", namespace
            )

    async def _postpone(self, alarm: DueAlarm, until_ms: int) -> None:
        """Those that come while the disk works go together with the next write."""
        self._late.append((alarm, until_ms))
        if self._postponing is None:
            self._postponing = shared_task(self._write_late())
        try:
            await asyncio.shield(self._postponing)
        except PerdureError as error:
            _LOG.warning("a late alarm cannot be postponed: %s", error)
            await asyncio.sleep(ALARM_LOOK_S_MAX)  # It stays where it is, and is not tried again before.

    async def _write_late(self) -> None:
        try:
            while self._late:
                late, self._late = self._late, []
                await self._loop.run_in_executor(None, self._index.postpone_alarms, late)
        finally:
            self._postponing = None
