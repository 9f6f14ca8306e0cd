from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from perdure.limits import ALARM_RETRY_EXPONENT_MAX, ALARM_STARTING_S, ALARMS_MISSED_KEPT_MAX
from perdure.objects._alarm_clock import AlarmClock, Place, place_of, retry_delay_ms
from perdure.storage import DueAlarm, ObjectKey


def key(number: int) -> ObjectKey:
    return ObjectKey("Counter", number.to_bytes(32))


def alarm(number: int, at_ms: int) -> DueAlarm:
    return DueAlarm(at_ms, key(number), 0, None, at_ms)


def test_delays_double_up_to_a_ceiling() -> None:
    assert [retry_delay_ms(exponent, chance=0) for exponent in range(6)] == [
        2_000,
        4_000,
        8_000,
        16_000,
        32_000,
        64_000,
    ]
    assert retry_delay_ms(9, chance=0) == retry_delay_ms(1_000, chance=0) == 1_024_000


@given(st.integers(0, 100), st.floats(0, 1, exclude_max=True))
def test_a_delay_is_longer_by_a_quarter_at_most(exponent: int, chance: float) -> None:
    shortest = retry_delay_ms(exponent, chance=0)

    assert shortest <= retry_delay_ms(exponent, chance=chance) <= shortest * 1.25


def test_what_is_due_starts_and_the_next_one_says_when_to_look() -> None:
    clock = AlarmClock()

    plan = clock.plan([alarm(1, 10), alarm(2, 20), alarm(3, 21), alarm(4, 30)], now_ms=20, now_s=0)

    assert [start.at_ms for start in plan.starts] == [10, 20]
    assert (plan.look_ms, plan.look_in_s) == (21, None)


def test_an_empty_index_wants_no_look() -> None:
    plan = AlarmClock().plan([], now_ms=20, now_s=0)

    assert plan.starts == ()
    assert (plan.look_ms, plan.look_in_s) == (None, None)


def test_what_runs_is_passed_over() -> None:
    clock = AlarmClock()
    clock.plan([alarm(1, 10)], now_ms=20, now_s=0)

    plan = clock.plan([alarm(1, 10), alarm(2, 20)], now_ms=20, now_s=0)

    assert plan.starts == (alarm(2, 20),)
    clock.ended(place_of(alarm(1, 10)))
    assert clock.plan([alarm(1, 15)], now_ms=20, now_s=0).starts == (alarm(1, 15),)


def test_only_so_many_start_at_once_the_oldest_first() -> None:
    clock = AlarmClock(starting_max=2)
    overdue = [alarm(number, number) for number in range(5)]

    first = clock.plan(overdue, now_ms=100, now_s=0)
    at_once = clock.plan(overdue, now_ms=100, now_s=0.25)
    later = clock.plan(overdue, now_ms=100, now_s=ALARM_STARTING_S)

    assert first.starts == (alarm(0, 0), alarm(1, 1))
    assert first.look_in_s == ALARM_STARTING_S
    assert at_once.starts == ()
    assert at_once.look_in_s == ALARM_STARTING_S - 0.25
    assert later.starts == (alarm(2, 2), alarm(3, 3))


def test_only_so_many_run() -> None:
    clock = AlarmClock(starting_max=2, running_max=3)
    overdue = [alarm(number, number) for number in range(5)]
    clock.plan(overdue, now_ms=100, now_s=0)

    plan = clock.plan(overdue, now_ms=100, now_s=10)

    assert plan.starts == (alarm(2, 2),)
    assert clock.plan(overdue, now_ms=100, now_s=20).starts == ()
    clock.ended(place_of(alarm(0, 0)))
    assert clock.plan(overdue[1:], now_ms=100, now_s=20).starts == (alarm(3, 3),)


def test_uncounted_failures_lengthen_the_delay_until_a_run_is_met() -> None:
    clock = AlarmClock()
    place = place_of(alarm(1, 1))

    assert [clock.missed(place) for _ in range(12)] == [*range(10), ALARM_RETRY_EXPONENT_MAX, ALARM_RETRY_EXPONENT_MAX]
    assert clock.was_missed(place)
    clock.met(place)
    assert not clock.was_missed(place)
    assert clock.missed(place) == 0


def test_only_so_many_uncounted_failures_are_remembered() -> None:
    clock = AlarmClock()
    for number in range(ALARMS_MISSED_KEPT_MAX + 1):
        clock.missed((key(number), 0))

    assert not clock.was_missed((key(0), 0))
    assert clock.was_missed((key(1), 0))


class ClockMachine(RuleBasedStateMachine):
    """A clock beside an index of alarms: each fires once per setting, never early, never more than are allowed."""

    STARTING_MAX, RUNNING_MAX = 2, 3

    def __init__(self) -> None:
        super().__init__()
        self.clock = AlarmClock(starting_max=self.STARTING_MAX, running_max=self.RUNNING_MAX)
        self.index: dict[Place, DueAlarm] = {}
        self.began: dict[Place, float] = {}
        self.now_ms, self.now_s = 1_000, 0.0

    @rule(number=st.integers(0, 6), delay_ms=st.integers(-500, 3_000))
    def set(self, number: int, delay_ms: int) -> None:
        due = alarm(number, max(0, self.now_ms + delay_ms))
        self.index[place_of(due)] = due

    @rule(passes_s=st.floats(0, 2), jumps_ms=st.integers(-2_000, 2_000))
    def time_passes(self, passes_s: float, jumps_ms: int) -> None:
        self.now_s += passes_s
        self.now_ms = max(0, self.now_ms + round(passes_s * 1_000) + jumps_ms)

    @precondition(lambda self: self.began)
    @rule(data=st.data())
    def end(self, data: st.DataObject) -> None:
        place = data.draw(st.sampled_from(sorted(self.began)))
        self.index.pop(place, None)
        del self.began[place]
        self.clock.ended(place)

    @rule()
    def look(self) -> None:
        page = sorted(self.index.values(), key=lambda due: (due.look_ms, due.key))[: self.clock.page]

        plan = self.clock.plan(page, now_ms=self.now_ms, now_s=self.now_s)

        waiting = [due for due in page if place_of(due) not in self.began]
        assert list(plan.starts) == waiting[: len(plan.starts)], "not the oldest first"
        assert all(due.look_ms <= self.now_ms for due in plan.starts), "one fired early"
        self.began |= {place_of(due): self.now_s for due in plan.starts}
        young = [began for began in self.began.values() if self.now_s - began < ALARM_STARTING_S]
        assert len(young) <= self.STARTING_MAX
        assert len(self.began) <= self.RUNNING_MAX
        rest = waiting[len(plan.starts) :]
        if not rest:
            assert (plan.look_ms, plan.look_in_s) == (None, None)
        elif rest[0].look_ms > self.now_ms:
            assert plan.look_ms == rest[0].look_ms
        else:
            assert plan.look_in_s is not None, "one that waits for room was forgotten"
            assert len(young) == self.STARTING_MAX or len(self.began) == self.RUNNING_MAX, "there was room"


TestClock = ClockMachine.TestCase
TestClock.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
