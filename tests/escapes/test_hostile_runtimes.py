"""Guests that have taken over their own runtime, below a supervisor: what they tell the host harms nobody else.

`strike` is given the text of the report that its turn ends with, as an expression, since some are too long to send.
What counts is the processor time that the event loop's thread spends: meanwhile nobody else is served.
"""

from __future__ import annotations

import asyncio
import resource
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from perdure import DurableObject, FacetOptions, Limits, PerdureError, Platform, WorkerCode
from perdure.isolates import Isolates
from perdure.limits import KV_LIST_PAGE_BYTES
from perdure.testing import World

SOURCE = """
import asyncio
import json
import perdure.guest._entry as entry
from perdure import DurableObject, FacetOptions

class App(DurableObject):
    def ping(self):
        return "pong"

    def strike(self, expression):
        text, kind = eval(expression), type(entry._guest)
        honest = kind._report

        def forged(guest):
            kind._report = honest
            return text

        kind._report = forged

    def ask(self, op, key, payload):
        return len(entry._guest._ask(op, eval(key), eval(payload)))

    def fill(self):
        for number in range(8):
            self.ctx.storage.kv.put(str(number), "x" * 2_000_000)

    def names(self):
        return self.ctx.facets.list()

    def start(self):
        return FacetOptions(cls=self.ctx.exports.App)

    def pin(self):
        self.ctx.wait_until(asyncio.sleep(10_000_000))

    def make_index(self):
        self.ctx.storage.sql.exec("CREATE VIRTUAL TABLE words USING fts5(body)")
        self.ctx.storage.sql.exec("INSERT INTO words VALUES (?)", "a " * 10_000)

    def search(self, words):
        query = "SELECT count(*) AS n FROM words WHERE body MATCH ?"
        return self.ctx.storage.sql.exec(query, "NEAR(" + "a " * words + ")").one()["n"]

    def index_and_search(self, words):
        self.make_index()
        return self.search(words)

    async def call_facet(self, name):
        return await self.ctx.facets.get(name, self.start).ping()
"""
BUSY_S_MAX = 0.3
MEMORY_BYTES_MAX = 300 * 1024 * 1024


class AppRunner(DurableObject):
    """The supervisor of one app."""

    async def app(self, method: str, *arguments: object) -> object:
        result = await getattr(self.ctx.facets.get("app", self.start), method)(*arguments)
        return None if method == "strike" else result

    def start(self) -> FacetOptions:
        worker = self.env.LOADER.get("1", lambda: WorkerCode.python(SOURCE, limits=Limits(cpu_ms=2000, memory_mb=256)))
        return FacetOptions(cls=worker.get_durable_object_class("App"))


@pytest.fixture
def world(perdure_isolates: Isolates) -> Iterator[World]:
    with World([AppRunner], isolates=perdure_isolates) as world:
        for name in ("hostile", "honest"):
            assert world.run(world.get(AppRunner, name).app("ping")) == "pong"
        yield world


def attack(world: World, method: str, *arguments: object) -> object:
    """What an attack comes to, while the loop is hardly busy and little memory is taken."""
    used_s, used_kib = time.thread_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        outcome: object = world.run(world.get(AppRunner, "hostile").app(method, *arguments))
    except PerdureError as error:
        outcome = error
    busy_s = time.thread_time() - used_s
    grown_bytes = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - used_kib) * 1024
    assert world.run(world.get(AppRunner, "honest").app("ping")) == "pong"
    assert world.run(world.get(AppRunner, "hostile").app("ping")) == "pong"
    assert busy_s < BUSY_S_MAX
    assert sys.platform != "linux" or grown_bytes < MEMORY_BYTES_MAX
    return outcome


def of_a_result(result: str) -> str:
    """The expression of a report with this expression of a result; the event is the second one of the app."""
    return f"""'{{"d":[[2,1,' + {result} + ']]}}'"""


