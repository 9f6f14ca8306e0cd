"""Stubs in the env and the props of a dynamic worker: what a supervisor lends to what it loads (spec 5.5)."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.conformance.flavours import code_of, failure
from tests.conformance.loaders import Host

from perdure import DurableObject, RpcTarget, WorkerCode, WorkerEntrypoint
from perdure.errors import ValueNotCloneableError
from perdure.isolates import Isolates
from perdure.testing import World
from perdure.web import Request, Response

BORROWING = {
    "python": """
from workers import DurableObject, Response, WorkerEntrypoint
seen = []
class Uses:
    async def query(self, text):
        return await self.env.DB.query(text)
    async def fetched(self):
        return await (await self.env.deep[0]["it"].fetch("http://x/path")).text()
    async def added(self, amount):
        return await self.env.COUNTER.add(amount)
    async def kept(self):
        seen.append(self.env.DB)
        return await seen[0].query("kept")
    async def of_props(self, text):
        return await self.ctx.props["db"].query(text)
    async def passed_back(self):
        return await self.env.COUNTER.ask(self.env.DB)
    def names(self):
        return sorted(self.env)
    async def missing(self):
        try:
            await self.env.DB.secret()
        except Exception as error:
            return type(error).__name__
class Default(Uses, WorkerEntrypoint):
    async def fetch(self, request):
        return Response(await self.env.DB.query("by http") + await self.ctx.props["db"].query("by http"))
class App(Uses, DurableObject):
    pass
""",
    "javascript": """
