"""What an event of a dynamic worker may use: limits of its code and of its entry points, the lower ones (spec 5.7)."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from tests.conformance.flavours import code_of, failure
from tests.conformance.loaders import Host

from perdure import FacetOptions, Limits, Request, Response, WorkerEntrypoint
from perdure.errors import GuestError, LimitExceededError
from perdure.isolates import Isolates
from perdure.testing import World

BUSY = {
    "python": """
import asyncio
from workers import DurableObject, WorkerEntrypoint, fetch
seen = 0
class Default(WorkerEntrypoint):
    def spin(self):
        n = 0
        while True: n += 1
    def count(self):
        global seen
        seen += 1
        return seen
    async def ask(self, times):
        for _ in range(times): await fetch("http://x.example/")
        return times
    async def ask_later(self, times):
        await asyncio.sleep(0.01)
        return await self.ask(times)
    async def many(self, times):
        await asyncio.gather(*[fetch("http://x.example/") for _ in range(times)])
        return times
    async def caught(self, times):
        try:
            await self.ask(times)
        except Exception as error:
            return str(error)
    async def sleep(self, seconds):
        await asyncio.sleep(seconds)
        return "awake"
    async def step(self, times):
        for _ in range(times):
            for _ in range(200_000): pass
            await asyncio.sleep(0.005)
        return times
class App(DurableObject):
    def hello(self):
        n = 0
        while True: n += 1
""",
    "javascript": """
