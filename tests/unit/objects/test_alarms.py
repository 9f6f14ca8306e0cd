"""The scheduler of alarms over an index in memory: time is virtual, the wall clock may be set."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from functools import wraps
from itertools import pairwise
from typing import Any

import pytest

from perdure.clock import Clock
from perdure.errors import StorageFailedError
from perdure.limits import ALARM_CLASS_MISSING_MS, ALARM_LOOK_S_MAX, ALARMS_STARTING_MAX
from perdure.objects._alarm_delivery import AlarmEnd
from perdure.objects._alarms import Alarms
from perdure.storage import DueAlarm, ObjectKey
from perdure.testing import SeededEntropy, run_sim

START_MS = 1_767_225_600_000


def sim(scenario: Callable[..., Coroutine[object, object, None]]) -> Callable[..., None]:
    """A test that runs in virtual time."""

    @wraps(scenario)
    def test(**fixtures: Any) -> None:
        run_sim(lambda: scenario(**fixtures))

    return test


class WallClock:
    """Follows the loop, and can be set."""

    def __init__(self) -> None:
        self.set_by_ms = 0

    def now_ms(self) -> int:
        return START_MS + self.set_by_ms + round(self.monotonic_s() * 1000)

    def monotonic_s(self) -> float:
        return asyncio.get_running_loop().time()


class Index:
    """The alarms that pend, in memory; counts what is asked of it."""

    def __init__(self) -> None:
        self.alarms: dict[tuple[ObjectKey, int], DueAlarm] = {}
        self.listener: Callable[[int], object] | None = None
        self.looks = 0
        self.hurries: list[str | None] = []
        self.error: StorageFailedError | None = None

    def add(self, number: int, at_ms: int, *, namespace: str = "Counter") -> None:
        key = ObjectKey(namespace, number.to_bytes(32))
        self.alarms[key, 0] = DueAlarm(at_ms, key, 0, None, at_ms)
        if self.listener is not None:
            self.listener(at_ms)

    def due_alarms(self, *, until_ms: int, limit: int) -> list[DueAlarm]:
        self.looks += 1
        if self.error is not None:
            raise self.error
        pending = sorted(self.alarms.values(), key=lambda alarm: (alarm.look_ms, alarm.key))
        return [alarm for alarm in pending if alarm.look_ms <= until_ms][:limit]

    def watch_alarms(self, listener: Callable[[int], object] | None) -> None:
        self.listener = listener

    def postpone_alarms(self, alarms: Sequence[tuple[DueAlarm, int]]) -> None:
        if self.error is not None:
            raise self.error
        for alarm, until_ms in alarms:
            self.alarms[alarm.key, alarm.number] = alarm._replace(look_ms=until_ms)

    def hurry_alarms(self, *, namespace: str | None = None) -> None:
        self.hurries.append(namespace)
        for place, alarm in self.alarms.items():
            if namespace in {None, alarm.key.namespace}:
                self.alarms[place] = alarm._replace(look_ms=alarm.at_ms)


@dataclass
class Desk:
    """Delivers: each run takes `takes_s` and ends as `ends` says."""

    index: Index
    clock: Clock
    ends: AlarmEnd = AlarmEnd.SETTLED
    takes_s: float = 0.0
    fired: list[tuple[int, float]] = field(default_factory=list)
    anew: list[bool] = field(default_factory=list)
    at_once: int = 0
    at_once_max: int = 0

    async def deliver(self, alarm: DueAlarm, *, begins_anew: bool) -> AlarmEnd:
        self.fired.append((int.from_bytes(alarm.key.object_id), (self.clock.now_ms() - START_MS) / 1000))
        self.anew.append(begins_anew)
        self.at_once += 1
        self.at_once_max = max(self.at_once, self.at_once_max)
        await asyncio.sleep(self.takes_s)
        self.at_once -= 1
        if self.ends is AlarmEnd.SETTLED:
            self.index.alarms.pop((alarm.key, alarm.number), None)
        return self.ends

    @property
    def times(self) -> list[float]:
        return [at_s for _, at_s in self.fired]


@dataclass
class Scene:
    index: Index
    clock: WallClock
    desk: Desk
    alarms: Alarms


def scene() -> Scene:
    index, clock = Index(), WallClock()
    desk = Desk(index, clock)
    return Scene(index, clock, desk, Alarms(index, desk.deliver, clock=clock, entropy=SeededEntropy()))


@sim
async def test_what_is_overdue_fires_at_start_and_the_rest_in_time() -> None:
    here = scene()
    for number, at_s in enumerate([-3600, 7.25, 5]):
        here.index.add(number, START_MS + round(at_s * 1000))

    here.alarms.start()
    await asyncio.sleep(60)

    assert here.desk.fired == [(0, 0.0), (2, 5.0), (1, 7.25)]


@sim
async def test_an_alarm_set_earlier_wakes_it_earlier() -> None:
    here = scene()
    here.index.add(0, START_MS + 50_000)
    here.alarms.start()
    await asyncio.sleep(1)

    here.index.add(1, START_MS + 3_000)
    await asyncio.sleep(60)

    assert here.desk.fired == [(1, 3.0), (0, 50.0)]


@sim
async def test_it_sleeps_without_looking_while_nothing_is_due() -> None:
    here = scene()
    here.index.add(0, START_MS + 24 * 3_600_000)
    here.alarms.start()

    await asyncio.sleep(23 * 3_600)

    assert here.index.looks == 1


@sim
async def test_an_empty_index_sets_no_timer() -> None:
    here = scene()

    here.alarms.start()
    await asyncio.sleep(0)

    assert here.alarms._timer is None


@sim
async def test_a_wall_clock_set_forward_is_noticed() -> None:
    here = scene()
    here.index.add(0, START_MS + 3_600_000)
    here.alarms.start()
    await asyncio.sleep(1)

    here.clock.set_by_ms = 3_600_000
    await asyncio.sleep(ALARM_LOOK_S_MAX)

    assert len(here.desk.fired) == 1


@sim
async def test_a_wall_clock_set_back_makes_no_alarm_early() -> None:
    here = scene()
    here.index.add(0, START_MS + 10_000)
    here.alarms.start()
    await asyncio.sleep(9)

    here.clock.set_by_ms = -60_000
    await asyncio.sleep(60)
    assert here.desk.fired == []
    await asyncio.sleep(10)

    assert here.desk.times == [10.0]


@sim
async def test_many_overdue_alarms_start_a_few_at_a_time_the_oldest_first() -> None:
    here = scene()
    here.desk.takes_s = 0.1
    for number in range(500):
        here.index.add(number, START_MS - 1_000 + number)

    here.alarms.start()
    await asyncio.sleep(10)

    assert [number for number, _ in here.desk.fired] == list(range(500))
    assert here.desk.at_once_max == ALARMS_STARTING_MAX


@sim
async def test_handlers_that_take_long_hold_nobody_up() -> None:
    here = scene()
    here.desk.takes_s = 600
    for number in range(100):
        here.index.add(number, START_MS)

    here.alarms.start()
    await asyncio.sleep(5)

    assert here.alarms.running == 100


@sim
async def test_a_missed_alarm_is_tried_again_with_growing_delays() -> None:
    here = scene()
    here.desk.ends = AlarmEnd.MISSED
    here.index.add(0, START_MS)
    here.alarms.start()

    await asyncio.sleep(24 * 3_600)

    gaps = [later - earlier for earlier, later in pairwise(here.desk.times)]
    assert all(2 * 2**n <= gap <= 2.5 * 2**n + 0.01 for n, gap in enumerate(gaps[:10]))
    assert all(1_024 <= gap <= 1_281 for gap in gaps[10:])
    assert len(gaps) > 60, "it gave up"
    assert here.desk.anew == [False, *[True] * len(gaps)]


@sim
async def test_alarms_of_a_missing_class_wait_and_are_told_of_once(caplog: pytest.LogCaptureFixture) -> None:
    here = scene()
    here.desk.ends = AlarmEnd.NO_CLASS
    for number in range(3):
        here.index.add(number, START_MS, namespace="Gone")
    here.alarms.start()

    with caplog.at_level(logging.WARNING, "perdure.objects"):
        await asyncio.sleep(ALARM_CLASS_MISSING_MS / 1000 + 1)

    assert len(here.desk.fired) == 6
    assert len([record for record in caplog.records if "`Gone`" in record.getMessage()]) == 1
    here.desk.ends = AlarmEnd.SETTLED
    here.alarms.classes_changed()
    await asyncio.sleep(1)
    assert len(here.desk.fired) == 9
    assert here.index.hurries == [None, "Gone"]


@sim
async def test_an_index_that_cannot_be_read_is_asked_again(caplog: pytest.LogCaptureFixture) -> None:
    here = scene()
    here.index.error = StorageFailedError("the disk is gone")
    here.index.add(0, START_MS)
    here.alarms.start()
    await asyncio.sleep(1)

    here.index.error = None
    await asyncio.sleep(ALARM_LOOK_S_MAX)

    assert len(here.desk.fired) == 1
    assert "the disk is gone" in caplog.text


@sim
async def test_an_alarm_that_cannot_be_postponed_does_not_spin(caplog: pytest.LogCaptureFixture) -> None:
    here = scene()
    here.desk.ends = AlarmEnd.MISSED
    here.index.add(0, START_MS)
    here.alarms.start()
    await asyncio.sleep(0)
    here.index.error = StorageFailedError("the disk is full")

    await asyncio.sleep(ALARM_LOOK_S_MAX - 1)

    assert len(here.desk.fired) == 1
    assert "the disk is full" in caplog.text


@sim
async def test_one_database_runs_one_alarm_at_a_time() -> None:
    here = scene()
    here.desk.takes_s = 5
    here.index.add(0, START_MS)
    here.alarms.start()
    await asyncio.sleep(1)

    here.index.add(0, START_MS + 2_000)
    await asyncio.sleep(1.5)
    assert here.desk.times == [0.0]
    assert here.desk.at_once_max == 1


@sim
async def test_nothing_fires_after_a_stop() -> None:
    here = scene()
    here.index.add(0, START_MS + 1_000)
    here.alarms.start()
    await asyncio.sleep(0.5)

    here.alarms.stop()
    await here.alarms.wait_ended()
    await asyncio.sleep(10)

    assert here.desk.fired == []
    assert here.index.listener is None