import { DurableObject, WorkerEntrypoint } from "cloudflare:workers";
const seen = [];
const uses = (Base) => class extends Base {
  query(text) { return this.env.DB.query(text); }
  async fetched() { return (await this.env.deep[0].it.fetch("http://x/path")).text(); }
  added(amount) { return this.env.COUNTER.add(amount); }
  kept() {
    seen.push(this.env.DB);
    return seen[0].query("kept");
  }
  ofProps(text) { return this.ctx.props.db.query(text); }
  passedBack() { return this.env.COUNTER.ask(this.env.DB); }
  names() { return Object.keys(this.env).sort(); }
  async missing() {
    try {
      await this.env.DB.secret();
    } catch (error) {
      return error.name;
    }
  }
};
export default class extends uses(WorkerEntrypoint) {
  async fetch(request) {
    return new Response(await this.env.DB.query("by http") + await this.ctx.props.db.query("by http"));
  }
}
export class App extends uses(DurableObject) {}
""",
}


class Database(WorkerEntrypoint):
    """What is lent: its props stay with whoever lends it."""

    async def fetch(self, request: Request) -> Response:
        return Response(f"{self.ctx.props['app']} {request.url}")

    def query(self, text: str) -> str:
        return f"{self.ctx.props['app']}: {text}"


class Counter(DurableObject):
    """An object that is lent."""

    def add(self, amount: int) -> int:
        total: int = self.ctx.storage.kv.get("n", 0) + amount
        self.ctx.storage.kv.put("n", total)
        return total

    async def ask(self, database: Any) -> object:
        return await database.query("passed back")

    def end(self) -> None:
        self.ctx.abort("reset")


@pytest.fixture
def world(perdure_isolates: Isolates) -> Iterator[World]:
    with World([Host, Counter], exports=[Database], isolates=perdure_isolates) as world:
        yield world


def lending(self: Host, language: str, app: str = "a") -> WorkerCode:
    database = self.ctx.exports.Database(props={"app": app, "secret": "s"})
    env = {"DB": database, "COUNTER": self.ctx.exports.Counter.get_by_name("c"), "deep": [{"it": database}], "n": 1}
    return code_of(language, BORROWING[language], env=env)


@pytest.fixture(params=["entry point", "facet"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def borrower(self: Host, language: str, kind: str, worker_id: str | None = "w", app: str = "a") -> Any:
    worker = self.env.LOADER.get(worker_id, lambda: lending(self, language, app))
    if kind == "entry point":
        return worker.get_entrypoint(props={"db": self.ctx.exports.Database(props={"app": "p"})})

    def start() -> Any:
        return worker.get_durable_object_class("App", props={"db": self.ctx.exports.Database(props={"app": "p"})})

    return self.ctx.facets.get(f"{worker_id} {app}", start)


async def perform(host: Any, script: Any) -> Any:
    Host.script = script
    return await host.perform()


async def test_case_80_a_guest_uses_the_stubs_that_it_is_given(host: Any, language: str, kind: str) -> None:
    async def script(self: Host) -> object:
        it = borrower(self, language, kind)
        return [await it.query("q"), await it.fetched(), await it.added(2), await it.added(3), await it.names()]

    assert await perform(host, script) == ["a: q", "a http://x/path", 2, 5, ["COUNTER", "DB", "deep", "n"]]


async def test_case_e23_a_stub_of_an_object_in_env_is_passed_back(host: Any, language: str, kind: str) -> None:
    async def script(self: Host) -> object:
        it = borrower(self, language, kind)
        return [await it.passedBack(), await it.missing() is not None]

    assert await perform(host, script) == ["a: passed back", True]


async def test_case_e23_stubs_in_props(host: Any, language: str, kind: str) -> None:
    async def script(self: Host) -> object:
        it = borrower(self, language, kind)
        return [await it.ofProps("q"), await it.ofProps("r")]

    assert await perform(host, script) == ["p: q", "p: r"]


async def test_env_and_props_of_a_request(host: Any, language: str) -> None:
    async def script(self: Host) -> object:
        return await (await borrower(self, language, "entry point").fetch("http://x/")).text()

    assert await perform(host, script) == "a: by httpp: by http"


async def test_a_stub_of_env_outlives_the_event_that_kept_it(host: Any, language: str, kind: str) -> None:
    async def script(self: Host) -> object:
        it = borrower(self, language, kind)
        return [await it.kept() for _ in range(3)]

    assert await perform(host, script) == ["a: kept"] * 3


async def test_a_stub_in_env_reaches_an_object_that_was_reset(host: Any, language: str, kind: str) -> None:
    async def script(self: Host) -> object:
        it = borrower(self, language, kind)
        first = await it.added(1)
        error = await failure(self.ctx.exports.Counter.get_by_name("c").end())
        return [first, error is not None, await it.added(1)]

    assert await perform(host, script) == [1, True, 2]


async def test_events_leave_no_references_behind(host: Any, language: str) -> None:
    async def script(self: Host) -> object:
        it = borrower(self, language, "entry point")
        for _ in range(30):
            await it.ofProps("q")
        gc.collect()
        session = await self.env.LOADER.get("w", self.load)._worker.session()
        table = session.messages.references._lent
        return [len(table), sum(lent.count for lent in table._lent.values())]

    table, references = await perform(host, script)
    assert table <= 3  # DB, COUNTER and that of the props.
    assert references <= 33


async def test_each_supervisor_lends_its_own(host: Any, world: World, language: str, kind: str) -> None:
    async def script(self: Host) -> object:
        return await borrower(self, language, kind, app=str(self.ctx.id.name)).query("q")

    assert await perform(host, script) == "h: q"
    assert await perform(world.get(Host, "other"), script) == "other: q"


async def test_a_shared_loader_takes_no_stubs(host: Any, language: str) -> None:
    async def script(self: Host) -> object:
        worker = self.env.LOADER.shared("all").get("w", lambda: lending(self, language))
        return await failure(worker.get_entrypoint().query("q"))

    error = await perform(host, script)

    assert "env of a worker that is shared holds no stubs" in str(error)


REFUSED: dict[str, Callable[[Any], object]] = {
    "function": lambda self: lambda: None,
    "target": lambda self: RpcTarget(),
    "namespace": lambda self: self.ctx.exports.Counter,
    "loader": lambda self: self.env.LOADER,
    "loaded worker": lambda self: self.worker(),
    "dynamic entry point": lambda self: self.worker().get_entrypoint(),
    "facet": lambda self: self.ctx.facets.get("f", lambda: Counter),
    "entry point that was not called": lambda self: self.ctx.exports.Database,
    "promise": lambda self: self.ctx.exports.Counter.get_by_name("c").add(0),
    "property": lambda self: self.ctx.exports.Counter.get_by_name("c").add,
}


@pytest.mark.parametrize("where", ["env", "props of an entry point", "props of a class", "props of its own"])
@pytest.mark.parametrize("what", REFUSED)
async def test_what_lives_and_dies_elsewhere_is_refused(host: Any, language: str, what: str, where: str) -> None:
    async def script(self: Host) -> object:
        Host.code = code_of(language, BORROWING[language])
        value = {"deep": [REFUSED[what](self)]}
        match where:
            case "env":
                self.env.LOADER.load(code_of(language, BORROWING[language], env=value))
            case "props of an entry point":
                self.worker().get_entrypoint(props=value)
            case "props of a class":
                self.worker().get_durable_object_class("App", props=value)
            case _:
                self.ctx.exports.Database(props=value)
        return None

    error = await failure(perform(host, script))

    assert isinstance(error, ValueNotCloneableError)
