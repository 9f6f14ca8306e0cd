"""perdure's side of the benchmarks: the same routes as peers/workerd.js, with a trusted Python supervisor.

`/app/NAME`, `/init/NAME` (JavaScript app), `/app-py/NAME`, `/init-py/NAME` (its Python twin), `/cold`, `/cold-py`,
`/c/NAME`, and `/burn/LANGUAGE/WAY`, a guest that burns a second of CPU.
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


HISTORY = None if os.environ.get("BENCH_HISTORY") == "off" else HistoryOptions()

platform = Platform([AppRunner, Counter, Burner], fetch=Default, history=HISTORY)
