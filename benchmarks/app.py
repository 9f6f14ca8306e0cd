"""perdure's side of the benchmarks: the same routes as peers/workerd.js, with a trusted Python supervisor.

`/app/NAME`, `/init/NAME` (JavaScript app), `/app-py/NAME`, `/init-py/NAME` (its Python twin), `/cold`, `/cold-py`,
`/c/NAME`, `/bundle` (a cold load of a megabyte), `/rpc/WHAT` (twenty calls, or one of a megabyte), `/passed` (a
guest's fetch of a megabyte), and `/burn/LANGUAGE/WAY`, a guest that burns a second of CPU.
"""

from __future__ import annotations

import itertools
import os
from pathlib import Path
from uuid import uuid4

from perdure import (
    DurableObject,
    FacetOptions,
    HistoryOptions,
    Limits,
    Platform,
    Request,
    Response,
    Worker,
    WorkerCode,
    WorkerEntrypoint,
)
from perdure.api import WorkerStub

AGENT_CODE = (Path(__file__).parent / "agent_code.js").read_text()
AGENT_CODE_PY = """
from workers import DurableObject, Response

class App(DurableObject):
    def fetch(self, request):
        counter = self.ctx.storage.kv.get("counter") or 0
        counter += 1
        self.ctx.storage.kv.put("counter", counter)
        return Response(f"You've made {counter} requests.\\n")
"""
COLD = 'export default { fetch(request) { return new Response("cold\\n"); } }'
COLD_PY = """
from workers import Response, WorkerEntrypoint

class Default(WorkerEntrypoint):
    def fetch(self, request):
        return Response("cold\\n")
"""
BUNDLE = COLD + "".join(f'\nfunction unused{n}() {{ return "{"x" * 64} {n}"; }}' for n in range(10_000))
CALLS = 20
CALLED = """
import { DurableObject } from "cloudflare:workers";
export class App extends DurableObject {
  add(number) { return number + 1; }
  back(callback, number) { return callback(number); }
  size(text) { return text.length; }
}
"""
GUESTS = """
import { DurableObject } from "cloudflare:workers";
export class Near extends DurableObject {
  async relay(calls) {
    const far = this.ctx.exports.Far.getByName("far");
    let sum = 0;
    for (let n = 0; n < calls; n++) sum = await far.add(sum);
    return sum;
  }
}
export class Far extends DurableObject {
  add(number) { return number + 1; }
}
"""
PASSING = 'export default { fetch(request) { return fetch("http://outside/megabyte"); } }'
MEGABYTE = "m" * 2**20
BURN_JS = """
import { DurableObject } from "cloudflare:workers";
export class App extends DurableObject {
  fetch(request) {
    const way = new URL(request.url).pathname.split("/").at(-1);
    if (way === "code") for (;;) {}
    if (way === "regex") /(a+)+$/.test("a".repeat(40) + "b");
    const endless = "with recursive c(x) as (select 1 union all select x+1 from c) select count(*) from c";
    if (way === "sql") this.ctx.storage.sql.exec(endless).one();
    if (way === "calls") for (;;) this.ctx.storage.kv.get("nothing");
    return new Response("not burnt");
  }
}
"""
BURN_PY = """
import re
from workers import DurableObject, Response

class App(DurableObject):
    def fetch(self, request):
        way = request.url.rsplit("/", 1)[-1]
        if way == "code":
            while True: pass
        if way == "regex":
            re.match("(a+)+$", "a" * 40 + "b")
        if way == "sql":
            endless = "with recursive c(x) as (select 1 union all select x+1 from c) select count(*) from c"
            self.ctx.storage.sql.exec(endless).one()
        if way == "calls":
            while True: self.ctx.storage.kv.get("nothing")
        return Response("not burnt")
"""
BURN_LIMITS = Limits(cpu_ms=1000)
SOURCES = {"js": AGENT_CODE, "py": AGENT_CODE_PY}


def worker_code(language: str, source: str, limits: Limits | None = None) -> WorkerCode:
    """One module of either language."""
    make = WorkerCode.javascript if language == "js" else WorkerCode.python
    return make(source, limits=limits)


