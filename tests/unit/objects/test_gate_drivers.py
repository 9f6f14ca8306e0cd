"""The gates on a loop: whoever is cancelled, and whenever, never loses the gate and never doubles it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from perdure.objects._gate_drivers import InputDriver, OutputDriver
from perdure.testing import VirtualClock, run_sim

Enter = Callable[[InputDriver], Awaitable[None]]
Leave = Callable[[InputDriver], None]

WAYS: list[tuple[Enter, Leave]] = [
    (lambda gate: gate.enter(), lambda gate: gate.leave()),
    (lambda gate: gate.enter(inside=True), lambda gate: gate.leave()),
]


async def steps(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


@pytest.mark.parametrize(("enter", "leave"), WAYS)
@pytest.mark.parametrize("wait_before_leave", range(3))
@pytest.mark.parametrize("wait_before_cancel", range(4))
def test_a_cancelled_waiter_passes_the_gate_on(
    enter: Enter, leave: Leave, wait_before_leave: int, wait_before_cancel: int
) -> None:
    async def scenario() -> None:
        gate = InputDriver()
        inside: list[str] = []

        async def visit(name: str) -> None:
            await enter(gate)
            inside.append(name)
            assert len(inside) == 1, "two turns at once"
            await asyncio.sleep(0)
            inside.remove(name)
            leave(gate)

        assert gate.try_enter()
        first, second = asyncio.create_task(visit("first")), asyncio.create_task(visit("second"))
        await steps(wait_before_leave)
        gate.leave()
        await steps(wait_before_cancel)
        if first.cancel():
            with pytest.raises(asyncio.CancelledError):
                await first
        if inside == ["first"]:  # Cancelled within its turn: its owner ends the turn, here we do.
            inside.clear()
            leave(gate)
        await asyncio.wait_for(second, timeout=1)

        assert gate.try_enter()
        assert gate.gate.section_depth == 0

    run_sim(scenario)


@pytest.mark.parametrize(("enter", "leave"), WAYS)
def test_whoever_waits_is_told_what_broke_the_gate(enter: Enter, leave: Leave) -> None:
    async def scenario() -> None:
        gate = InputDriver()
        assert gate.try_enter()
        waiter = asyncio.ensure_future(enter(gate))
        await steps(1)

        gate.break_(RuntimeError("why"))

        with pytest.raises(RuntimeError, match="why"):
            await waiter
        with pytest.raises(RuntimeError, match="why"):
            await enter(gate)

    run_sim(scenario)


@pytest.mark.parametrize(("enter", "leave"), WAYS)
def test_a_gate_that_breaks_after_the_admission_still_turns_the_turn_away(enter: Enter, leave: Leave) -> None:
    async def scenario() -> None:
        gate = InputDriver()
        assert gate.try_enter()
        waiter = asyncio.ensure_future(enter(gate))
        await steps(1)

        gate.leave()  # Admits the waiter, who has not run yet.
        gate.break_(RuntimeError("why"))

        with pytest.raises(RuntimeError, match="why"):
            await waiter

    run_sim(scenario)


def test_arrival_order_is_kept_on_the_loop() -> None:
    async def scenario() -> list[int]:
        gate = InputDriver()
        order: list[int] = []

        async def visit(number: int) -> None:
            await gate.enter()
            order.append(number)
            await asyncio.sleep(0.1)
            gate.leave()

        async with asyncio.TaskGroup() as group:
            for number in range(5):
                group.create_task(visit(number))
        return order

    assert run_sim(scenario) == [0, 1, 2, 3, 4]


def test_a_reply_leaves_when_the_writes_before_it_are_durable() -> None:
    async def scenario() -> None:
        gate = OutputDriver(VirtualClock())
        first = gate.lock()
        reply = asyncio.create_task(gate.wait())
        await steps(2)
        second = gate.lock()

        gate.unlock(first)
        await reply
        gate.unlock(second)
        await gate.wait()

    run_sim(scenario)


def test_a_reply_after_a_failed_write_never_leaves() -> None:
    async def scenario() -> None:
        gate = OutputDriver(VirtualClock())
        number = gate.lock()
        reply = asyncio.create_task(gate.wait())
        await steps(2)

        gate.fail(number, RuntimeError("disk"))

        for waiting in (reply, gate.wait()):
            with pytest.raises(RuntimeError, match="disk"):
                await waiting

    run_sim(scenario)


def test_a_cancelled_reply_does_not_disturb_the_gate() -> None:
    async def scenario() -> None:
        gate = OutputDriver(VirtualClock())
        number = gate.lock()
        given_up, patient = asyncio.create_task(gate.wait()), asyncio.create_task(gate.wait())
        await steps(2)

        given_up.cancel()
        await steps(2)
        gate.unlock(number)

        await patient
        assert given_up.cancelled()

    run_sim(scenario)


def test_the_end_of_a_section_is_heard_of() -> None:
    async def scenario() -> None:
        gate = InputDriver()
        gate.open_section()
        waiting = asyncio.create_task(gate.wait_for_section_end())
        given_up = asyncio.create_task(gate.wait_for_section_end())
        await steps(2)
        given_up.cancel()
        assert not waiting.done()

        gate.close_section()
        await waiting

        failing = asyncio.create_task(gate.wait_for_section_end())
        await steps(2)
        gate.break_(ValueError("broken"))
        with pytest.raises(ValueError, match="broken"):
            await failing
        with pytest.raises(ValueError, match="broken"):
            await gate.wait_for_section_end()

    run_sim(scenario)
