"""Stubs in the env and the props of a dynamic worker: what a supervisor lends to what it loads (spec 5.5)."""

from __future__ import annotations

import gc
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from tests.conformance.flavours import GUESTS, code_of, failure
from tests.conformance.loaders import Host

from perdure import DurableObject, LoaderBinding, RpcTarget, Worker, WorkerCode, WorkerEntrypoint
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


class Asks(WorkerEntrypoint):
    """Has a stub in its props."""

    async def ask(self, text: str) -> object:
        return await self.ctx.props["counter"].query(text)


class Counter(DurableObject):
    """An object that is lent."""

    def add(self, amount: int) -> int:
        total: int = self.ctx.storage.kv.get("n", 0) + amount
        self.ctx.storage.kv.put("n", total)
        return total

    async def ask(self, database: Any) -> object:
        return await database.query("passed back")

    def query(self, text: str) -> str:
        return f"counter: {text}"

    def end(self) -> None:
        self.ctx.abort("reset")


@pytest.fixture
def world(perdure_isolates: Isolates) -> Iterator[World]:
    with World([Host, Counter], exports=[Database, Asks], isolates=perdure_isolates) as world:
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
    code = Host.code = code_of(language, BORROWING[language])

    async def script(self: Host) -> object:
        it: Any = REFUSED[what](self)
        lend: dict[str, Callable[[Any], object]] = {
            "env": lambda value: self.env.LOADER.load(replace(code, env=value)),
            "props of an entry point": lambda value: self.worker().get_entrypoint(props=value),
            "props of a class": lambda value: self.worker().get_durable_object_class("App", props=value),
            "props of its own": lambda value: self.ctx.exports.Database(props=value),
        }
        with pytest.raises(ValueNotCloneableError):
            lend[where]({"deep": [it]})
        return await it if what == "promise" else 0

    assert await perform(host, script) == 0


async def test_props_of_ones_own_entry_point(host: Any) -> None:
    async def script(self: Host) -> object:
        counter = self.ctx.exports.Counter.get_by_name("c")
        return await self.ctx.exports.Asks(props={"counter": counter}).ask("q")

    assert await perform(host, script) == "counter: q"


# ── supervisors in a sandbox ─────────────────────────────────────────────────────────────────────────────────