BOMBS = {
    "empty lists": "'[[' + '[],' * 10_000_000 + '0]]'",
    "wide lists": "'[[' + '[[]],' * 80_000 + '0]]'",
    "numbers": "'[[' + '0,' * 200_000 + '0]]'",
    "colliding keys": "json.dumps(['set', [['bigint', str(n * (2**61 - 1))] for n in range(1, 20_000)]])",
    "long digits": "json.dumps([[['bigint', '9' * 4300]] * 2_000])",
    "deep": "'[[' * 5_000_000",
    "an unknown tag": "json.dumps(['x' * 20_000_000])",
    "an error": "json.dumps(['error', 'x' * 10_000_000, 'y' * 10_000_000])",
}


@pytest.mark.parametrize("bomb", BOMBS.values(), ids=BOMBS.keys())
def test_a_result_made_to_take_long_holds_up_nobody(world: World, bomb: str) -> None:
    attack(world, "strike", of_a_result(bomb))


OPERATIONS = {
    "a name that is a tree": """'{"o":[[1,"facet.abort",{"f":[' + '[],' * 70_000 + '0]}]]}'""",
    "a name of megabytes": """'{"o":[[1,"facet.call",{"f":"' + 'x' * 20_000_000 + '","cb":1,"m":"a","a":[]}]]}'""",
    "a method that is a tree": """'{"o":[[1,"facet.call",{"f":"a","cb":1,"a":[],"m":[' + '[],' * 70_000 + '0]}]]}'""",
    "unknown callbacks": """json.dumps({"o": [[n, "facet.call", {"f": str(n), "cb": 2**52, "m": "a", "a": []}]
        for n in range(200)]})""",
    "one number for all": """json.dumps({"o": [[1, "facet.abort", {"f": "x"}]] * 1000})""",
    "sections that begin twice": """json.dumps({"s": [["begin", 1], ["begin", 1]]})""",
    "sections that were never begun": """json.dumps({"d": [[2, 1, None]], "s": [["end", 7], ["end", 8]]})""",
    "events of others": """json.dumps({"d": [[n, 1, None] for n in range(1000)]})""",
    "capabilities without end": """json.dumps({"d": [[2, 1, [[["export", n + 1, "function"]
        for n in range(60_000)]]]]})""",
    "capabilities that are none": """json.dumps({"d": [[2, 1, [[["export", -1, "function"], ["export", [], {}],
        ["import", {}], ["import", 2**70], ["channel", [], []], ["channel", "stub", {"x": {}, "i": []}]]]]]})""",
    "references that were not lent": """json.dumps({"d": [[2, 1, None]], "c": [[1, 1], [2, 10**9]]})""",
    "references that are none": """json.dumps({"d": [[2, 1, None]], "c": [[[], {}], -1, "x"]})""",
    "a capability that comes with its return": """json.dumps({"d": [[2, 1, [[["export", 1, "target"],
        ["import", 1]]]]]})""",
    "results of results that never come": """json.dumps({"o": [[n, "rpc.call", {"on": n, "path": ["x"], "a": []}]
        for n in range(1, 500)]})""",
    "results of results of others": """json.dumps({"o": [[n, "rpc.call", {"on": n + 1, "path": [], "a": []}]
        for n in range(1, 500)]})""",
    "a path of megabytes": """json.dumps({"o": [[1, "rpc.get", {"n": 1, "path": ["x" * 100_000] * 100}]]})""",
    "a path that is a tree": """'{"o":[[1,"rpc.call",{"n":1,"a":[],"path":[' + '[],' * 70_000 + '0]}]]}'""",
    "arguments of capabilities without end": """json.dumps({"o": [[1, "facet.call", {"f": "a", "cb": 1, "n": 1,
        "m": "a", "a": [["export", n + 1, "function"] for n in range(200)]}], [2, "rpc.call", {"n": 1, "path": [],
        "a": [[[["export", n + 1, "target"] for n in range(60_000)]]]}]]})""",
}  # fmt: skip


