"""An actor whose database takes its time to open."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine

import pytest
from tests.unit.objects.fakes import App, FakeDatabase, FakeRoot, Seat, steps

from perdure.errors import ObjectResetError, StorageFailedError
from perdure.objects._lifecycle import State
from perdure.testing import run_sim


def sim(scenario: Callable[[], Coroutine[object, object, None]]) -> Callable[[], None]:
    """A test whose body runs in virtual time."""

    def test() -> None:
        run_sim(scenario)

    return test


class SlowRoot(FakeRoot):
    """Its database opens when `opening` is settled."""

    def __init__(self) -> None:
        super().__init__()
        self.opening: asyncio.Future[FakeDatabase] = asyncio.get_running_loop().create_future()

    def open_database_aside(self, number: int) -> asyncio.Future[FakeDatabase]:
        return self.opening


def slow_seat() -> tuple[Seat, SlowRoot]:
    seat = Seat(App)
    root = seat.root = SlowRoot()
    return seat, root


@sim
async def test_first_calls_wait_for_the_database() -> None:
    seat, root = slow_seat()
    calls = [seat.spawn("hello"), seat.spawn("hello")]
    await steps()

    assert not any(call.done() for call in calls)
    root.opening.set_result(root.database)

    assert await asyncio.gather(*calls) == ["hello", "hello"]


@sim
async def test_a_reset_is_told_at_once_and_the_file_closed_when_it_is_open() -> None:
    seat, root = slow_seat()
    call = seat.spawn("hello")
    await steps()

    seat.actor.break_(ObjectResetError("enough"))

    with pytest.raises(ObjectResetError, match="enough"):
        await call
    closed = asyncio.create_task(seat.actor.wait_closed())
    await steps()
    assert not closed.done()
    root.opening.set_result(root.database)
    await closed
    assert root.database.is_closed


@sim
async def test_a_reset_in_the_step_that_opened_the_file_closes_it_too() -> None:
    seat, root = slow_seat()
    call = seat.spawn("hello")
    await steps()

    root.opening.set_result(root.database)
    seat.actor.break_(ObjectResetError("enough"))

    with pytest.raises(ObjectResetError, match="enough"):
        await call
    await seat.actor.wait_closed()
    assert root.database.is_closed


@sim
async def test_a_file_that_cannot_be_opened_breaks_the_object_and_holds_up_nobody() -> None:
    seat, root = slow_seat()
    call = seat.spawn("hello")
    await steps()

    root.opening.set_exception(StorageFailedError("no such disk"))

    with pytest.raises(StorageFailedError, match="no such disk"):
        await call
    await seat.actor.wait_closed()
    assert seat.actor.state is State.BROKEN


@sim
async def test_a_reset_before_the_start_took_a_step_is_told_as_such() -> None:
    seat, _ = slow_seat()
    call = seat.spawn("hello")
    await asyncio.sleep(0)
    assert seat.actor.state is State.STARTING

    seat.actor.break_(ObjectResetError("enough"))

    with pytest.raises(ObjectResetError, match="enough"):
        await call