import { DurableObject, WorkerEntrypoint } from "cloudflare:workers";
let seen = 0;
const sleep = (seconds) => new Promise((resolve) => setTimeout(resolve, seconds * 1000));
export default class extends WorkerEntrypoint {
  spin() { for (;;); }
  count() { return ++seen; }
  async ask(times) { for (let n = 0; n < times; n++) await fetch("http://x.example/"); return times; }
  async askLater(times) { await sleep(0.01); return await this.ask(times); }
  async many(times) {
    await Promise.all(Array.from({ length: times }, () => fetch("http://x.example/")));
    return times;
  }
  async caught(times) { try { await this.ask(times); } catch (error) { return error.message; } }
  async sleep(seconds) { await sleep(seconds); return "awake"; }
  async step(times) {
    for (let n = 0; n < times; n++) {
      for (let m = 0; m < 200_000; m++);
      await sleep(0.005);
    }
    return times;
  }
}
export class App extends DurableObject {
  hello() { for (;;); }
}
""",
}


class Gate(WorkerEntrypoint):
    """Counts the requests that come through."""

    seen = 0

    async def fetch(self, request: Request) -> Response:
        type(self).seen += 1
        return Response("fine")


@pytest.fixture
def world(perdure_isolates: Isolates) -> Iterator[World]:
    Gate.seen = 0
    with World([Host], exports=[Gate], isolates=perdure_isolates) as world:
        yield world


def entry(language: str, method: str, *arguments: object, code: Limits | None = None, own: Limits | None = None) -> Any:
    """A script that calls an entry point which has these limits, whose code has others."""

    async def script(self: Host) -> object:
        source = code_of(language, BUSY[language], limits=code, global_outbound=self.ctx.exports.Gate)
        stub = self.env.LOADER.get("w", lambda: source).get_entrypoint(limits=own)
        return await getattr(stub, method)(*arguments)

    return script


async def run(host: Any, script: Any) -> Any:
    Host.script = script
    return await host.perform()


@pytest.mark.parametrize(("code", "own"), [(50, None), (None, 50), (50, 1_000), (1_000, 50)])
async def test_the_lower_limit_of_cpu_time_counts(host: Any, language: str, code: int | None, own: int | None) -> None:
    limits: Any = {"code": Limits(cpu_ms=code), "own": Limits(cpu_ms=own)}

    error = await failure(run(host, entry(language, "spin", **limits)))

    assert isinstance(error, LimitExceededError)
    assert error.limit == "cpu"
    assert await run(host, entry(language, "count")) == 1  # A fresh isolate.


async def test_cpu_time_is_counted_over_all_turns_of_an_event(host: Any, language: str) -> None:
    error = await failure(run(host, entry(language, "step", 10_000, own=Limits(cpu_ms=100))))

    assert isinstance(error, LimitExceededError)
    assert error.limit == "cpu"


@pytest.mark.parametrize(("code", "own"), [(3, None), (None, 3), (3, 100), (100, 3)])
@pytest.mark.parametrize("method", ["ask", "ask_later", "many"])
async def test_the_lower_limit_of_subrequests_counts(
    host: Any, language: str, method: str, code: int | None, own: int | None
) -> None:
    limits: Any = {"code": Limits(subrequests=code), "own": Limits(subrequests=own)}
    assert await run(host, entry(language, method, 3, **limits)) == 3

    error = await failure(run(host, entry(language, method, 4, **limits)))

    assert isinstance(error, GuestError)
    assert "Too many subrequests: this event has sent 3 requests and calls" in str(error)
    assert Gate.seen == 6


async def test_code_can_catch_what_its_limit_refuses_and_its_isolate_lives(host: Any, language: str) -> None:
    own = Limits(subrequests=2)
    assert await run(host, entry(language, "count", own=own)) == 1

    assert "Too many subrequests" in await run(host, entry(language, "caught", 5, own=own))

    assert await run(host, entry(language, "count", own=own)) == 2


async def test_each_event_has_subrequests_of_its_own(host: Any, language: str) -> None:
    async def script(self: Host) -> object:
        source = code_of(language, BUSY[language], global_outbound=self.ctx.exports.Gate)
        stub = self.env.LOADER.get("w", lambda: source).get_entrypoint(limits=Limits(subrequests=20))
        return await asyncio.gather(*[stub.ask(20) for _ in range(10)])

    assert await run(host, script) == [20] * 10
    assert Gate.seen == 200


@pytest.mark.parametrize(("code", "own"), [(200, None), (None, 200), (200, 60_000), (60_000, 200)])
async def test_the_lower_limit_of_wall_time_counts(
    host: Any, world: World, language: str, code: int | None, own: int | None
) -> None:
    limits: Any = {"code": Limits(wall_ms=code), "own": Limits(wall_ms=own)}
    assert await run(host, entry(language, "sleep", 0.05, **limits)) == "awake"
    began = world.clock.monotonic_s()

    error = await failure(run(host, entry(language, "sleep", 600, **limits)))

    assert isinstance(error, LimitExceededError)
    assert error.limit == "wall"
    assert not error.durable_object_reset
    assert world.clock.monotonic_s() - began == pytest.approx(0.2, abs=0.1)


async def test_an_event_that_hangs_takes_its_isolate_with_it_when_the_others_have_ended(
    host: Any, language: str
) -> None:
    async def script(self: Host) -> object:
        source = code_of(language, BUSY[language])
        worker = self.env.LOADER.get("w", lambda: source)
        other = asyncio.ensure_future(worker.get_entrypoint().sleep(1))
        await worker.get_entrypoint().count()
        error = await failure(worker.get_entrypoint(limits=Limits(wall_ms=100)).sleep(600))
        return [
            type(error).__name__,
            await worker.get_entrypoint().count(),
            await other,
            await worker.get_entrypoint().count(),
        ]

    assert await run(host, script) == ["LimitExceededError", 2, "awake", 1]


async def test_a_class_has_limits_of_its_own(host: Any, language: str) -> None:
    async def script(self: Host) -> object:
        worker = self.env.LOADER.load(code_of(language, BUSY[language]))
        kind = worker.get_durable_object_class("App", limits=Limits(cpu_ms=50))
        error = await failure(self.ctx.facets.get("a", lambda: FacetOptions(cls=kind)).hello())
        return [type(error).__name__, "50 ms" in str(error)]

    assert await run(host, script) == ["LimitExceededError", True]


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        (Limits(wall_ms=0), "limits.wall_ms is `0`"),
        (Limits(subrequests=0), "limits.subrequests is `0`"),
        (Limits(subrequests=True), "limits.subrequests is `True`"),
        ({"cpuMs": 5, "cpus": 1}, "not `cpus`"),
        (7, "not `int`"),
        (Limits(memory_mb=64), "give it in the code"),
    ],
)
async def test_wrong_limits_of_an_entry_point_are_refused_at_once(host: Any, limits: Any, message: str) -> None:
    assert message in str(await failure(run(host, entry("python", "count", own=limits))))


@pytest.mark.parametrize("key", ["cpuMs", "subRequests", "wallMs", "memoryMb"])
async def test_limits_have_the_reference_systems_names_too(host: Any, language: str, key: str) -> None:
    async def script(self: Host) -> object:
        code = code_of(language, BUSY[language])
        given = {"mainModule": code.main_module, "modules": code.modules, "limits": {key: 100}}
        return await self.env.LOADER.load(given).get_entrypoint().count()

    assert await run(host, script) == 1
