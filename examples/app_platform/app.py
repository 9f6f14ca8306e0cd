"""An app platform in one file: people (or models) publish small apps, each runs in a sandbox with its own database.

Run it with `perdure dev examples/app_platform`. The page is on http://localhost:PORT, the app called `todo` on
http://todo.localhost:PORT, an origin of its own.
"""

from __future__ import annotations

from pathlib import Path

from perdure import DurableObject, FacetOptions, GuestError, Limits, Platform, Request, Response, WorkerCode, WorkerEntrypoint

HERE = Path(__file__).parent
SAMPLES = {"counter": "counter.py", "todo": "todo.py", "poll": "poll.js"}


class AppRunner(DurableObject):
    """Supervises one app: keeps its source, runs it as a facet, counts its requests."""

    def on_start(self) -> None:
        self.ctx.storage.sql.exec(
            "create table if not exists request(id integer primary key, at text default current_timestamp, method text, path text, status int)"
        )

    async def fetch(self, request: Request) -> Response:
        if self.ctx.storage.kv.get("source") is None:
            return Response(f"There is no app called {self.ctx.id.name} yet. Publish one under this name.\n", 404)
        status = 500
        try:
            response = await self.app.fetch(request)
            status = response.status
            return response
        finally:
            self.ctx.storage.sql.exec(
                "insert into request(method, path, status) values (?, ?, ?)", request.method, request.path, status
            )

    @property
    def app(self):
        return self.ctx.facets.get("app", lambda: FacetOptions(cls=self.worker().get_durable_object_class("App")))

    def worker(self):
        kv = self.ctx.storage.kv
        return self.env.LOADER.get(kv.get("version"), lambda: worker_code(kv.get("source"), kv.get("language")))

    async def publish(self, source: str, language: str) -> dict:
        """Take new code; the app's data stays. An app that cannot start is refused, with text to repair it from."""
        try:
            await self.env.LOADER.load(worker_code(source, language)).check("App")
        except GuestError as error:
            return {"ok": False, "error": str(error)}
        kv = self.ctx.storage.kv
        kv.put("source", source)
        kv.put("language", language)
        kv.put("version", f"{kv.get('published', 0) + 1}")
        kv.put("published", kv.get("published", 0) + 1)
        self.ctx.facets.abort("app", "new code was published")
        return {"ok": True, "version": kv.get("published")}

    def describe(self) -> dict:
        """What the page shows of this app."""
        sql, kv = self.ctx.storage.sql, self.ctx.storage.kv
        return {
            "name": self.ctx.id.name,
            "language": kv.get("language"),
            "source": kv.get("source"),
            "version": kv.get("published"),
            "requests": sql.exec("select count(*) from request").scalar(),
            "latest": sql.exec("select at, method, path, status from request order by id desc limit 5").all(),
        }


class Catalogue(DurableObject):
    """The names of all apps."""

    def add(self, name: str) -> None:
        self.ctx.storage.kv.put(name, True)

    def names(self) -> list[str]:
        return [name for name, _ in self.ctx.storage.kv.list()]


class Default(WorkerEntrypoint):
    """The platform's own page and its small API."""

    async def fetch(self, request: Request) -> Response:
        match request.method, request.path.strip("/").split("/"):
            case "GET", [""]:
                return Response.html((HERE / "page.html").read_text())
            case "GET", ["api", "samples"]:
                return Response.json([sample(name) for name in SAMPLES])
            case "GET", ["api", "apps"]:
                names = await self.ctx.exports.Catalogue.get_by_name("all").names()
                return Response.json([await self.runner(name).describe() for name in names])
            case "PUT", ["api", "apps", name]:
                return await self.publish(name, await request.json())
        return Response("Not found\n", 404)

    async def publish(self, name: str, app: dict) -> Response:
        platform.app_host(name)  # a name that no host can carry is refused here
        result = await self.runner(name).publish(app["source"], app["language"])
        if result["ok"]:
            await self.ctx.exports.Catalogue.get_by_name("all").add(name)
        return Response.json(result, 200 if result["ok"] else 422)

    def runner(self, name: str):
        return self.ctx.exports.AppRunner.get_by_name(name)


def worker_code(source: str, language: str) -> WorkerCode:
    """The code of an app, with what one app may use."""
    make = WorkerCode.javascript if language == "javascript" else WorkerCode.python
    return make(source, limits=Limits(cpu_ms=1000, memory_mb=64))


def sample(name: str) -> dict:
    path = HERE / "samples" / SAMPLES[name]
    return {"name": name, "language": "javascript" if path.suffix == ".js" else "python", "source": path.read_text()}


platform = Platform([AppRunner, Catalogue], fetch=Default, app_host="{name}.localhost")
