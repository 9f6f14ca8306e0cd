"""Alarms, as user code sees them: what its handler is told, and which times it may name (spec 3.9). Effects: none."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from perdure.errors import AlarmError, BookmarkError
from perdure.limits import ALARM_MS_MAX

AlarmTime = datetime | timedelta | int | float
"""When: an aware datetime, a span from now, or milliseconds since 1970 as the reference system counts."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True)
class AlarmInfo:
    """What an alarm's handler is told.

    `retry_count`: how many runs of this alarm failed before; `is_retry`: whether any did. `scheduled_time`: the time
    that was asked for, the same in every attempt.
    """

    retry_count: int
    is_retry: bool
    scheduled_time: datetime


def alarm_info(*, retries: int, scheduled_ms: int) -> AlarmInfo:
    """The same, from what is stored."""
    return AlarmInfo(retries, retries > 0, alarm_time(scheduled_ms))


def alarm_time(at_ms: int) -> datetime:
    """A stored time, in UTC."""
    return _EPOCH + at_ms * _MILLISECOND


def alarm_ms(when: object, *, now_ms: Callable[[], int]) -> int:
    """A time as it is stored, never before the one that was meant. Raises AlarmError."""
    match when:
        case bool():
            at_ms = None
        case int() | float() if math.isfinite(when):
            at_ms = math.ceil(when)
        case datetime() if when.tzinfo is not None:
            at_ms = -((_EPOCH - when) // _MILLISECOND)
        case datetime():
            raise AlarmError(
                f"set_alarm() got `{when.isoformat()}`, which has no time zone: use datetime.now(UTC) + a timedelta, "
                "or the timedelta alone"
            )
        case timedelta():
            at_ms = max(1, now_ms() - (when // -_MILLISECOND))
        case _:
            at_ms = None
    if at_ms is None:
        raise AlarmError(
            f"set_alarm() got `{when!r:.60}`: it takes an aware datetime, a timedelta from now, or milliseconds since "
            "1970"
        )
    if at_ms <= 0:
        raise AlarmError(f"setAlarm() cannot be called with an alarm time <= 0, and `{when!r:.60}` is one")
    if at_ms > ALARM_MS_MAX:
        raise AlarmError(f"setAlarm() cannot be called with a time after the year 9999, and `{when!r:.60}` is one")
    return at_ms


def check_alarm_handler(instance: object) -> None:
    """Raise AlarmError when an object has no `alarm` method; None, while it is being constructed, may still get one."""
    if instance is not None and alarm_handler_or_none(instance) is None:
        kind = type(instance).__name__
        raise AlarmError(
            f"class `{kind}` must have an alarm() handler before it sets an alarm: define `async def alarm(self)` or "
            "`async def alarm(self, info)`"
        )


def alarm_handler_or_none(instance: object) -> Callable[..., object] | None:
    """The method that an alarm calls."""
    handler = getattr(instance, "alarm", None)
    return handler if callable(handler) else None


def call_alarm(handler: Callable[..., object], info: AlarmInfo) -> object:
    """Call `alarm(self, info)`, or `alarm(self)`; what it returned may have to be awaited."""
    parameters = inspect.signature(handler).parameters.values()
    positional = {
        inspect.Parameter.POSITIONAL_ONLY,
        inspect.Parameter.POSITIONAL_OR_KEYWORD,
        inspect.Parameter.VAR_POSITIONAL,
    }
    return handler(info) if any(parameter.kind in positional for parameter in parameters) else handler()


def past_ms(when: object) -> int:
    """A time of the past in milliseconds since 1970. Raises BookmarkError."""
    match when:
        case bool():
            pass
        case int() | float() if math.isfinite(when) and 0 <= when <= ALARM_MS_MAX:
            return int(when)
        case datetime() if when.tzinfo is not None:
            return (when - _EPOCH) // _MILLISECOND
    raise BookmarkError(f"`{when!r:.60}` is no time: give an aware datetime, or milliseconds since 1970")
