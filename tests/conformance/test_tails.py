"""Who is told of each event of a dynamic worker after it has ended (spec 5.8)."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from tests.conformance.flavours import code_of, failure
from tests.conformance.loaders import Host

from perdure import DurableObject, Limits, Request, WorkerEntrypoint
from perdure.isolates import Isolates
from perdure.limits import TAIL_LOG_BYTES_MAX
from perdure.testing import World

TALKING = {
    "python": """
from workers import Response, WorkerEntrypoint
import asyncio
class Default(WorkerEntrypoint):
    async def fetch(self, request):
        print("hello", request.method)
        await asyncio.sleep(0.01)
        print("bye")
        return Response("made", 201)
    def fail(self): raise ValueError("no such luck")
    def spin(self):
        while True: pass
    async def say(self, word):
        for n in range(3):
            print(word, n)
            await asyncio.sleep(0.01)
    def shout(self):
        for _ in range(900): print("x" * 1000)
class Named(WorkerEntrypoint):
    def add(self, a, b): return a + b
""",
    "javascript": """
import { WorkerEntrypoint } from "cloudflare:workers";
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
export default class extends WorkerEntrypoint {
  async fetch(request) {
    console.log("hello", request.method);
    await sleep(10);
    console.log("bye");
    return new Response("made", { status: 201 });
  }
  fail() { throw new RangeError("no such luck"); }
  spin() { for (;;); }
  async say(word) {
    for (let n = 0; n < 3; n++) {
      console.log(word, n);
      await sleep(10);
    }
  }
  shout() { for (let n = 0; n < 900; n++) console.log("x".repeat(1000)); }
}
export class Named extends WorkerEntrypoint { add(a, b) { return a + b; } }
""",
}


class Tail(WorkerEntrypoint):
    """Keeps what it is told."""

    told: list[Any] = []  # noqa: RUF012  # emptied by each test

    async def tail(self, events: list[Any]) -> None:
        self.told.extend(events)


class BadTail(WorkerEntrypoint):
    """Fails, or never ends."""

    async def tail(self, events: list[Any]) -> None:
        if events[0]["event"] == {"rpcMethod": "say"}:
            await asyncio.get_running_loop().create_future()
        raise ValueError("a tail that fails")


class NoTail(WorkerEntrypoint):
    """Has no such method."""


class Keeper(DurableObject):
    """An object as a tail."""

    def tail(self, events: list[Any]) -> None:
        self.ctx.storage.kv.put("told", [event["event"] for event in events])

    def told(self) -> object:
        return self.ctx.storage.kv.get("told")


@pytest.fixture
def world(perdure_isolates: Isolates) -> Iterator[World]:
    Tail.told.clear()
    with World([Host, Keeper], exports=[Tail, BadTail, NoTail], isolates=perdure_isolates) as world:
        yield world


async def perform(host: Any, world: World, script: Any) -> Any:
    Host.script = script
    try:
        return await host.perform()
    finally:
        await world.advance(0.1)


def worker(self: Host, language: str, *tails: Any, limits: Limits | None = None) -> Any:
    code = code_of(language, TALKING[language], limits=limits)
    return self.env.LOADER.load({"mainModule": code.main_module, "modules": code.modules, "tails": list(tails),
                                 "limits": code.limits})  # fmt: skip


async def test_a_request_is_told_with_its_log(host: Any, world: World, language: str) -> None:
    async def script(self: Host) -> None:
        headers = {"authorization": "Bearer secret", "x-api-key": "secret", "cookie": "a=secret", "accept": "text/html"}
        entry = worker(self, language, self.ctx.exports.Tail).get_entrypoint()
        await entry.fetch(Request("http://x.example/a?b", "POST", headers, "body"))

    await perform(host, world, script)

    (item,) = Tail.told
    assert item["event"]["request"] | {"headers": None} == {
        "method": "POST", "url": "http://x.example/a?b", "headers": None,
    }  # fmt: skip
    assert item["event"]["response"] == {"status": 201}
    assert "secret" not in str(item)
    assert item["event"]["request"]["headers"]["accept"] == "text/html"
    assert [line["message"] for line in item["logs"]] == [["hello POST"], ["bye"]]
    assert {line["level"] for line in item["logs"]} == {"log"}
    assert (item["outcome"], item["exceptions"], item["entrypoint"], item["truncated"]) == ("ok", [], None, False)
    assert item["wallTime"] >= 10
    assert isinstance(item["cpuTime"], int)


async def test_a_call_is_told_with_its_exception(host: Any, world: World, language: str) -> None:
    async def script(self: Host) -> object:
        loaded = worker(self, language, self.ctx.exports.Tail)
        return [await loaded.get_entrypoint("Named").add(1, 2), str(await failure(loaded.get_entrypoint().fail()))]

    assert await perform(host, world, script) == [3, "no such luck"]

    added, failed = Tail.told
    assert (added["event"], added["entrypoint"], added["outcome"]) == ({"rpcMethod": "add"}, "Named", "ok")
    assert failed["outcome"] == "exception"
    (exception,) = failed["exceptions"]
    assert exception["message"] == "no such luck"
    assert exception["name"] == {"python": "ValueError", "javascript": "RangeError"}[language]


async def test_limits_are_outcomes(host: Any, world: World, language: str) -> None:
    async def script(self: Host) -> None:
        loaded = worker(self, language, self.ctx.exports.Tail)
        await failure(loaded.get_entrypoint(limits=Limits(cpu_ms=50)).spin())
        await failure(loaded.get_entrypoint(limits=Limits(wall_ms=15)).say("slow"))

    await perform(host, world, script)

    assert [item["outcome"] for item in Tail.told] == ["exceededCpu", "exceededWall"]


async def test_each_event_has_a_log_of_its_own(host: Any, world: World, language: str) -> None:
    async def script(self: Host) -> None:
        entry = worker(self, language, self.ctx.exports.Tail).get_entrypoint()
        await entry.say("alone")

    await perform(host, world, script)

    (item,) = Tail.told
    assert [line["message"][0] for line in item["logs"]] == ["alone 0", "alone 1", "alone 2"]


async def test_a_long_log_is_cut_and_says_so(host: Any, world: World, language: str) -> None:
    async def script(self: Host) -> None:
        await worker(self, language, self.ctx.exports.Tail).get_entrypoint().shout()

    await perform(host, world, script)

    (item,) = Tail.told
    assert item["truncated"] is True
    assert sum(len(line["message"][0]) for line in item["logs"]) <= TAIL_LOG_BYTES_MAX


async def test_a_tail_that_fails_hangs_or_is_none_is_nobodys_business(host: Any, world: World, language: str) -> None:
    async def script(self: Host) -> object:
        exports = self.ctx.exports
        loaded = worker(self, language, exports.BadTail, exports.NoTail, exports.Tail)
        await loaded.get_entrypoint().say("on")
        return await loaded.get_entrypoint("Named").add(1, 2)

    assert await perform(host, world, script) == 3
    await world.advance(60)

    assert [item["event"] for item in Tail.told] == [{"rpcMethod": "say"}, {"rpcMethod": "add"}]


async def test_an_object_is_a_tail(host: Any, world: World, language: str) -> None:
    async def script(self: Host) -> object:
        keeper = self.ctx.exports.Keeper.get_by_name("k")
        return await worker(self, language, keeper).get_entrypoint("Named").add(1, 2)

    await perform(host, world, script)

    assert await world.get(Keeper, "k").told() == [{"rpcMethod": "add"}]


async def test_nobody_else_can_tell_a_tail(host: Any, world: World) -> None:
    async def script(self: Host) -> object:
        exports = self.ctx.exports
        return [
            str(await failure(stub.tail([{"forged": 1}]))) for stub in (exports.Tail, exports.Keeper.get_by_name("k"))
        ]

    for text in await perform(host, world, script):
        assert "'tail' is a reserved method" in text
    assert Tail.told == []


async def test_what_cannot_be_a_tail(host: Any, world: World, language: str) -> None:
    async def script(self: Host) -> object:
        loaded = worker(self, language)
        wrong = [loaded.get_entrypoint(), "tail", None]
        errors = []
        for given in wrong:
            try:
                worker(self, language, given)
            except TypeError as error:
                errors.append(str(error))
        return errors

    own, text, nothing = await perform(host, world, script)

    assert "Entrypoints to dynamically-loaded workers cannot be transferred" in own
    assert text.startswith("tails[0] is a stub")
    assert nothing.startswith("tails[0] is a stub")
