"""When what facets used is written down, and what a journey in time does to it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from perdure import Budget, BudgetExceededError, DurableObject, FacetOptions
from perdure.errors import OverloadedError, UnknownObjectError
from perdure.isolates import Isolates
from perdure.limits import USAGE_ROWS_PER_UNIT_MAX, USAGE_STOP_S, USAGE_WRITTEN_S
from perdure.objects import IdFactory
from perdure.objects._metering import Metering
from perdure.storage import Database, ObjectKey
from perdure.testing import VirtualClock, World

KEY = ObjectKey("Shop", b"\1" * 32)


class Paper:
    """Counts units, and fails when it is told to."""

    def __init__(self, clock: VirtualClock) -> None:
        self.units = 0
        self.woken = 0
        self.error: Exception | None = None
        self.is_stuck = False
        self.metering = Metering(self.write, clock=clock, wake=self.wake)

    def wake(self) -> None:
        self.woken += 1

    async def write(self, key: ObjectKey, work: Callable[[Database], None]) -> None:
        if self.is_stuck:
            await asyncio.Event().wait()
        await asyncio.sleep(0)
        if self.error is not None:
            raise self.error
        self.units += 1

    def move(self, count: int = 1) -> None:
        """So many meters move."""
        tree = self.metering.tree(KEY)
        for number in range(count):
            tree.meter(number, lambda _: None).is_kept = True
            tree.count(number)


async def steps() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_it_waits_and_then_writes_once(world: World) -> None:
    clock = world.clock
    paper = Paper(clock)
    for _ in range(100):
        paper.move()
    paper.metering.look(clock.monotonic_s() + USAGE_WRITTEN_S - 1)
    assert not paper.units

    paper.metering.look(clock.monotonic_s() + USAGE_WRITTEN_S)
    await steps()

    assert (paper.units, paper.woken, paper.metering.is_waiting) == (1, 1, False)


async def test_many_totals_are_written_in_pieces(world: World) -> None:
    clock = world.clock
    paper = Paper(clock)
    paper.move(2 * USAGE_ROWS_PER_UNIT_MAX + 1)

    paper.metering.look(clock.monotonic_s() + USAGE_WRITTEN_S)
    await steps()

    assert paper.units == 3


async def test_what_could_not_be_written_is_tried_again(world: World) -> None:
    clock = world.clock
    paper = Paper(clock)
    paper.move()
    paper.error = OverloadedError("a transaction is open")
    paper.metering.look(clock.monotonic_s() + USAGE_WRITTEN_S)
    await steps()
    assert paper.metering.is_waiting

    paper.error = None
    paper.metering.look(clock.monotonic_s() + USAGE_WRITTEN_S)
    await steps()

    assert paper.units == 1


async def test_nothing_is_written_of_an_object_that_is_gone(world: World) -> None:
    clock = world.clock
    paper = Paper(clock)
    paper.move()
    paper.error = UnknownObjectError("gone")

    paper.metering.look(clock.monotonic_s() + USAGE_WRITTEN_S)
    await steps()

    assert not paper.metering.is_waiting


async def test_a_deleted_object_begins_at_zero(world: World) -> None:
    paper = Paper(world.clock)
    tree = paper.metering.tree(KEY)
    tree.meter(1, lambda _: None).requests = 5
    paper.move()

    paper.metering.forget(KEY)

    assert tree.meter(1, lambda _: None).requests == 0
    assert not paper.metering.is_waiting


async def test_what_is_not_written_outlives_its_instance(world: World) -> None:
    paper = Paper(world.clock)
    tree = paper.metering.tree(KEY)
    tree.meter(0, lambda _: None).requests = 5
    paper.move()
    del tree

    assert paper.metering.tree(KEY).meter(0, lambda _: None).requests == 5


async def test_an_overdraft_during_a_write_is_written_right_after_it(world: World) -> None:
    clock = world.clock
    paper = Paper(clock)
    paper.move()
    paper.metering.look(clock.monotonic_s() + USAGE_WRITTEN_S)
    await asyncio.sleep(0)

    paper.move()
    paper.metering.tree(KEY).overdrawn(0)
    await steps()
    await steps()

    assert paper.units == 2


async def test_a_stop_writes_what_waits(world: World) -> None:
    paper = Paper(world.clock)
    paper.move()

    await paper.metering.finish()

    assert paper.units == 1


async def test_a_stop_does_not_wait_for_ever(world: World) -> None:
    paper = Paper(world.clock)
    paper.is_stuck = True
    paper.move()
    began_s = world.clock.monotonic_s()

    await paper.metering.finish()

    assert world.clock.monotonic_s() - began_s == pytest.approx(USAGE_STOP_S, abs=0.1)


# ── journeys in time ─────────────────────────────────────────────────────────────────────────────────────────


class App(DurableObject):
    def put(self) -> None:
        self.ctx.storage.kv.put("n", 1)


class Shop(DurableObject):
    async def use(self, name: str = "app") -> None:
        await self.ctx.facets.get(name, lambda: FacetOptions(App, budget=Budget(requests=2))).put()

    async def used(self) -> int:
        return (await self.ctx.facets.usage("app")).requests

    async def broken_off(self) -> None:
        await self.use()
        self.ctx.abort("enough")


@pytest.fixture
def world(perdure_isolates: Isolates) -> Iterator[World]:
    with World([Shop, App], isolates=perdure_isolates) as world:
        yield world


async def _used_up(world: World) -> tuple[Any, str]:
    """A history of an object, and a bookmark from before its facet used up its budget."""
    history = world.platform.history(Shop, "a")
    await world.get(Shop, "a").use()
    bookmark = await history.bookmark()
    await world.get(Shop, "a").use()
    await asyncio.sleep(USAGE_WRITTEN_S + 2)
    return history, bookmark


@pytest.mark.parametrize("is_stopped", [False, True])
def test_a_rewind_does_not_turn_back_the_meter(world: World, is_stopped: bool) -> None:  # noqa: FBT001  # a parameter
    async def main() -> None:
        history, bookmark = await _used_up(world)

        await history.rewind(bookmark)

        if is_stopped:
            await asyncio.sleep(30)  # Everybody is evicted, and what is in memory is forgotten.
        with pytest.raises(BudgetExceededError):
            await world.get(Shop, "a").use()
        assert await world.get(Shop, "a").used() == 2

    world.run(main())


def test_a_rewind_of_a_facet_does_not_turn_back_its_meter(world: World) -> None:
    async def main() -> None:
        history, bookmark = await _used_up(world)

        await history.rewind(bookmark, facet=["app"])

        with pytest.raises(BudgetExceededError):
            await world.get(Shop, "a").use()

    world.run(main())


def test_a_fork_begins_at_zero(world: World) -> None:
    async def main() -> int:
        history, _ = await _used_up(world)
        await history.fork("b")
        return int(await world.get(Shop, "b").used())

    assert world.run(main()) == 0


def test_a_reset_of_the_root_loses_nothing(world: World) -> None:
    async def main() -> None:
        for _ in range(2):
            with pytest.raises(Exception, match="enough"):
                await world.get(Shop, "a").broken_off()

        with pytest.raises(BudgetExceededError):
            await world.get(Shop, "a").use()

    world.run(main())


def test_an_object_made_anew_begins_at_zero(world: World) -> None:
    async def main() -> int:
        await _used_up(world)
        directory = world.platform._directory
        assert directory is not None
        await directory.delete(ObjectKey("Shop", IdFactory("Shop").from_name("a")))
        await world.get(Shop, "a").use("other")  # The first number again.
        await world.get(Shop, "a").use()
        return int(await world.get(Shop, "a").used())

    assert world.run(main()) == 1
