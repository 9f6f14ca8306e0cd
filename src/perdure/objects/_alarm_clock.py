"""The alarm clock: which alarms of the index run now, when to look at it again, how long a failed one waits.

It holds what runs, never what pends. Those that run are still in the index, at its head, so whoever asks for a page
asks for that many more. Rule: no alarm before its time, no database twice at a time, the oldest first. Effects: none.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

from perdure.limits import (
    ALARM_JITTER,
    ALARM_RETRY_EXPONENT_MAX,
    ALARM_RETRY_MS,
    ALARM_STARTING_S,
    ALARMS_MISSED_KEPT_MAX,
    ALARMS_RUNNING_MAX,
    ALARMS_STARTING_MAX,
)
from perdure.storage import DueAlarm, ObjectKey

Place = tuple[ObjectKey, int]
"""One database: a root object and the number within it."""


def place_of(alarm: DueAlarm) -> Place:
    """Whose alarm it is."""
    return alarm.key, alarm.number


def retry_delay_ms(exponent: int, *, chance: float) -> int:
    """How long a failed alarm waits: doubled each time up to a ceiling, and some more by `chance`, from 0 up to 1."""
    delay_ms = ALARM_RETRY_MS << min(exponent, ALARM_RETRY_EXPONENT_MAX)
    return delay_ms + int(delay_ms * ALARM_JITTER * chance)


@dataclass(frozen=True, slots=True)
class Plan:
    """What follows from a look at the index: alarms to start, and when to look again if nothing else happens.

    `look_ms`: at this wall time, when the next alarm is due. `look_in_s`: because one that waits may get room then.
    """

    starts: tuple[DueAlarm, ...]
    look_ms: int | None
    look_in_s: float | None


class AlarmClock:
    """See the module. Times are given: `now_ms` is the wall's, which may jump, `now_s` never goes back."""

    def __init__(self, *, starting_max: int = ALARMS_STARTING_MAX, running_max: int = ALARMS_RUNNING_MAX) -> None:
        self._starting_max = starting_max
        self._running_max = running_max
        self._running: dict[Place, float] = {}  # → when it began, oldest first
        self._missed: OrderedDict[Place, int] = OrderedDict()

    @property
    def running(self) -> int:
        """How many alarms run."""
        return len(self._running)

    @property
    def page(self) -> int:
        """How many entries of the index to look at: those that run, those that may start, and the one after."""
        return len(self._running) + self._starting_max + 1

    def plan(self, entries: Sequence[DueAlarm], *, now_ms: int, now_s: float) -> Plan:
        """Start what may start of a page of the index; it counts as running from now on."""
        young = [began_s for began_s in self._running.values() if now_s - began_s < ALARM_STARTING_S]
        room = min(self._starting_max - len(young), self._running_max - len(self._running))
        starts: list[DueAlarm] = []
        look_ms: int | None = None
        look_in_s: float | None = None
        for alarm in entries:
            if place_of(alarm) in self._running:
                continue
            if alarm.look_ms > now_ms:
                look_ms = alarm.look_ms
                break
            if len(starts) >= room:
                oldest_s = min([*young, *([now_s] if starts else [])], default=now_s)
                look_in_s = max(0.0, oldest_s + ALARM_STARTING_S - now_s)
                break
            starts.append(alarm)
            self._running[place_of(alarm)] = now_s
        return Plan(tuple(starts), look_ms, look_in_s)

    def ended(self, place: Place) -> None:
        """Its run is over, and the index says what becomes of it."""
        del self._running[place]

    # ── failures that are not counted ────────────────────────────────────────────────────────────────────────

    def missed(self, place: Place) -> int:
        """It failed and that is not counted: the exponent of its delay, one more each time in a row."""
        exponent = self._missed.pop(place, 0)
        self._missed[place] = min(exponent + 1, ALARM_RETRY_EXPONENT_MAX)
        if len(self._missed) > ALARMS_MISSED_KEPT_MAX:
            self._missed.popitem(last=False)
        return exponent

    def was_missed(self, place: Place) -> bool:
        """Whether its last run failed and was not counted."""
        return place in self._missed

    def met(self, place: Place) -> None:
        """Its run succeeded, or failed and was counted."""
        self._missed.pop(place, None)
