"""A supervisor that loads dynamic workers, and a worker to be loaded, in both languages."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from perdure import DurableObject, FacetOptions

ENTRY = {
    "python": """
from perdure import DurableObject, Response, WorkerEntrypoint
total = 0
class Default(WorkerEntrypoint):
    def fetch(self, request):
        return Response(f"default {request.url} {self.ctx.props} {self.env.get('word')}")
    def add(self, a, b):
        return a + b
class Named(WorkerEntrypoint):
    def fetch(self, request):
        return Response.json(self.ctx.props)
    def props(self):
        return self.ctx.props
    def total(self):
        global total
        total += 1
        return total
class App(DurableObject):
    def hello(self):
        n = self.ctx.storage.kv.get("n", 0) + 1
        self.ctx.storage.kv.put("n", n)
        return n
class Other(DurableObject):
    def hello(self):
        return "other"
""",
    "javascript": """
import { DurableObject, WorkerEntrypoint } from "cloudflare:workers";
let total = 0;
export default class extends WorkerEntrypoint {
  fetch(request) { return new Response(`default ${request.url} ${JSON.stringify(this.ctx.props)} ${this.env.word}`); }
  add(a, b) { return a + b; }
}
export class Named extends WorkerEntrypoint {
  fetch(request) { return Response.json(this.ctx.props); }
  props() { return this.ctx.props; }
  total() { return ++total; }
}
export class App extends DurableObject {
  hello() {
    const n = (this.ctx.storage.kv.get("n") ?? 0) + 1;
    this.ctx.storage.kv.put("n", n);
    return n;
  }
}
export class Other extends DurableObject {
  hello() { return "other"; }
}
""",
}


class Host(DurableObject):
    """Holds the loader; what it loads and what `perform` does is said by each test."""

    code: Any = None
    script: Callable[[Host], Awaitable[object]] | None = None
    asked = 0
    asked_for: tuple[str, tuple[object, ...]] = ("", ())

    def load(self) -> Any:
        type(self).asked += 1
        code = type(self).code
        return code() if callable(code) else code

    def worker(self, worker_id: str | None = "w") -> Any:
        return self.env.LOADER.get(worker_id, self.load)

    async def entry(self, name: str | None, method: str, arguments: list[object], props: object = None) -> object:
        return await getattr(self.worker().get_entrypoint(name, props=props), method)(*arguments)

    async def entry_fetch(self, name: str | None, props: object = None) -> str:
        return str(await (await self.worker().get_entrypoint(name, props=props).fetch("http://x/y")).text())

    async def private(self, method: str) -> list[object]:
        """Two workers without an id, used twice each."""
        workers = [self.worker(None).get_entrypoint("Named") for _ in range(2)]
        return [await getattr(worker, method)() for worker in (*workers, *workers)]

    async def facet(self, name: str, kind: str, method: str = "hello") -> object:
        stub = self.ctx.facets.get(name, lambda: FacetOptions(cls=self.worker().get_durable_object_class(kind)))
        return await getattr(stub, method)()

    async def perform(self) -> object:
        script = type(self).script
        assert script is not None
        return await script(self)

    async def once(self, method: str, *arguments: object) -> object:
        return await getattr(self.env.LOADER.load(type(self).code).get_entrypoint(), method)(*arguments)

    async def evaluate(self, source: str, names: dict[str, object], language: str) -> object:
        return await self.env.LOADER.evaluate(source, names, language=language)

    async def check(self, *classes: str) -> None:
        await self.worker().check(*classes)

    async def smuggle(self) -> object:
        return await self.worker().get_entrypoint().add(self.worker().get_durable_object_class("App"), 1)
