"""Trusted code, stepped by hand: turns, commits, resets, critical sections, callers that give up."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import pytest
from tests.unit.objects.fakes import App, Seat, steps

from perdure.api import Context
from perdure.errors import ObjectResetError, OverloadedError, StorageFailedError, UsageError
from perdure.objects._lifecycle import State
from perdure.testing import run_sim

TRACE: list[str] = []
Scenario = Callable[[], Coroutine[object, object, None]]


def sim(scenario: Scenario) -> Callable[[], None]:
    """A test whose body runs in virtual time."""

    def test() -> None:
        TRACE.clear()
        run_sim(scenario)

    test.__name__ = scenario.__name__
    return test


class Counter(App):
    def __init__(self, ctx: Context, env: Any) -> None:
        super().__init__(ctx, env)
        self.items: list[object] = []
        TRACE.append("constructed")

    def add(self, item: object) -> list[object]:
        self.items.append(item)
        return self.items

    async def write_wait_write(self) -> None:
        self.kv.put("a", 1)
        self.kv.put("b", 2)
        await asyncio.sleep(1)
        self.kv.put("c", 3)

    async def write_and_fail(self) -> None:
        self.kv.put("a", 1)
        raise ValueError("after the write")

    def write(self, key: str) -> list[object]:
        self.kv.put(key, 1)
        self.items.append(key)
        return self.items

    async def trace_around(self, name: str, seconds: float) -> None:
        TRACE.append(f"{name} in")
        await asyncio.sleep(seconds)
        TRACE.append(f"{name} out")

    async def wait_and_clean_up(self) -> None:
        try:
            await asyncio.Event().wait()
            TRACE.append("resumed")
        except Exception:
            TRACE.append("caught")
            raise
        finally:
            TRACE.append("finally")
            await asyncio.sleep(0)
            TRACE.append("after finally")

    async def wait_for_the_deaf(self) -> None:
        async def deaf() -> None:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                TRACE.append("deaf")

        await asyncio.create_task(deaf())
        TRACE.append("resumed")

    def write_and_abort(self) -> None:
        self.kv.put("x", 888)
        abort: Callable[[str], object] = self.ctx.abort
        try:
            abort("test broken")
        except Exception:  # noqa: BLE001  # what users write
            TRACE.append("caught")
        TRACE.append("went on")

    async def swallow_abort(self) -> str:
        abort: Callable[[str], object] = self.ctx.abort
        try:
            abort("test broken")
        except BaseException:  # noqa: BLE001  # what users should not write
            TRACE.append("swallowed")
        await asyncio.sleep(0)
        TRACE.append("went on")
        return "never"

    async def section(self, name: str, seconds: float) -> str:
        async def inside() -> str:
            await self.trace_around(name, seconds)
            return name

        result = await self.ctx.block_concurrency_while(inside)
        TRACE.append(f"{name} continued")
        return result

    async def failing_section(self) -> None:
        async def inside() -> None:
            raise ValueError("in the section")

        try:
            await self.ctx.block_concurrency_while(inside)
        except Exception:  # noqa: BLE001  # what users write
            TRACE.append("caught")

    async def nested(self, depth: int) -> int:
        async def inside() -> int:
            return 0 if depth == 1 else await self.nested(depth - 1)

        try:
            return 1 + await self.ctx.block_concurrency_while(inside)
        except UsageError:
            return -1000


# ── turns ────────────────────────────────────────────────────────────────────────────────────────────────────


@sim
async def test_05_three_first_calls_reach_one_instance_in_order() -> None:
    seat = Seat(Counter)

    results = await asyncio.gather(*(seat.call("add", number) for number in range(3)))

    assert results == [[0], [0, 1], [0, 1, 2]]
    assert TRACE == ["constructed"]


@sim
async def test_arguments_and_results_are_copies() -> None:
    seat = Seat(Counter)
    given = [1]

    result = await seat.call("add", given)
    given.append(2)
    result.append(3)

    assert await seat.call("add", 4) == [[1], 4]


@sim
async def test_what_a_turn_writes_is_one_unit_and_a_wait_ends_the_turn() -> None:
    seat = Seat(Counter)

    await seat.call("write_wait_write")

    assert seat.root.units == [{"a": "1", "b": "2"}, {"c": "3"}]


@sim
async def test_09_an_error_keeps_what_was_written_and_the_object_goes_on() -> None:
    seat = Seat(Counter)

    with pytest.raises(ValueError, match="after the write"):
        await seat.call("write_and_fail")

    assert seat.root.units == [{"a": "1"}]
    assert await seat.call("hello") == "hello"
    assert TRACE == ["constructed"]


@sim
async def test_26_nothing_is_answered_before_it_is_durable_not_even_an_error() -> None:
    seat = Seat(Counter)
    seat.root.holds = True
    answers = [seat.spawn("write", "k"), seat.spawn("write_and_fail"), seat.spawn("hello")]
    await steps()
    assert not any(answer.done() for answer in answers)

    seat.root.acknowledge()

    await asyncio.wait(answers)
    assert answers[0].result() == ["k"]
    assert isinstance(answers[1].exception(), ValueError)
    assert answers[2].result() == "hello"


@sim
async def test_an_answer_says_nothing_of_what_happened_after_it() -> None:
    seat = Seat(Counter)
    seat.root.holds = True
    first = seat.spawn("write", "first")
    await steps()
    second = seat.spawn("write", "second")
    await steps()

    seat.root.acknowledge()

    assert await first == ["first"]
    assert await second == ["first", "second"]


@sim
async def test_other_events_come_in_where_one_waits_and_in_arrival_order() -> None:
    seat = Seat(Counter)

    await asyncio.gather(*(seat.call("trace_around", name, 1) for name in "abc"))

    assert TRACE == ["constructed", "a in", "b in", "c in", "a out", "b out", "c out"]


@sim
async def test_a_commit_that_fails_resets_the_object() -> None:
    seat = Seat(Counter)
    await seat.call("hello")
    seat.root.database.commit_error = StorageFailedError("disk full")
    waiting = seat.spawn("wait_and_clean_up")
    await steps()

    for answer in (seat.call("write", "k"), waiting, seat.call("hello")):
        with pytest.raises(StorageFailedError, match="disk full"):
            await answer
    assert seat.root.database.is_closed


@sim
async def test_a_write_the_journal_refuses_is_never_confirmed() -> None:
    seat = Seat(Counter)
    seat.root.holds = True
    answer = seat.spawn("write", "k")
    await steps()

    seat.root.acknowledge(StorageFailedError("no journal"))

    for each in (answer, seat.call("hello")):
        with pytest.raises(StorageFailedError, match="no journal"):
            await each


class Spawning(App):
    def leave_a_task(self) -> None:
        self.task = asyncio.create_task(self._write_later())

    async def _write_later(self) -> None:
        await asyncio.sleep(1)
        self.kv.put("later", 1)
        self.kv.put("later too", 1)

    def in_background(self, what: str) -> None:
        self.ctx.wait_until({"write": self._write_later, "fail": self._fail, "abort": self._abort}[what]())

    async def _fail(self) -> None:
        await asyncio.sleep(1)
        raise ValueError("in the background")

    async def _abort(self) -> None:
        await asyncio.sleep(1)
        self.ctx.abort("from the background")


@sim
async def test_what_a_task_of_the_objects_own_writes_is_committed_too() -> None:
    seat = Seat(Spawning)
    await seat.call("leave_a_task")

    await asyncio.sleep(2)

    assert seat.root.units == [{"later": "1", "later too": "1"}]


@sim
async def test_background_work_keeps_the_object_awake() -> None:
    seat = Seat(Spawning)
    await seat.call("in_background", "write")
    idle = [seat.actor.is_idle]

    await asyncio.sleep(2)

    assert [*idle, seat.actor.is_idle] == [False, True]
    assert seat.root.kept == {"later": "1", "later too": "1"}


def test_background_work_that_fails_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        seat = Seat(Spawning)
        await seat.call("in_background", "fail")
        await asyncio.sleep(2)
        assert await seat.call("hello") == "hello"

    with caplog.at_level(logging.ERROR):
        run_sim(scenario)

    assert "wait_until failed" in caplog.text


@sim
async def test_an_abort_from_the_background_resets_the_object() -> None:
    seat = Seat(Spawning)
    await seat.call("in_background", "abort")
    await asyncio.sleep(2)

    with pytest.raises(ObjectResetError, match="from the background"):
        await seat.call("hello")


# ── resets ───────────────────────────────────────────────────────────────────────────────────────────────────


@sim
async def test_07_abort_drops_the_turn_and_runs_nothing_more() -> None:
    seat = Seat(Counter)
    await seat.call("hello")

    with pytest.raises(ObjectResetError) as caught:
        await seat.call("write_and_abort")

    assert str(caught.value) == "test broken"
    assert caught.value.durable_object_reset
    assert seat.root.units == []
    assert TRACE == ["constructed"]


@sim
async def test_06_every_later_call_of_the_slot_gets_the_reason() -> None:
    seat = Seat(Counter)
    with pytest.raises(ObjectResetError):
        await seat.call("write_and_abort")

    with pytest.raises(ObjectResetError, match="test broken"):
        await seat.call("hello")
    assert seat.actor.state is State.BROKEN


@sim
async def test_an_abort_that_is_swallowed_still_ends_at_the_next_wait() -> None:
    seat = Seat(Counter)

    with pytest.raises(ObjectResetError, match="test broken"):
        await seat.call("swallow_abort")

    assert TRACE == ["constructed", "swallowed"]


@sim
async def test_08_what_waits_is_interrupted_and_never_resumed() -> None:
    seat = Seat(Counter)
    waiting = seat.spawn("wait_and_clean_up")
    await steps()

    with pytest.raises(ObjectResetError):
        await seat.call("write_and_abort")

    with pytest.raises(ObjectResetError, match="test broken"):
        await waiting
    assert TRACE == ["constructed", "finally"]  # Python runs `finally` when a coroutine is closed; no further.


@sim
async def test_08_what_waits_for_something_that_ignores_cancellation_is_not_resumed_either() -> None:
    seat = Seat(Counter)
    waiting = seat.spawn("wait_for_the_deaf")
    await steps()

    seat.actor.break_(ObjectResetError("why"))

    with pytest.raises(ObjectResetError, match="why"):
        await waiting
    assert TRACE == ["constructed", "deaf"]


@sim
async def test_what_queues_is_told_the_reason_and_does_not_start() -> None:
    seat = Seat(Counter)
    await seat.call("hello")
    assert seat.actor.input.try_enter()
    queued = seat.spawn("trace_around", "a", 0)
    await steps()

    seat.actor.input.leave()  # Admits it; it has not run yet.
    seat.actor.break_(ObjectResetError("why"))

    with pytest.raises(ObjectResetError, match="why"):
        await queued
    assert TRACE == ["constructed"]


@sim
async def test_whoever_called_can_go_on_after_the_reset() -> None:
    seat = Seat(Counter)

    async def caller() -> int:
        with pytest.raises(ObjectResetError):
            await seat.call("wait_and_clean_up")
        await asyncio.sleep(1)
        task = asyncio.current_task()
        assert task is not None
        return task.cancelling()

    calling = asyncio.create_task(caller())
    await steps()
    seat.actor.break_(ObjectResetError("why"))

    assert await calling == 0


class Caller(App):
    target: Seat

    async def ask(self) -> str:
        try:
            await self.target.call("wait_and_clean_up")
        except ObjectResetError as error:
            TRACE.append(str(error))
        await asyncio.sleep(1)
        return "went on"


@sim
async def test_a_reset_of_the_object_called_is_an_error_to_its_caller_which_goes_on() -> None:
    Caller.target = called = Seat(Counter)
    asking = Seat(Caller).spawn("ask")
    await steps()

    called.actor.break_(ObjectResetError("inner"))

    assert await asking == "went on"
    assert TRACE == ["constructed", "finally", "inner"]


@sim
async def test_a_reset_of_the_caller_ends_what_it_called_for_it() -> None:
    Caller.target = called = Seat(Counter)
    caller = Seat(Caller)
    asking = caller.spawn("ask")
    await steps()

    caller.actor.break_(ObjectResetError("outer"))

    with pytest.raises(ObjectResetError, match="outer"):
        await asking
    assert "outer" not in TRACE
    assert await called.call("hello") == "hello"


class AbortingInConstructor(App):
    def __init__(self, ctx: Context, env: Any) -> None:
        super().__init__(ctx, env)
        self.kv.put("x", 1)
        ctx.abort("not today")


@sim
async def test_an_abort_in_the_constructor_tells_its_reason() -> None:
    seat = Seat(AbortingInConstructor)

    with pytest.raises(ObjectResetError) as caught:
        await seat.call("hello")

    assert str(caught.value) == "not today"
    assert seat.root.units == []


# ── callers that give up ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("after", range(8))
def test_a_caller_may_give_up_at_any_point(after: int) -> None:
    async def scenario() -> None:
        seat = Seat(Counter)
        calls = [seat.spawn("write_wait_write") for _ in range(3)]
        await steps(after)

        calls[1].cancel()
        await asyncio.wait(calls)

        assert calls[1].cancelled()
        assert [call.exception() for call in (calls[0], calls[2])] == [None, None]
        assert await seat.call("hello") == "hello"
        assert seat.actor.is_idle

    run_sim(scenario)


@sim
async def test_code_whose_caller_gave_up_sees_a_cancellation_like_any_task() -> None:
    seat = Seat(Counter)
    waiting = seat.spawn("wait_and_clean_up")
    await steps()

    waiting.cancel()
    await asyncio.wait([waiting])

    assert waiting.cancelled()
    assert TRACE == ["constructed", "finally", "after finally"]
    assert await seat.call("hello") == "hello"


# ── critical sections ────────────────────────────────────────────────────────────────────────────────────────


@sim
async def test_20_events_wait_for_the_section_and_its_continuation_runs_first() -> None:
    seat = Seat(Counter)
    section = seat.spawn("section", "s", 5)
    await steps()
    event = seat.spawn("trace_around", "e", 0)

    assert await section == "s"
    await event

    assert TRACE == ["constructed", "s in", "s out", "s continued", "e in", "e out"]


@sim
async def test_21_sections_run_one_after_the_other_before_events() -> None:
    seat = Seat(Counter)
    await seat.call("hello")

    await asyncio.gather(seat.call("section", "a", 1), seat.call("section", "b", 1), seat.call("trace_around", "e", 0))

    sections = [entry for entry in TRACE if entry[:2] in {"a ", "b "}]
    assert sections == ["a in", "a out", "a continued", "b in", "b out", "b continued"]


@sim
async def test_22_a_failing_section_resets_the_object_and_cannot_be_caught() -> None:
    seat = Seat(Counter)

    with pytest.raises(ObjectResetError, match="ValueError: in the section"):
        await seat.call("failing_section")

    assert "caught" not in TRACE
    with pytest.raises(ObjectResetError, match="in the section"):
        await seat.call("hello")


@sim
async def test_23_sections_nest_64_deep_and_one_more_can_be_caught() -> None:
    seat = Seat(Counter)

    assert await seat.call("nested", 64) == 64
    assert await seat.call("nested", 65) == 64 - 1000
    assert await seat.call("hello") == "hello"


@sim
async def test_a_section_has_30_seconds() -> None:
    seat = Seat(Counter)
    loop = asyncio.get_running_loop()
    began_s = loop.time()

    with pytest.raises(OverloadedError, match="waited for too long"):
        await seat.call("section", "s", 1000)

    assert loop.time() - began_s == 30
    with pytest.raises(OverloadedError):
        await seat.call("hello")


@sim
async def test_a_reset_during_a_section_tells_its_reason() -> None:
    seat = Seat(Counter)
    section = seat.spawn("section", "s", 5)
    await steps()

    seat.actor.break_(ObjectResetError("why"))

    with pytest.raises(ObjectResetError, match="why"):
        await section
    assert TRACE == ["constructed", "s in"]


@sim
async def test_a_section_whose_caller_gave_up_resets_the_object_and_may_be_tried_again() -> None:
    seat = Seat(Counter)
    section = seat.spawn("section", "s", 5)
    await steps()

    section.cancel()
    await asyncio.wait([section])

    assert section.cancelled()
    with pytest.raises(ObjectResetError) as caught:
        await seat.call("hello")
    assert caught.value.retryable


class SectionCaller(App):
    target: Seat

    async def ask_inside(self) -> str:
        async def inside() -> str:
            result = await self.target.call("section", "b", 0)
            assert isinstance(result, str)
            return result

        return await self.ctx.block_concurrency_while(inside)


@sim
async def test_the_section_of_one_object_is_none_of_another() -> None:
    SectionCaller.target = called = Seat(Counter)
    running = called.spawn("section", "a", 5)
    await steps()

    assert await Seat(SectionCaller).call("ask_inside") == "b"

    await running
    assert TRACE[:4] == ["constructed", "a in", "a out", "a continued"]


class Starting(App):
    mode = ""

    async def on_start(self) -> None:
        TRACE.append("starting")
        await self._modes()[self.mode]()
        TRACE.append("started")

    def _modes(self) -> dict[str, Callable[[], Awaitable[object]]]:
        async def fail() -> None:
            raise ValueError("no start")

        return {
            "wait": lambda: asyncio.sleep(5),
            "section": lambda: self.ctx.block_concurrency_while(lambda: asyncio.sleep(5)),
            "fail": fail,
            "hang": lambda: asyncio.sleep(1000),
        }


@pytest.mark.parametrize("mode", ["wait", "section"])
def test_events_wait_until_on_start_is_done(mode: str) -> None:
    async def scenario() -> None:
        TRACE.clear()
        Starting.mode = mode
        seat = Seat(Starting)

        answers = await asyncio.gather(seat.call("hello"), seat.call("hello"))

        assert list(answers) == ["hello", "hello"]
        assert TRACE == ["starting", "started"]

    run_sim(scenario)


@sim
async def test_24_an_on_start_that_fails_tells_its_error_to_all_who_wait() -> None:
    Starting.mode = "fail"
    seat = Seat(Starting)

    failures = await asyncio.gather(seat.call("hello"), seat.call("hello"), return_exceptions=True)

    assert [repr(failure) for failure in failures] == ["ValueError('no start')"] * 2
    with pytest.raises(ObjectResetError, match="no start"):
        await seat.call("hello")


@sim
async def test_on_start_has_30_seconds() -> None:
    Starting.mode = "hang"

    with pytest.raises(OverloadedError, match="waited for too long"):
        await Seat(Starting).call("hello")

    assert asyncio.get_running_loop().time() == 30