SUPERVISOR = {
    "python": """
from workers import DurableObject, Response, RpcTarget, WorkerEntrypoint
class Database(WorkerEntrypoint):
    def query(self, text):
        return f"{self.ctx.props['app']}: {text}"
    async def fetch(self, request):
        return Response(f"{self.ctx.props['app']} {request.url}")
class Asks(WorkerEntrypoint):
    async def ask(self, text):
        return await self.ctx.props["it"].query(text)
class Counter(DurableObject):
    def add(self, amount):
        total = self.ctx.storage.kv.get("n", 0) + amount
        self.ctx.storage.kv.put("n", total)
        return total
    async def ask(self, database):
        return await database.query("passed back")
class Runner(DurableObject):
    def code(self, name, source, **more):
        database = self.ctx.exports.Database(props={"app": "a", "secret": "s"})
        env = {"DB": database, "COUNTER": self.ctx.exports.Counter.get_by_name("c"), "deep": [{"it": database}], "n": 1}
        return {"main_module": name, "modules": {name: source}, "env": {**env, **more}}
    def props(self):
        return {"db": self.ctx.exports.Database(props={"app": "p"})}
    async def use(self, how, name, source, method, arguments):
        if how == "load":
            worker = self.env.LOADER.load(self.code(name, source))
        else:
            worker = self.env.LOADER.get("w", lambda: self.code(name, source))
        if how == "facet":
            it = self.ctx.facets.get("f", lambda: worker.get_durable_object_class("App", props=self.props()))
        else:
            it = worker.get_entrypoint(props=self.props())
        return await getattr(it, method)(*arguments)
    async def pass_on(self, name, source, lent):
        worker = self.env.LOADER.load(self.code(name, source))
        return await worker.get_entrypoint(props={"db": lent}).of_props("q")
    async def ask(self, lent):
        return await self.ctx.exports.Asks(props={"it": lent}).ask("q")
    def store(self, lent):
        self.ctx.storage.kv.put("it", self.ctx.exports.Asks(props={"it": lent}))
    def refused(self, name, source, what):
        worker = self.env.LOADER.get(None, lambda: self.code(name, source))
        things = {
            "function": lambda: (lambda: 1),
            "target": RpcTarget,
            "namespace": lambda: self.ctx.exports.Counter,
            "loader": lambda: self.env.LOADER,
            "loaded worker": lambda: worker,
            "dynamic entry point": lambda: worker.get_entrypoint(),
            "facet": lambda: self.ctx.facets.get("f", lambda: worker.get_durable_object_class("App")),
            "entry point that was not called": lambda: self.ctx.exports.Database,
        }
        self.env.LOADER.load(self.code(name, source, more=[things[what]()]))
""",
    "javascript": """
import { DurableObject, RpcTarget, WorkerEntrypoint } from "cloudflare:workers";
export class Database extends WorkerEntrypoint {
  query(text) { return `${this.ctx.props.app}: ${text}`; }
  fetch(request) { return new Response(`${this.ctx.props.app} ${request.url}`); }
}
export class Asks extends WorkerEntrypoint {
  ask(text) { return this.ctx.props.it.query(text); }
}
export class Counter extends DurableObject {
  add(amount) {
    const total = (this.ctx.storage.kv.get("n") ?? 0) + amount;
    this.ctx.storage.kv.put("n", total);
    return total;
  }
  ask(database) { return database.query("passed back"); }
}
export class Runner extends DurableObject {
  code(name, source, more) {
    const database = this.ctx.exports.Database({ props: { app: "a", secret: "s" } });
    const counter = this.ctx.exports.Counter.getByName("c");
    const env = { DB: database, COUNTER: counter, deep: [{ it: database }], n: 1, ...more };
    return { mainModule: name, modules: { [name]: source }, env };
  }
  props() { return { db: this.ctx.exports.Database({ props: { app: "p" } }) }; }
  async use(how, name, source, method, rest) {
    const give = () => this.code(name, source);
    const worker = how === "load" ? this.env.LOADER.load(give()) : this.env.LOADER.get("w", give);
    const start = () => ({ class: worker.getDurableObjectClass("App", { props: this.props() }) });
    const entry = () => worker.getEntrypoint(undefined, { props: this.props() });
    const it = how === "facet" ? this.ctx.facets.get("f", start) : entry();
    return await it[method](...rest);
  }
  async passOn(name, source, lent) {
    const worker = this.env.LOADER.load(this.code(name, source));
    return await worker.getEntrypoint(undefined, { props: { db: lent } }).ofProps("q");
  }
  async ask(lent) { return await this.ctx.exports.Asks({ props: { it: lent } }).ask("q"); }
  store(lent) { this.ctx.storage.kv.put("it", this.ctx.exports.Asks({ props: { it: lent } })); }
  refused(name, source, what) {
    const worker = this.env.LOADER.get(null, () => this.code(name, source));
    const things = {
      "function": () => () => 1,
      "target": () => new RpcTarget(),
      "namespace": () => this.ctx.exports.Counter,
      "loader": () => this.env.LOADER,
      "loaded worker": () => worker,
      "dynamic entry point": () => worker.getEntrypoint(),
      "facet": () => this.ctx.facets.get("f", () => ({ class: worker.getDurableObjectClass("App") })),
      "entry point that was not called": () => this.ctx.exports.Database,
    };
    this.env.LOADER.load(this.code(name, source, { more: [things[what]()] }));
  }
}
""",
}


@pytest.fixture(params=GUESTS)
def house(request: pytest.FixtureRequest, world: World) -> Any:
    """A supervisor in a sandbox, which lends what its own worker has."""
    code = code_of(request.param, SUPERVISOR[request.param])
    classes = ["Runner", "Counter"]
    world.add_worker(Worker("house", code, classes=classes, bindings={"LOADER": LoaderBinding()}))
    return world.get("house-Runner", "a")


def source_of(language: str) -> tuple[str, str]:
    return "app.py" if language == "python" else "app.js", BORROWING[language]


@pytest.mark.parametrize("how", ["load", "get", "facet"])
async def test_case_80_a_supervisor_in_a_sandbox_lends_stubs(house: Any, language: str, how: str) -> None:
    async def use(method: str, *arguments: object) -> object:
        return await house.use(how, *source_of(language), method, list(arguments))

    assert await use("query", "q") == "a: q"
    assert await use("fetched") == "a http://x/path"
    assert [await use("added", 2), await use("added", 3)] == [2, 5]
    assert await use("ofProps", "q") == "p: q"
    assert await use("passedBack") == "a: passed back"
    assert await use("names") == ["COUNTER", "DB", "deep", "n"]


async def test_case_e23_a_stub_that_a_sandbox_was_given_stands_in_props(
    house: Any, world: World, language: str
) -> None:
    counter = world.get(Counter, "c")

    assert await house.passOn(*source_of(language), counter) == "counter: q"
    assert await house.ask(counter) == "counter: q"
    assert "cannot be serialized in this context" in str(await failure(house.store(counter)))


@pytest.mark.parametrize("what", [what for what in REFUSED if what not in {"promise", "property"}])
async def test_what_a_sandbox_may_not_lend(house: Any, what: str) -> None:
    error = await failure(house.refused(*source_of("python"), what))

    assert re.search("serializ|transferred|functions cannot be stored", str(error)), error