@pytest.mark.parametrize("report", OPERATIONS.values(), ids=OPERATIONS.keys())
def test_a_report_that_asks_for_nonsense_harms_its_own_object_at_most(world: World, report: str) -> None:
    used_s = time.thread_time()
    call = world.get(AppRunner, "hostile").app("strike", report)

    async def struck() -> None:
        await asyncio.wait([asyncio.ensure_future(call)], timeout=40)

    world.run(struck())

    assert time.thread_time() - used_s < BUSY_S_MAX
    assert world.run(world.get(AppRunner, "honest").app("ping")) == "pong"


CALLS = {
    "bindings": (6, "'select 1'", "'[' + '[],' * 5_000_000 + '0]'"),
    "options of a listing": (5, "''", "'[' + '[],' * 5_000_000 + '0]'"),
    "a line of the log": (1, "'x' * 15_000_000", "'y' * 15_000_000"),
    "a module": (9, "'x' * 15_000_000", "''"),
    "a cursor": (7, "'9' * 15_000_000", "''"),
    "an unknown operation": (77, "'x' * 15_000_000", "''"),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
def test_a_host_call_made_to_take_long_holds_up_nobody(world: World, call: tuple[int, str, str]) -> None:
    attack(world, "ask", *call)


WORDS = 130  # of one full-text query, which take 0.8 s in one step of SQLite
SEARCHES = {"a table that is there": ["make_index", "search"], "a table of the same turn": ["index_and_search"]}


@pytest.mark.parametrize("methods", SEARCHES.values(), ids=SEARCHES.keys())
def test_full_text_search_of_code_known_to_be_short_does_not_hold_the_loop(
    perdure_isolates: Isolates, tmp_path: Path, methods: list[str]
) -> None:
    async def longest_wait_s() -> float:
        """For how long the loop did nothing else, on whichever thread it waited."""
        platform = Platform([AppRunner], data=tmp_path / "data", isolates=perdure_isolates, has_admin_socket=False)
        try:
            hostile = platform.get(AppRunner, "hostile")
            for method in ["ping", *methods[:-1]]:
                await hostile.app(method)
            for _ in range(20):
                await platform.get(AppRunner, "honest").app("ping")
            call = asyncio.ensure_future(hostile.app(methods[-1], WORDS))
            longest_s = 0.0
            while not call.done():
                before_s = time.monotonic()
                await asyncio.sleep(0)
                longest_s = max(longest_s, time.monotonic() - before_s)
            assert await call == 1
            return longest_s
        finally:
            await platform.stop()

    assert asyncio.run(longest_wait_s()) < BUSY_S_MAX


def test_a_listing_of_large_values_comes_in_parts(world: World) -> None:
    assert attack(world, "fill") is None

    assert attack(world, "ask", 5, "''", "'{}'") == pytest.approx(KV_LIST_PAGE_BYTES, abs=2_000_100)


def test_names_of_facets_are_listed_without_the_root_database(world: World) -> None:
    hostile = world.get(AppRunner, "hostile")

    assert world.run(hostile.app("names")) == []
    for name in ("b", "a"):
        world.run(hostile.app("call_facet", name))
    assert world.run(hostile.app("names")) == ["a", "b"]


def test_an_app_does_not_start_sandboxes_without_end(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("perdure.objects._directory.GUEST_FACETS_LIVE_MAX", 4)  # the root and the app are among them
    hostile = world.get(AppRunner, "hostile")
    for name in ("a", "b"):
        world.run(hostile.app("call_facet", name))

    with pytest.raises(PerdureError, match="4 facets in memory"):
        world.run(hostile.app("call_facet", "c"))

    assert world.run(hostile.app("call_facet", "a")) == "pong"
    assert world.run(world.get(AppRunner, "honest").app("call_facet", "a")) == "pong"


def test_sandboxes_that_only_pretend_to_be_busy_make_room_for_others(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("hostile", "honest"):
        world.run(world.get(AppRunner, name).app("pin"))
    monkeypatch.setattr("perdure.objects._directory.ISOLATES_MEMORY_BYTES_MAX", 2 * 1024 * 1024)

    assert world.run(world.get(AppRunner, "third").app("ping")) == "pong"
    assert world.run(world.get(AppRunner, "hostile").app("ping")) == "pong"
