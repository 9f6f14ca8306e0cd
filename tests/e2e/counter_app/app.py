"""Counters for the crash tests: `/plain/NAME` counts in a trusted object, `/python/NAME` and `/javascript/NAME` in guests."""

from __future__ import annotations

from perdure import DurableObject, FacetOptions, Platform, Request, Response, WorkerCode, WorkerEntrypoint

PYTHON = """
from workers import DurableObject, Response

class App(DurableObject):
    def fetch(self, request):
        count = self.ctx.storage.kv.get("count", 0)
        if request.method == "POST":
            count += 1
            self.ctx.storage.kv.put("count", count)
            self.ctx.storage.sql.exec("create table if not exists hit(id integer primary key)")
            self.ctx.storage.sql.exec("insert into hit(id) values (?)", count)
        rows = self.ctx.storage.sql.exec("select name from sqlite_master where name = 'hit'").all()
        hits = self.ctx.storage.sql.exec("select count(*) from hit").scalar() if rows else 0
        return Response.json({"count": count, "rows": hits})
"""

JAVASCRIPT = """
import { DurableObject } from "cloudflare:workers";

export class App extends DurableObject {
  fetch(request) {
    const { kv, sql } = this.ctx.storage;
    sql.exec("create table if not exists hit(id integer primary key)");
    let count = kv.get("count") ?? 0;
    if (request.method === "POST") {
      kv.put("count", ++count);
      sql.exec("insert into hit(id) values (?)", count);
    }
    return Response.json({ count, rows: sql.exec("select count(*) as n from hit").one().n });
  }
}
"""


class Plain(DurableObject):
    """A trusted counter."""

    def on_start(self) -> None:
        self.ctx.storage.sql.exec("create table if not exists hit(id integer primary key)")

    def fetch(self, request: Request) -> Response:
        count = self.ctx.storage.kv.get("count", 0)
        if request.method == "POST":
            count += 1
            self.ctx.storage.kv.put("count", count)
            self.ctx.storage.sql.exec("insert into hit(id) values (?)", count)
        rows = self.ctx.storage.sql.exec("select count(*) from hit").scalar()
        return Response.json({"count": count, "rows": rows})


class Runner(DurableObject):
    """Runs a guest's counter as a facet."""

    async def fetch(self, request: Request) -> Response:
        language = request.path.split("/")[1]
        return await self.ctx.facets.get("app", lambda: self.start_app(language)).fetch(request)

    def start_app(self, language: str) -> FacetOptions:
        code = WorkerCode.python(PYTHON) if language == "python" else WorkerCode.javascript(JAVASCRIPT)
        worker = self.env.LOADER.get(language, lambda: code)
        return FacetOptions(cls=worker.get_durable_object_class("App"))


class Default(WorkerEntrypoint):
    """Sends `/KIND/NAME` to the object of that name."""

    async def fetch(self, request: Request) -> Response:
        kind, name = request.path.strip("/").split("/")
        namespace = self.ctx.exports.Plain if kind == "plain" else self.ctx.exports.Runner
        return await namespace.get_by_name(f"{kind}-{name}").fetch(request)


platform = Platform([Plain, Runner], fetch=Default)
