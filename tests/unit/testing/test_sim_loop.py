"""The loop with virtual time."""

from __future__ import annotations

import asyncio
import threading

import pytest

from perdure.testing import DeadlockError, SeededEntropy, UnheardError, VirtualClock, run_sim


def test_an_hour_passes_in_no_time_and_in_order() -> None:
    async def scenario() -> tuple[float, list[str]]:
        order: list[str] = []

        async def wait(seconds: float, name: str) -> None:
            await asyncio.sleep(seconds)
            order.append(name)

        async with asyncio.TaskGroup() as group:
            group.create_task(wait(3600, "hour"))
            group.create_task(wait(60, "minute"))
            group.create_task(wait(60, "same minute"))
        return asyncio.get_running_loop().time(), order

    assert run_sim(scenario) == (3600.0, ["minute", "same minute", "hour"])


def test_a_timeout_is_virtual_too() -> None:
    async def scenario() -> None:
        async with asyncio.timeout(30):
            await asyncio.Event().wait()

    with pytest.raises(TimeoutError):
        run_sim(scenario)


def test_tasks_that_wait_for_each_other_are_told() -> None:
    async def scenario() -> None:
        await asyncio.sleep(5)
        await asyncio.Event().wait()

    with pytest.raises(DeadlockError, match="no task can make progress at 5 s"):
        run_sim(scenario)


def test_a_cancelled_timer_does_not_move_time() -> None:
    async def scenario() -> float:
        asyncio.get_running_loop().call_later(100, print).cancel()
        await asyncio.sleep(1)
        return asyncio.get_running_loop().time()

    assert run_sim(scenario) == 1.0


def test_time_stands_still_while_a_thread_works() -> None:
    async def scenario() -> tuple[str, float]:
        asyncio.get_running_loop().call_later(100, print)
        name = await asyncio.to_thread(lambda: threading.current_thread().name)
        return name, asyncio.get_running_loop().time()

    name, now_s = run_sim(scenario)

    assert name != threading.current_thread().name
    assert now_s == 0.0


def test_a_failure_nobody_took_is_told() -> None:
    async def scenario() -> None:
        asyncio.get_running_loop().call_soon(lambda: 1 / 0)
        await asyncio.sleep(1)

    with pytest.raises(UnheardError, match="ZeroDivisionError"):
        run_sim(scenario)


def test_a_clock_shows_the_loops_time() -> None:
    async def scenario() -> list[float]:
        clock = VirtualClock(asyncio.get_running_loop(), start_ms=1000)
        await asyncio.sleep(2.5)
        clock.advance(1)
        return [clock.monotonic_s(), clock.now_ms()]

    assert run_sim(scenario) == [3.5, 4500]


def test_entropy_is_the_same_for_a_seed_and_never_repeats() -> None:
    one, same, other = SeededEntropy(1), SeededEntropy(1), SeededEntropy(2)

    drawn = [one.random_bytes(16) for _ in range(3)]

    assert drawn == [same.random_bytes(16) for _ in range(3)]
    assert len({*drawn, other.random_bytes(16)}) == 4
