"""The road of an alarm from its entry in the index to the handler, and what becomes of the alarm afterwards.

A facet's alarm wakes its root, then each facet on the way down, by `start_facet` of its parent. What the handler's own
code did is counted, in the object's database; what kept the handler from running is not, and is tried again for as long
as it takes: an alarm is never lost to code that does not load today. Effects: disk, log, tasks.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from enum import Enum, auto
from typing import Final, Protocol, TypeVar

from perdure.clock import Clock, Entropy
from perdure.errors import AbortedError, GuestError, ObjectResetError, PerdureError
from perdure.limits import ALARM_RETRIES_MAX
from perdure.objects._actor import Actor
from perdure.objects._alarm_clock import retry_delay_ms
from perdure.objects._alarm_run import AlarmRun
from perdure.objects._facets import FacetSlots
from perdure.objects._root_index import index_held
from perdure.storage import Database, DueAlarm, ObjectKey

Result = TypeVar("Result")
_LOG: Final = logging.getLogger("perdure.objects")
_CHANCES: Final = 2**32


class AlarmEnd(Enum):
    """What the index needs after a run."""

    SETTLED = auto()  # nothing: what the run wrote says it all
    MISSED = auto()  # to be postponed: the handler did not run, or what it wrote is lost
    NO_CLASS = auto()  # to be postponed until its class is defined again


class Objects(Protocol):
    """Where objects are found, live or cold: the directory."""

    def defines(self, namespace: str) -> bool: ...
    def slot(self, namespace: str, identity: bytes, name: str | None) -> Actor: ...
    async def visit(
        self,
        key: ObjectKey,
        path: Sequence[str],
        work: Callable[[Database], Result],
        *,
        cause: str,
        may_write: bool = False,
    ) -> Result: ...


class AlarmDelivery:
    """Delivers alarms to the objects of a platform."""

    def __init__(self, objects: Objects, *, clock: Clock, entropy: Entropy) -> None:
        self._objects = objects
        self._clock = clock
        self._entropy = entropy

    async def deliver(self, alarm: DueAlarm, *, begins_anew: bool) -> AlarmEnd:
        """Run the handler of an alarm that is due. `begins_anew`: its last attempts failed and were not counted."""
        if not self._objects.defines(alarm.key.namespace):
            return AlarmEnd.NO_CLASS
        run = AlarmRun(delay_ms=self._delay_ms, begins_anew=begins_anew)
        road = _Road()
        try:
            await self._travel(alarm, road)
            assert road.actor is not None, "the road ends at an actor"
            await road.actor.alarm(run)
        except Exception as error:  # noqa: BLE001  # whatever user code raised: it is logged, and the alarm tried again
            return await self._failed(alarm, run, road, error)
        finally:
            run.end()
        if run.has_no_handler:
            _LOG.warning("an alarm of %s was dropped: its class has no alarm() handler any more", road.actor.label)
        return AlarmEnd.SETTLED

    async def _travel(self, alarm: DueAlarm, road: _Road) -> None:
        """Down to the actor whose alarm it is, which may be cold; those above it are running."""
        actor = self._objects.slot(*alarm.key, alarm.name)
        road.actor = actor
        if alarm.number:
            await actor.start()
            async with index_held(actor):
                road.path = actor.root.facets.path(alarm.number)
            for name in road.path:
                await actor.start()
                assert isinstance(actor.facets, FacetSlots), "a running actor has facets"
                actor = actor.facets.slot_to_wake(name)
        road.actor = actor

    async def _failed(self, alarm: DueAlarm, run: AlarmRun, road: _Road, error: Exception) -> AlarmEnd:
        actor = road.actor
        label = alarm.key.namespace if actor is None else actor.label
        broken_by = None if actor is None else actor.error
        if broken_by is None and run.is_recorded:
            self._log_counted(label, run, error)
            return AlarmEnd.SETTLED
        if run.row is not None and actor is not None and broken_by is not None and _is_own_act(actor, broken_by):
            try:
                await self._record_reset(alarm, run, road, broken_by)
            except PerdureError as failure:
                _LOG.warning("the failed alarm of %s could not be noted, it is tried again: %s", label, failure)
                return AlarmEnd.MISSED
            self._log_counted(label, run, broken_by)
            return AlarmEnd.SETTLED
        _LOG.warning("an alarm of %s could not be delivered and is tried again: %s", label, error)
        return AlarmEnd.MISSED

    async def _record_reset(self, alarm: DueAlarm, run: AlarmRun, road: _Road, reason: PerdureError) -> None:
        """The handler's object was reset by its own code: note it in the database, which is closed by now."""

        def note(database: Database) -> None:
            if isinstance(reason, AbortedError) and not reason.retry_alarm:
                assert run.row is not None, "only what ran is noted"
                database.alarm.finish(run.row.generation)
            else:
                run.fail_in(database.alarm, now_ms=self._clock.now_ms())

        await self._objects.visit(alarm.key, road.path, note, cause="alarm failed", may_write=True)

    def _log_counted(self, label: str, run: AlarmRun, error: Exception) -> None:
        failures = 1 if run.row is None else run.row.retries + 1
        if run.following is not None:
            wait_s = (run.following.attempt_ms - self._clock.now_ms()) / 1000
            _LOG.warning(
                "the alarm of %s failed (%d of %d), the next attempt is in %.1f s: %s: %s",
                label,
                failures,
                ALARM_RETRIES_MAX + 1,
                wait_s,
                type(error).__name__,
                error,
            )
        else:
            _LOG.error("the alarm of %s failed (%d) and is not tried again: %s", label, failures, error)

    def _delay_ms(self, exponent: int) -> int:
        return retry_delay_ms(exponent, chance=int.from_bytes(self._entropy.random_bytes(4)) / _CHANCES)


class _Road:
    """How far an alarm has come."""

    def __init__(self) -> None:
        self.actor: Actor | None = None
        self.path: Sequence[str] = ()


def _is_own_act(actor: Actor, error: PerdureError) -> bool:
    """Whether the object was reset by its own code or its limits, not by disk, platform or parent."""
    if actor.parent is not None and actor.parent.error is error:
        return False
    is_of_its_code = isinstance(error, ObjectResetError) and isinstance(error.__cause__, Exception)
    return is_of_its_code or isinstance(error, AbortedError | GuestError)
