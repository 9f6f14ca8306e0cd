"""The guest's event loop, stepped by hand."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from perdure.api import Sections
from perdure.guest._loop import GuestLoop

Lost = list[tuple[str, BaseException | None]]


@pytest.fixture
def lost() -> Lost:
    return []


@pytest.fixture
def loop(lost: Lost) -> Iterator[GuestLoop]:
    made = GuestLoop(  # type: ignore[abstract]  # as in the guest
        sections=Sections(), on_lost_error=lambda what, error: lost.append((what, error))
    )
    made.begin_turn(0)
    yield made
    made.end_turn()


def test_ready_callbacks_run_in_order(loop: GuestLoop) -> None:
    ran: list[int] = []
    for number in range(3):
        loop.call_soon(ran.append, number)

    loop.run_ready()

    assert ran == [0, 1, 2]


def test_timers_fire_when_due_in_the_order_they_were_set(loop: GuestLoop) -> None:
    ran: list[str] = []
    loop.call_later(2, ran.append, "late")
    loop.call_later(1, ran.append, "first")
    loop.call_later(1, ran.append, "second")

    loop.run_ready()
    assert ran == []
    assert loop.delay_ms() == 1000
    loop.begin_turn(1000)
    loop.run_ready()

    assert ran == ["first", "second"]
    assert loop.delay_ms() == 1000


def test_cancelled_timer_is_no_reason_to_come_back(loop: GuestLoop) -> None:
    loop.call_later(1, print).cancel()

    assert loop.delay_ms() is None


def test_time_never_goes_back(loop: GuestLoop) -> None:
    loop.begin_turn(5000)
    loop.begin_turn(4000)

    assert loop.time() == 5.0


def test_rounding_of_the_epoch_does_not_delay_a_timer(loop: GuestLoop) -> None:
    ran: list[int] = []
    loop.begin_turn(1_700_000_000_123)
    loop.call_later(0.1, ran.append, 1)
    loop.begin_turn(1_700_000_000_223)

    loop.run_ready()

    assert ran == [1]


def test_lost_exception_is_reported(loop: GuestLoop, lost: Lost) -> None:
    async def fail() -> None:
        raise ValueError("nobody waits")

    task = loop.create_task(fail())
    loop.run_ready()
    del task

    [(what, error)] = lost
    assert "never retrieved" in what
    assert isinstance(error, ValueError)


def test_exit_in_a_task_does_not_stop_the_others(loop: GuestLoop) -> None:
    async def leave() -> None:
        raise SystemExit(1)

    ran: list[int] = []
    task = loop.create_task(leave())
    loop.call_soon(ran.append, 1)

    loop.run_ready()

    assert ran == [1]
    assert isinstance(task.exception(), SystemExit)


@pytest.mark.parametrize("what", ["run_forever", "stop", "close"])
def test_host_drives_the_loop(loop: GuestLoop, what: str) -> None:
    with pytest.raises(RuntimeError, match="driven by its host"):
        getattr(loop, what)()


def test_executor_runs_at_once(loop: GuestLoop) -> None:
    assert loop.run_in_executor(None, divmod, 7, 2).result() == (3, 1)
    assert isinstance(loop.run_in_executor(None, divmod, 7, 0).exception(), ZeroDivisionError)


def test_running_loop_is_this_one_during_a_turn(loop: GuestLoop) -> None:
    assert asyncio.get_running_loop() is loop
    loop.end_turn()
    with pytest.raises(RuntimeError):
        asyncio.get_running_loop()
