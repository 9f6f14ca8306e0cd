"""Supervisors in a sandbox: `env.LOADER` of a guest, its other bindings, and the founding example as it is written."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.conformance.flavours import GUESTS, code_of, failure

from perdure import LoaderBinding, NamespaceBinding, ServiceBinding, Worker, WorkerCode
from perdure.errors import ConfigurationError
from perdure.isolates import Isolates
from perdure.testing import World

SEED = Path(__file__).parents[2] / "examples" / "facets" / "worker.js"

SUPERVISOR = {
    "python": """
from perdure import DurableObject, FacetOptions, Response, WorkerCode, WorkerEntrypoint

class Runner(DurableObject):
    asked = 0

    def set_code(self, version, language, source):
        self.ctx.storage.kv.put("code", [version, language, source])

    def load(self):
        version, language, source = self.ctx.storage.kv.get("code")

        async def code():
            self.asked += 1
            if source == "raise":
                raise ValueError("no code today")
            make = WorkerCode.python if language == "python" else WorkerCode.javascript
            return make(source, env={"word": "lent"})

        return self.env.LOADER.get(version, code)

    def start_facet(self, name):
        return FacetOptions(cls=self.load().get_durable_object_class("App", props={"of": name}))

    async def app(self, name, method, *arguments):
        return await getattr(self.ctx.facets.get(name), method)(*arguments)

    async def entry(self, method, *arguments):
        return await getattr(self.load().get_entrypoint(), method)(*arguments)

    async def named(self, name, method, *arguments):
        return await getattr(self.load().get_entrypoint(name), method)(*arguments)

    async def smuggle(self, what):
        worker = self.load()
        things = {
            "class": lambda: worker.get_durable_object_class("App"),
            "entry point": worker.get_entrypoint,
            "worker": lambda: worker,
            "loader": lambda: self.env.LOADER,
            "namespace": lambda: self.env.ROOM,
        }
        return await worker.get_entrypoint().add(things[what](), 1)

    async def lend(self, what):
        lent = self.env.MATHS if what == "service" else self.env.ROOM.get_by_name("lent")
        return await self.load().get_entrypoint().use(lent, "add" if what == "service" else "hello")

    async def page(self, url):
        return await (await self.load().get_entrypoint(props={"a": 1}).fetch(url)).text()

    def times_asked(self):
        return self.asked

    async def once(self, code, method, *arguments):
        return await getattr(self.env.LOADER.load(code).get_entrypoint(), method)(*arguments)

    async def evaluated(self, source, names, language):
        return await self.env.LOADER.evaluate(source, names, language=language)

    async def checked(self, name):
        await self.load().check(name)
        return "fine"

    def stop(self, name):
        self.ctx.facets.abort(name, "stopped")

    async def keep_loader(self):
        self.ctx.storage.kv.put("loader", self.env.LOADER)

    async def other(self, name):
        return await self.env.ROOM.get_by_name(name).hello()

    async def service(self, *arguments):
        return await self.env.MATHS.add(*arguments)

class Default(WorkerEntrypoint):
    async def entry(self, code, method, *arguments):
        async def give():
            return code
        return await getattr(self.env.LOADER.get(None, give).get_entrypoint(), method)(*arguments)
""",
    "javascript": """
import { DurableObject, WorkerEntrypoint } from "cloudflare:workers";

export class Runner extends DurableObject {
  #asked = 0;

  setCode(version, language, source) { this.ctx.storage.kv.put("code", [version, language, source]); }

