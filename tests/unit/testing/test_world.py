"""World: time, trouble, and from where it can be used."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from perdure import DurableObject, Request, Response
from perdure.errors import ConfigurationError, OverloadedError, UsageError
from perdure.isolates import Isolates
from perdure.testing import DeadlockError, World


class Counter(DurableObject):
    def __init__(self, ctx: Any, env: Any) -> None:
        super().__init__(ctx, env)
        self.memory = 0

    def add(self, by: int) -> list[int]:
        self.memory += 1
        self.ctx.storage.kv.put("n", self.ctx.storage.kv.get("n", 0) + by)
        return [self.ctx.storage.kv.get("n"), self.memory]

    async def nap(self, seconds: float) -> str:
        await asyncio.sleep(seconds)
        return "slept"

    async def wait_for_ever(self) -> None:
        await asyncio.get_running_loop().create_future()

    async def thread(self) -> int:
        return await asyncio.to_thread(threading.active_count)


class Greeter(DurableObject):
    async def add_elsewhere(self) -> object:
        return await self.ctx.exports.Counter.get_by_name("a").add(1)


async def test_time_passes_while_something_waits_for_it(perdure: World) -> None:
    before = perdure.clock.now_ms()

    assert await perdure.get(Counter, "a").nap(3600) == "slept"

    assert perdure.clock.now_ms() - before == 3_600_000


async def test_time_stands_still_while_threads_work(perdure: World) -> None:
    counter = perdure.get(Counter, "a")
    await counter.add(1)
    before = perdure.clock.monotonic_s()

    assert await counter.thread() > 0
    await counter.add(1)

    assert perdure.clock.monotonic_s() == before


@pytest.mark.parametrize(("span", "seconds"), [("90s", 90), ("1h", 3600), ("2d12h", 216_000), ("250ms", 0.25), (5, 5)])
async def test_advance(perdure: World, span: Any, seconds: float) -> None:
    before = perdure.clock.monotonic_s()

    await perdure.advance(span)

    assert perdure.clock.monotonic_s() - before == pytest.approx(seconds)


async def test_advance_in_named_seconds(perdure: World) -> None:
    await perdure.advance(seconds=7)

    assert perdure.loop.time() == 7


@pytest.mark.parametrize("span", ["", "1", "h", "1 hour", "-1h"])
async def test_what_is_no_span_of_time_is_refused(perdure: World, span: str) -> None:
    with pytest.raises(UsageError, match="is no span of time"):
        await perdure.advance(span)


async def test_time_never_goes_back(perdure: World) -> None:
    with pytest.raises(UsageError, match="never goes back"):
        await perdure.advance(-1)


async def test_everything_due_happens_before_advance_returns(perdure: World) -> None:
    napping = [asyncio.ensure_future(perdure.get(Counter, name).nap(60)) for name in "abc"]

    await perdure.advance("1m")

    assert [task.done() for task in napping] == [True] * 3


async def test_evict_forgets_memory_and_keeps_data(perdure: World) -> None:
    counter = perdure.get(Counter, "a")
    assert await counter.add(1) == [1, 1]

    await perdure.evict(Counter, "a")

    assert await counter.add(1) == [2, 1]


async def test_what_is_not_in_memory_cannot_be_evicted(perdure: World) -> None:
    with pytest.raises(UsageError, match=r"cannot evict `Counter/a`: it is not currently running"):
        await perdure.evict(Counter, "a")


async def test_what_is_in_use_cannot_be_evicted(perdure: World) -> None:
    napping = asyncio.ensure_future(perdure.get(Counter, "a").nap(5))
    await perdure.settle()

    with pytest.raises(UsageError, match="it is in use"):
        await perdure.evict(Counter, "a")

    await napping


@pytest.mark.parametrize("how", ["restart", "crash"])
async def test_data_survives(perdure: World, how: str) -> None:
    counter = perdure.get(Counter, "a")
    await counter.add(1)

    for expected in ([2, 1], [3, 1]):
        await getattr(perdure, how)()
        assert await counter.add(1) == expected


async def test_a_crash_fails_what_is_under_way(perdure: World) -> None:
    napping = asyncio.ensure_future(perdure.get(Counter, "a").nap(100))
    await perdure.settle()

    await perdure.crash()

    with pytest.raises(OverloadedError):
        await napping


async def test_a_crash_does_not_acknowledge_what_was_held(perdure: World) -> None:
    counter = perdure.get(Counter, "a")
    await counter.add(1)

    with perdure.journal_held():
        adding = asyncio.ensure_future(counter.add(1))
        await perdure.settle()
        await perdure.crash()

    outcome: object = (await asyncio.gather(adding, return_exceptions=True))[0]
    assert isinstance(outcome, Exception)
    assert (await counter.add(0))[0] in {1, 2}


async def test_held_answers_come_when_they_are_let_go(perdure: World) -> None:
    counter = perdure.get(Counter, "a")

    with perdure.journal_held():
        adding = asyncio.ensure_future(counter.add(1))
        await perdure.advance(5)
        assert not adding.done()

    assert await adding == [1, 1]


async def test_the_same_seed_gives_the_same_chance(perdure_isolates: Isolates, perdure: World) -> None:
    ids = [str((await perdure.namespace(Counter)).new_unique_id()) for _ in range(2)]

    def again() -> list[str]:
        with World([Counter], isolates=perdure_isolates) as world:
            namespace = world.run(world.namespace(Counter))
            return [str(namespace.new_unique_id()) for _ in range(2)]

    assert ids[0] != ids[1]
    assert await asyncio.to_thread(again) == ids


async def test_a_class_reaches_another_one_that_was_added(perdure: World) -> None:
    perdure.add(Counter, Greeter)

    assert await perdure.get(Greeter, "g").add_elsewhere() == [1, 1]


async def test_what_is_no_class_of_objects_is_refused(perdure: World) -> None:
    not_one: Any = dict

    with pytest.raises(ConfigurationError, match="is no Durable Object class"):
        perdure.get(not_one, "a")


def test_waiting_for_what_nobody_will_do_is_an_error_not_a_hang(perdure: World) -> None:
    with pytest.raises(DeadlockError, match="no task can make progress"):
        perdure.run(perdure.loop.create_future())


# ── from elsewhere ───────────────────────────────────────────────────────────────────────────────────────────


def test_plain_tests_run_what_they_want_to_await(perdure: World) -> None:
    assert perdure.run(perdure.get(Counter, "a").add(1)) == [1, 1]
    perdure.run(perdure.advance("12s"))
    assert perdure.run(perdure.get(Counter, "a").add(1)) == [2, 1]


def test_tests_on_another_loop_may_await_it_too(perdure: World) -> None:
    async def on_another_loop() -> list[object]:
        counter = perdure.get(Counter, "a")
        together = await asyncio.gather(*[counter.add(1) for _ in range(5)], counter.nap(3600))
        await perdure.advance("12s")
        await perdure.crash()
        return [*together, await counter.add(1)]

    outcomes = asyncio.run(on_another_loop())

    assert sorted(map(str, outcomes)) == ["[1, 1]", "[2, 2]", "[3, 3]", "[4, 4]", "[5, 5]", "[6, 1]", "slept"]


def test_errors_cross_to_another_loop(perdure: World) -> None:
    with pytest.raises(UsageError, match="cannot evict"):
        asyncio.run(perdure.evict(Counter, "a"))


def test_a_deadlock_is_told_to_another_loop(perdure_isolates: Isolates) -> None:
    async def wait(world: World) -> None:
        await world.settle()
        with pytest.raises(DeadlockError):
            await world._inside(_never(world))

    with World(isolates=perdure_isolates) as world:
        asyncio.run(wait(world))


async def _never(world: World) -> None:
    await world.loop.create_future()


async def test_run_is_for_plain_tests(perdure: World) -> None:
    with pytest.raises(UsageError, match="async already"):
        perdure.run(perdure.advance(1))


async def test_a_test_does_not_close_the_world_it_runs_in(perdure: World) -> None:
    with pytest.raises(UsageError, match="cannot close it"):
        perdure.close()


def test_a_closed_world_says_so(perdure_isolates: Isolates) -> None:
    with World(isolates=perdure_isolates) as world:
        data = world.data

    assert not data.exists()
    with pytest.raises(UsageError, match="has been closed"):
        asyncio.run(world.advance(1))


def test_requests_take_the_platforms_own_way(perdure_isolates: Isolates) -> None:
    def fetch(request: Request, env: Any, ctx: Any) -> Response:
        return Response(f"{request.method} {env.word}")

    with World(fetch=fetch, env={"word": "hi"}, isolates=perdure_isolates) as world:
        response = world.run(world.fetch("http://localhost/", method="POST"))

    assert response.body == b"POST hi"
