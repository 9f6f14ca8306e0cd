from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdure.api import AlarmInfo, alarm_info, call_alarm, check_alarm_handler
from perdure.api._alarms import alarm_ms, alarm_time
from perdure.errors import AlarmError
from perdure.limits import ALARM_MS_MAX

NOW_MS = 1_767_225_600_000
INFO = alarm_info(retries=2, scheduled_ms=NOW_MS)


def stored(when: object) -> int:
    return alarm_ms(when, now_ms=lambda: NOW_MS)


def test_a_time_is_a_moment_a_span_or_milliseconds() -> None:
    assert stored(datetime(2026, 1, 1, tzinfo=UTC)) == NOW_MS
    assert stored(datetime(2026, 1, 1, 2, tzinfo=timezone(timedelta(hours=2)))) == NOW_MS
    assert stored(timedelta(minutes=1)) == NOW_MS + 60_000
    assert stored(timedelta(days=-1)) == NOW_MS - 86_400_000
    assert stored(5) == stored(4.5) == 5


@given(
    st.datetimes(
        min_value=datetime(1970, 1, 2),  # noqa: DTZ001  # hypothesis adds the zone
        timezones=st.just(UTC),
    )
)
def test_a_stored_moment_is_never_before_the_one_meant(when: datetime) -> None:
    if stored_or_none(when) is not None:
        assert timedelta(0) <= alarm_time(stored(when)) - when < timedelta(milliseconds=1)


def stored_or_none(when: datetime) -> int | None:
    try:
        return stored(when)
    except AlarmError:
        return None


@given(st.integers(1, ALARM_MS_MAX))
def test_what_is_stored_can_be_shown(at_ms: int) -> None:
    assert stored(alarm_time(at_ms)) == at_ms


@pytest.mark.parametrize(
    ("when", "words"),
    [
        (0, "<= 0"),
        (-5, "<= 0"),
        (datetime(1969, 1, 1, tzinfo=UTC), "<= 0"),
        (True, "aware datetime"),
        ("soon", "aware datetime"),
        (None, "aware datetime"),
        (float("nan"), "aware datetime"),
        (float("inf"), "aware datetime"),
        (datetime(2030, 1, 1), "time zone"),  # noqa: DTZ001  # that it has none is the point
        (ALARM_MS_MAX + 1, "year 9999"),
        (timedelta.max, "year 9999"),
    ],
)
def test_what_is_no_time_is_refused(when: object, words: str) -> None:
    with pytest.raises(AlarmError, match=words):
        stored(when)


def test_a_handler_may_take_the_info_or_not() -> None:
    class Both:
        def alarm(self) -> str:
            return "nothing"

        def informed(self, info: AlarmInfo) -> AlarmInfo:
            return info

        def anything(self, *arguments: Any) -> tuple[Any, ...]:
            return arguments

    both = Both()

    assert call_alarm(both.alarm, INFO) == "nothing"
    assert call_alarm(both.informed, INFO) is INFO
    assert call_alarm(both.anything, INFO) == (INFO,)


def test_the_info_says_which_attempt_it_is() -> None:
    assert AlarmInfo(2, True, datetime(2026, 1, 1, tzinfo=UTC)) == INFO
    assert not alarm_info(retries=0, scheduled_ms=1).is_retry


def test_an_object_without_a_handler_is_refused_once_it_is_made() -> None:
    class Handless:
        alarm = "not a method"

    check_alarm_handler(None)
    with pytest.raises(AlarmError, match=r"`Handless` must have an alarm\(\) handler"):
        check_alarm_handler(Handless())