class AppRunner(DurableObject):
    """The seed's supervisor."""

    async def fetch(self, request: Request) -> Response:
        return await self.ctx.facets.get("app", self.start_app).fetch(request)

    def start_app(self) -> FacetOptions:
        return FacetOptions(cls=self.load_worker().get_durable_object_class("App"))

    def load_worker(self) -> WorkerStub:
        kv = self.ctx.storage.kv
        return self.env.LOADER.get(kv.get("codeId"), lambda: worker_code(kv.get("language"), kv.get("code")))

    def set_code(self, code: str, language: str) -> None:
        kv = self.ctx.storage.kv
        kv.put("codeId", str(uuid4()))
        kv.put("code", code)
        kv.put("language", language)


class Counter(DurableObject):
    """One durable put."""

    def fetch(self, request: Request) -> Response:
        counter = (self.ctx.storage.kv.get("counter") or 0) + 1
        self.ctx.storage.kv.put("counter", counter)
        return Response(f"You've made {counter} requests.\n")


class Burner(DurableObject):
    """Runs a guest that does not stop by itself."""

    async def fetch(self, request: Request) -> Response:
        language = request.path.split("/")[2]
        return await self.ctx.facets.get("app", lambda: self.start_app(language)).fetch(request)

    def start_app(self, language: str) -> FacetOptions:
        code = worker_code(language, BURN_JS if language == "js" else BURN_PY, BURN_LIMITS)
        return FacetOptions(cls=self.env.LOADER.get(language, lambda: code).get_durable_object_class("App"))


class Caller(DurableObject):
    """Calls a guest that is its facet."""

    async def rpc(self, what: str) -> object:
        """Twenty calls one after the other, or one of a megabyte."""
        app = self.ctx.facets.get("app", self.start_app)
        if what == "megabyte":
            return await app.size(MEGABYTE)
        total = 0
        for _ in range(CALLS):
            total = await (app.back(lambda number: number + 1, total) if what == "callback" else app.add(total))
        return total

    def start_app(self) -> FacetOptions:
        worker = self.env.LOADER.get("called", lambda: worker_code("js", CALLED))
        return FacetOptions(cls=worker.get_durable_object_class("App"))


class Outside(WorkerEntrypoint):
    """The way out of the guest whose fetch is measured."""

    async def fetch(self, request: Request) -> Response:
        return Response(MEGABYTE)


loaded = itertools.count()


class Default(WorkerEntrypoint):
    """The router."""

    async def fetch(self, request: Request) -> Response:
        _, kind, *rest = request.path.split("/")
        exports = self.ctx.exports
        if kind == "c":
            return await exports.Counter.get_by_name(rest[0]).fetch(request)
        if kind == "burn":
            return await exports.Burner.get_by_name("-".join(rest)).fetch(request)
        if kind == "rpc":
            return Response(f"{await self.rpc(rest[0])}\n")
        if kind == "bundle":
            worker = self.env.LOADER.get(f"bundle-{next(loaded)}", lambda: worker_code("js", BUNDLE))
            return await worker.get_entrypoint().fetch(request)
        if kind == "passed":
            worker = self.env.LOADER.get("passing", self.passing)
            return await worker.get_entrypoint().fetch(request)
        kind, _, suffix = kind.partition("-")
        language = suffix or "js"
        if kind == "cold":
            code = worker_code(language, COLD if language == "js" else COLD_PY)
            worker = self.env.LOADER.get(f"cold-{next(loaded)}", lambda: code)
            return await worker.get_entrypoint().fetch(request)
        runner = exports.AppRunner.get_by_name(rest[0])
        if kind == "init":
            await runner.set_code(SOURCES[language], language)
        return await runner.fetch(request)

    async def rpc(self, what: str) -> object:
        """What is measured of calls: a trusted caller, or a guest."""
        if what == "guests":
            return await platform.get("guests-Near", "near").relay(CALLS)
        return await self.ctx.exports.Caller.get_by_name("caller").rpc(what)

    def passing(self) -> WorkerCode:
        """A guest that answers with what its fetch got."""
        return WorkerCode("worker.js", {"worker.js": PASSING}, global_outbound=self.ctx.exports.Outside)


HISTORY = None if os.environ.get("BENCH_HISTORY") == "off" else HistoryOptions()

platform = Platform(
    [AppRunner, Counter, Burner, Caller],
    fetch=Default,
    exports=[Outside],
    workers=[Worker("guests", WorkerCode.javascript(GUESTS), classes=["Near", "Far"])],
    history=HISTORY,
)
