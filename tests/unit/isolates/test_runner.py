"""Where turns run, and what is remembered of them."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Iterator

import pytest

from perdure.clock import CPU
from perdure.errors import LimitExceededError
from perdure.isolates import CallHistory, InlineOverrunError, Runner
from perdure.limits import INLINE_CPU_MS, INLINE_LONG_MS, INLINE_SHORT_MS, THREAD_LONG_MS, WORKER_THREAD_NICE


@pytest.fixture
def runner() -> Iterator[Runner]:
    made = Runner(threads_max=2)
    yield made
    made.close()


def short_history() -> CallHistory:
    history = CallHistory()
    while not history.is_short:
        history.record(0.1)
    return history


def overrun(cpu_ms: int) -> str:
    raise LimitExceededError(f"{cpu_ms}", limit="cpu")


# ── history ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_unknown_code_is_not_short() -> None:
    assert not CallHistory().is_short


def test_code_is_short_after_short_turns() -> None:
    history = CallHistory()

    history.record(0.5)
    assert not history.is_short
    history.record(INLINE_SHORT_MS)
    assert history.is_short


def test_one_long_turn_ends_the_trust() -> None:
    history = short_history()

    history.record(INLINE_SHORT_MS + 1)

    assert not history.is_short


def test_each_overrun_makes_trust_harder() -> None:
    history = short_history()
    needed = []

    for _ in range(6):
        history.record_overrun()
        count = 0
        while not history.is_short:
            history.record(0.1)
            count += 1
        needed.append(count)

    assert needed == [8, 32, 128, 256, 256, 256]


# ── runner ───────────────────────────────────────────────────────────────────────────────────────────────────


async def test_short_code_runs_here_with_little_time(runner: Runner) -> None:
    seen = await runner.run(lambda cpu_ms: (threading.get_ident(), cpu_ms), short_history(), cpu_ms=2000)

    assert seen == (threading.get_ident(), INLINE_CPU_MS)


async def test_unknown_code_runs_on_a_thread_with_all_its_time(runner: Runner) -> None:
    thread, cpu_ms = await runner.run(lambda cpu_ms: (threading.get_ident(), cpu_ms), CallHistory(), cpu_ms=2000)

    assert thread != threading.get_ident()
    assert cpu_ms == 2000


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has priorities per thread")
async def test_threads_yield_to_the_event_loop(runner: Runner) -> None:
    def priority(cpu_ms: int) -> int:
        import os

        return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    assert await runner.run_on_thread(priority, CallHistory(), cpu_ms=1) == priority(1) + WORKER_THREAD_NICE


async def test_inline_overrun_is_told_apart(runner: Runner) -> None:
    history = short_history()

    with pytest.raises(InlineOverrunError):
        await runner.run(overrun, history, cpu_ms=2000)

    assert not history.is_short


async def test_overrun_of_the_whole_limit_is_the_workers_own(runner: Runner) -> None:
    with pytest.raises(LimitExceededError):
        runner.run_inline(overrun, short_history(), cpu_ms=INLINE_CPU_MS)
    with pytest.raises(LimitExceededError):
        await runner.run_on_thread(overrun, CallHistory(), cpu_ms=2000)


async def test_turns_on_threads_run_at_the_same_time(runner: Runner) -> None:
    meeting = threading.Barrier(2, timeout=10)

    places = await asyncio.gather(
        *(runner.run_on_thread(lambda cpu_ms: meeting.wait(), CallHistory(), cpu_ms=1) for _ in range(2))
    )

    assert sorted(places) == [0, 1]


async def test_more_turns_than_threads_wait_their_turn(runner: Runner) -> None:
    results = await asyncio.gather(
        *(runner.run_on_thread(lambda cpu_ms: cpu_ms, CallHistory(), cpu_ms=number) for number in range(50))
    )

    assert results == list(range(50))


async def test_cancelled_caller_waits_for_the_end_of_the_turn(runner: Runner) -> None:
    started, finish, ended = asyncio.Event(), threading.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def turn(cpu_ms: int) -> None:
        loop.call_soon_threadsafe(started.set)
        finish.wait(10)
        ended.set()

    task = asyncio.create_task(runner.run_on_thread(turn, CallHistory(), cpu_ms=1))
    await started.wait()
    task.cancel()
    loop.call_later(0.01, finish.set)

    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended.is_set()


async def test_short_turn_hops_where_the_stack_is_unknown(runner: Runner) -> None:
    def inline() -> tuple[int, int]:
        return runner.run_inline(
            lambda cpu_ms: threading.get_ident(), short_history(), cpu_ms=2000
        ), threading.get_ident()

    ran_on, called_on = await asyncio.to_thread(inline)

    assert ran_on != called_on


async def test_short_turn_that_hopped_still_overruns(runner: Runner) -> None:
    with pytest.raises(InlineOverrunError):
        await asyncio.to_thread(lambda: runner.run_inline(overrun, short_history(), cpu_ms=2000))


# ── guests that burn ─────────────────────────────────────────────────────────────────────────────────────────


def test_turns_that_hold_up_the_loop_without_overrunning_cost_trust_as_well() -> None:
    history = short_history()

    history.record(INLINE_LONG_MS + 1, is_inline=True)
    history.record(0.1)
    history.record(0.1)

    assert not history.is_short


def test_trust_comes_back_after_a_long_time() -> None:
    history = CallHistory()
    for _ in range(5):
        history.record_overrun()
    for _ in range(1_000):
        history.record(0.1)

    history.record(INLINE_SHORT_MS + 1)
    history.record(0.1)
    history.record(0.1)

    assert history.is_short


async def test_a_turn_that_fails_on_a_thread_is_remembered_as_well(runner: Runner) -> None:
    history = CallHistory()

    def burn(cpu_ms: int) -> None:
        end_s = CPU.total_s() + (THREAD_LONG_MS + 20) / 1000
        while CPU.total_s() < end_s:
            pass
        raise LimitExceededError("burnt", limit="cpu")

    with pytest.raises(LimitExceededError):
        await runner.run_on_thread(burn, history, cpu_ms=1)

    assert history.is_long


async def test_waiting_for_a_busy_machine_makes_no_code_long(runner: Runner) -> None:
    history = CallHistory()

    for _ in range(2):
        await runner.run_on_thread(lambda cpu_ms: threading.Event().wait(0.02), history, cpu_ms=1)

    assert history.is_short
    runner.run_inline(lambda cpu_ms: threading.Event().wait(0.02), history, cpu_ms=1)
    assert history.is_short


async def test_long_code_leaves_half_of_the_threads_to_others() -> None:
    runner = Runner(threads_max=4)
    enough = threading.Event()
    burning = CallHistory()
    burning.is_long = True
    burners = [
        asyncio.ensure_future(runner.run_on_thread(lambda cpu_ms: enough.wait(10), burning, cpu_ms=1))
        for _ in range(20)
    ]
    await asyncio.sleep(0)  # Each has handed in its turn.

    honest = [runner.run_on_thread(lambda cpu_ms: cpu_ms, CallHistory(), cpu_ms=number) for number in range(20)]
    assert await asyncio.wait_for(asyncio.gather(*honest), 5) == list(range(20))

    enough.set()
    assert all(await asyncio.gather(*burners))
    runner.close()


async def test_new_code_does_not_wait_behind_what_nobody_knew_to_be_long() -> None:
    runner = Runner(threads_max=2)
    enough = threading.Event()
    burners = [
        asyncio.ensure_future(runner.run_on_thread(lambda cpu_ms: enough.wait(10), CallHistory(), cpu_ms=1))
        for _ in range(2)
    ]
    await asyncio.sleep((THREAD_LONG_MS + 20) / 1000)

    assert await asyncio.wait_for(runner.run_on_thread(lambda cpu_ms: cpu_ms, CallHistory(), cpu_ms=7), 5) == 7

    enough.set()
    assert all(await asyncio.gather(*burners))
    runner.close()


async def test_long_code_is_not_kept_out_for_ever(runner: Runner) -> None:
    burning = CallHistory()
    burning.is_long = True
    order: list[str] = []
    flood = [
        asyncio.ensure_future(runner.run_on_thread(lambda cpu_ms: order.append("short"), CallHistory(), cpu_ms=1))
        for _ in range(100)
    ]

    await runner.run_on_thread(lambda cpu_ms: order.append("long"), burning, cpu_ms=1)
    await asyncio.gather(*flood)

    assert order.index("long") < 100