  #load() {
    const [version, language, source] = this.ctx.storage.kv.get("code");
    return this.env.LOADER.get(version, async () => {
      this.#asked++;
      if (source === "raise") throw new TypeError("no code today");
      const name = language === "python" ? "worker.py" : "worker.js";
      const [env, modules] = [{ word: "lent" }, { [name]: source }];
      return { compatibilityDate: "2026-04-01", mainModule: name, modules, env, globalOutbound: null };
    });
  }

  startFacet(name) { return { class: this.#load().getDurableObjectClass("App", { props: { of: name } }) }; }
  async app(name, method, ...rest) { return await this.ctx.facets.get(name)[method](...rest); }
  async entry(method, ...rest) { return await this.#load().getEntrypoint()[method](...rest); }
  async named(name, method, ...rest) { return await this.#load().getEntrypoint(name)[method](...rest); }
  async smuggle(what) {
    const worker = this.#load();
    const things = {
      class: () => worker.getDurableObjectClass("App"),
      "entry point": () => worker.getEntrypoint(),
      worker: () => worker,
      loader: () => this.env.LOADER,
      namespace: () => this.env.ROOM,
    };
    return await worker.getEntrypoint().add(things[what](), 1);
  }
  async lend(what) {
    const lent = what === "service" ? this.env.MATHS : this.env.ROOM.getByName("lent");
    return await this.#load().getEntrypoint().use(lent, what === "service" ? "add" : "hello");
  }
  async page(url) { return await (await this.#load().getEntrypoint(undefined, { props: { a: 1 } }).fetch(url)).text(); }
  timesAsked() { return this.#asked; }
  async once(code, method, ...rest) { return await this.env.LOADER.load(code).getEntrypoint()[method](...rest); }
  async evaluated(source, names, language) { return await this.env.LOADER.evaluate(source, names, { language }); }
  async checked(name) { await this.#load().check(name); return "fine"; }
  stop(name) { this.ctx.facets.abort(name, "stopped"); }
  keepLoader() { this.ctx.storage.kv.put("loader", this.env.LOADER); }
  async other(name) { return await this.env.ROOM.getByName(name).hello(); }
  async service(...rest) { return await this.env.MATHS.add(...rest); }
}

export default class extends WorkerEntrypoint {
  async entry(code, method, ...rest) {
    return await this.env.LOADER.get(null, async () => code).getEntrypoint()[method](...rest);
  }
}
""",
}
APP = {
    "python": """
from perdure import DurableObject, Response, WorkerEntrypoint
class App(DurableObject):
    def count(self):
        n = self.ctx.storage.kv.get("n", 0) + 1
        self.ctx.storage.kv.put("n", n)
        return [n, self.ctx.props["of"], self.env.word]
    def loader(self):
        return self.env.get("LOADER") is None
class Default(WorkerEntrypoint):
    def add(self, a, b): return a + b
    async def use(self, lent, method): return await getattr(lent, method)(*([1, 2] if method == "add" else []))
    def fetch(self, request): return Response(f"{request.url} {self.ctx.props['a']}")
""",
    "javascript": """
import { DurableObject, WorkerEntrypoint } from "cloudflare:workers";
export class App extends DurableObject {
  count() {
    const n = (this.ctx.storage.kv.get("n") ?? 0) + 1;
    this.ctx.storage.kv.put("n", n);
    return [n, this.ctx.props.of, this.env.word];
  }
  loader() { return this.env.LOADER === undefined; }
}
export default class extends WorkerEntrypoint {
  add(a, b) { return a + b; }
  async use(lent, method) { return await lent[method](...(method === "add" ? [1, 2] : [])); }
  fetch(request) { return new Response(`${request.url} ${this.ctx.props.a}`); }
}
""",
}
ROOM = """
from perdure import DurableObject, WorkerEntrypoint
class Room(DurableObject):
    def hello(self): return f"{self.ctx.id.name} of another worker"
class Maths(WorkerEntrypoint):
    def add(self, a, b): return a + b + self.ctx.props["more"]
"""
ROOMS = Worker("rooms", WorkerCode.python(ROOM), classes=["Room"])
BINDINGS: dict[str, LoaderBinding | NamespaceBinding | ServiceBinding] = {
    "LOADER": LoaderBinding(),
    "ROOM": NamespaceBinding("Room", worker="rooms"),
    "MATHS": ServiceBinding("rooms", "Maths", props={"more": 100}),
}


@dataclass
class Stage:
    world: World
    language: str

    async def call(self, method: str, *arguments: Any) -> Any:
        return await getattr(self.world.get("supervisor-Runner", "a"), method)(*arguments)

    async def set_app(self, version: str = "1", *, language: str | None = None) -> None:
        language = language or self.language
        await self.call("set_code", version, language, APP[language])


@pytest.fixture
def world(perdure_isolates: Isolates) -> Iterator[World]:
    with World(isolates=perdure_isolates) as world:
        yield world


@pytest.fixture(params=GUESTS)
def stage(request: pytest.FixtureRequest, world: World) -> Stage:
    code = code_of(request.param, SUPERVISOR[request.param])
    world.add_worker(ROOMS)
    world.add_worker(Worker("supervisor", code, classes=["Runner"], bindings=BINDINGS))
    return Stage(world, request.param)


def test_the_founding_example_counts_and_survives_a_restart(perdure_isolates: Isolates) -> None:
    seed = Worker(
        "seed", WorkerCode.javascript(SEED.read_text()), classes=["AppRunner"], bindings={"LOADER": LoaderBinding()}
    )

    async def answer(world: World) -> str:
        return await (await world.fetch("http://localhost/")).text()

    with World(fetch=seed, isolates=perdure_isolates) as world:
        answers = [world.run(answer(world)) for _ in range(3)]
        world.run(world.restart())
        answers.append(world.run(answer(world)))

    assert answers == [f"You've made {n} requests.\n" for n in range(1, 5)]


@pytest.mark.parametrize("app_language", GUESTS)
async def test_a_guest_runs_a_dynamic_class_as_its_facet(world: World, stage: Stage, app_language: str) -> None:
    await stage.set_app(language=app_language)

    assert await stage.call("app", "x", "count") == [1, "x", "lent"]
    assert await stage.call("app", "x", "count") == [2, "x", "lent"]
    assert await stage.call("app", "y", "count") == [1, "y", "lent"]
    assert await stage.call("times_asked") == 1
    assert await stage.call("app", "x", "loader") is True


async def test_a_facet_comes_back_after_its_supervisor_was_evicted(world: World, stage: Stage) -> None:
    await stage.set_app()
    await stage.call("app", "x", "count")

    await world.settle()
    await stage.world.evict("supervisor-Runner", "a")

    assert await stage.call("app", "x", "count") == [2, "x", "lent"]


async def test_another_id_is_another_worker(world: World, stage: Stage) -> None:
    await stage.set_app("1")
    await stage.call("app", "x", "count")
    await stage.call("set_code", "2", stage.language, APP[stage.language].replace("lent", "x").replace("+ 1", "+ 10"))
    await stage.call("stop", "x")

    assert (await stage.call("app", "x", "count"))[0] == 11


async def test_entry_points_of_what_a_guest_loads(world: World, stage: Stage) -> None:
    await stage.set_app()

    assert await stage.call("entry", "add", 1, 2) == 3
    assert await stage.call("page", "http://app/x") == "http://app/x 1"
    assert await stage.world.get("supervisor-Runner", "b").once(code(stage.language), "add", 2, 3) == 5
    assert await stage.call("evaluated", "a + 1", {"a": 41}, stage.language) == 42


async def test_a_callback_that_fails_is_heard_as_it_failed_and_is_asked_again(world: World, stage: Stage) -> None:
    await stage.call("set_code", "1", stage.language, "raise")

    error = await failure(stage.call("app", "x", "count"))
    await stage.set_app()

    assert "no code today" in str(error)
    assert (await stage.call("app", "x", "count"))[0] == 1


async def test_workers_that_are_used_once_are_given_back(
    world: World, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("perdure.workers._pins.GUEST_STUBS_MAX", 20)

    for number in range(60):
        assert await stage.call("once", code(stage.language), "add", number, 1) == number + 1
        await stage.call("set_code", f"{number}", stage.language, APP[stage.language])
        assert await stage.call("entry", "add", number, 2) == number + 2
        if number % 10 == 0:
            await stage.call("stop", "x")
            await stage.call("app", "x", "count")


async def test_code_given_at_once_is_checked_at_once(world: World, stage: Stage) -> None:
    error = await failure(stage.call("once", {"main_module": "a.py", "modules": {}}, "add"))

    assert "modules must contain at least one module" in str(error)


async def test_a_class_that_is_not_there(world: World, stage: Stage) -> None:
    await stage.set_app()

    assert await stage.call("checked", "App") == "fine"
    assert "no such Durable Object class: `Nope`" in str(await failure(stage.call("checked", "Nope")))


BROKEN = {
    "python": {"syntax": "def", "start": "raise ValueError('intentional startup error')", "nothing": "x = 1"},
    "javascript": {
        "syntax": "const",
        "start": "throw new Error('intentional startup error')",
        "nothing": "export const x = 1;",
    },
}


@pytest.mark.parametrize(
    ("broken", "texts"),
    [
        ("syntax", ["Failed to start Worker", "SyntaxError"]),
        ("start", ["Failed to start Worker", "intentional startup error"]),
    ],
)
async def test_code_that_does_not_start_is_told_at_each_use(
    world: World, stage: Stage, broken: str, texts: list[str]
) -> None:
    await stage.call("set_code", "1", stage.language, BROKEN[stage.language][broken])

    for use in (("app", "x", "count"), ("entry", "add", 1, 2), ("checked", "App"), ("app", "x", "count")):
        error = str(await failure(stage.call(*use)))
        assert all(text in error for text in texts), error
    await stage.set_app("2")
    assert await stage.call("entry", "add", 1, 2) == 3


async def test_entry_points_that_are_not_there(world: World, stage: Stage) -> None:
    await stage.set_app()

    assert "Worker has no such entrypoint: Nope" in str(await failure(stage.call("named", "Nope", "add", 1, 2)))
    assert "refers to a Durable Object class" in str(await failure(stage.call("named", "App", "count")))
    assert await stage.call("named", None, "add", 1, 2) == 3
    await stage.call("set_code", "2", stage.language, BROKEN[stage.language]["nothing"])
    assert "Worker has no default entrypoint" in str(await failure(stage.call("entry", "add", 1, 2)))
    await stage.call("stop", "x")
    assert "no such Durable Object class: `App`" in str(await failure(stage.call("app", "x", "count")))


@pytest.mark.parametrize("app_language", GUESTS)
async def test_what_a_supervisor_is_bound_to_can_be_lent_to_what_it_loads(
    world: World, stage: Stage, app_language: str
) -> None:
    await stage.set_app(language=app_language)

    assert await stage.call("lend", "service") == 103
    assert await stage.call("lend", "stub") == "lent of another worker"


@pytest.mark.parametrize("what", ["class", "entry point", "worker", "loader", "namespace"])
async def test_what_belongs_to_the_supervisor_does_not_cross(world: World, stage: Stage, what: str) -> None:
    await stage.set_app()

    error = await failure(stage.call("smuggle", what))

    known = ("cannot be transferred", "does not support serialization", "cannot be")
    assert any(text in str(error) for text in known), error
    assert await stage.call("entry", "add", 1, 2) == 3


async def test_a_loader_stays_with_its_worker(world: World, stage: Stage) -> None:
    error = await failure(stage.call("keep_loader"))

    assert "serializ" in str(error) or "cannot" in str(error)


async def test_namespaces_and_services_of_another_worker(world: World, stage: Stage) -> None:
    assert await stage.call("other", "lobby") == "lobby of another worker"
    assert await stage.call("service", 1, 2) == 103


def code(language: str) -> dict[str, object]:
    name = "worker.py" if language == "python" else "worker.js"
    return {"main_module": name, "modules": {name: APP[language]}}


@pytest.mark.parametrize(
    ("binding", "text"),
    [
        (NamespaceBinding("Nope"), "has no namespace of that name"),
        (NamespaceBinding("Room", worker="nobody"), "names the worker `nobody`"),
        (ServiceBinding("nobody"), "names the worker `nobody`"),
    ],
)
async def test_a_binding_to_what_is_not_there_is_refused(
    world: World, binding: NamespaceBinding | ServiceBinding, text: str
) -> None:
    world.add_worker(Worker("bound", WorkerCode.python(ROOM), classes=["Room"], bindings={"IT": binding}))

    with pytest.raises(ConfigurationError, match=text):
        await world.fetch("http://localhost/")
