"""An app platform in one file: people (or models) publish small apps, each runs in a sandbox with its own database.

The page is on http://localhost:8787; the app called `todo` is on http://todo.localhost:8787, an origin of its own.
"""

import json
from pathlib import Path

from perdure import (
    DurableObject,
    FacetOptions,
    Limits,
    PerdureError,
    Platform,
    Request,
    Response,
    WorkerCode,
    WorkerEntrypoint,
)

HERE = Path(__file__).parent
SAMPLES = {"counter.py": "python", "todo.py": "python", "poll.js": "javascript", "guestbook.js": "javascript"}
LANGUAGES = {"python": WorkerCode.python, "javascript": WorkerCode.javascript}
APP_HOST = "{name}.localhost"  # where `*.localhost` does not reach this machine: README.md
LIMITS = Limits(cpu_ms=1000, memory_mb=64)  # of one app
SOURCE_LENGTH_MAX = 100_000


class AppRunner(DurableObject):
    """Supervises one app: keeps its source, runs it as a facet, counts its requests."""

    async def fetch(self, request: Request) -> Response:
        if self.ctx.storage.kv.get("version") is None:
            return Response(f"There is no app called `{self.ctx.id.name}` yet: publish one under this name.\n", 404)
        try:
            response = await self.ctx.facets.get("app").fetch(request)
        except PerdureError as error:
            self.record(request, 500, repair_text(error))
            raise
        self.record(request, response.status)
        return response

    def start_facet(self, name: str) -> FacetOptions:
        """Called when the app is not running. The same worker id promises the same code."""
        worker = self.env.LOADER.get(f"version {self.ctx.storage.kv.get('version')}", self.load_code)
        return FacetOptions(cls=worker.get_durable_object_class("App"))

    def load_code(self) -> WorkerCode:
        kv = self.ctx.storage.kv
        return LANGUAGES[kv.get("language")](kv.get("source"), limits=LIMITS)

    def record(self, request: Request, status: int, error: str | None = None) -> None:
        sql, values = self.ctx.storage.sql, (request.method, request.path[:200], status, error)
        sql.exec("insert into log values (null, datetime(), ?, ?, ?, ?)", *values)
        sql.exec("delete from log where id <= (select max(id) from log) - 100")

    async def publish(self, source: str, language: str) -> dict:
        """Run new code from the next request on; the app's data stays. Code that does not load changes nothing."""
        try:
            await self.env.LOADER.load(LANGUAGES[language](source, limits=LIMITS)).check("App")
        except PerdureError as error:
            return {"error": repair_text(error)}
        # Only now: a name that somebody merely tried leaves no file behind.
        log = "create table if not exists log(id integer primary key, at, method, path, status, error)"
        self.ctx.storage.sql.exec(log)
        version = self.ctx.storage.kv.get("version", 0) + 1
        for key, value in (("source", source), ("language", language), ("version", version)):
            self.ctx.storage.kv.put(key, value)
        self.ctx.facets.abort("app", "new code was published")
        await self.ctx.exports.Catalogue.get_by_name("all").add(self.ctx.id.name)
        return {"version": version}

    def describe(self) -> dict | None:
        sql, kv = self.ctx.storage.sql, self.ctx.storage.kv
        return kv.get("version") and {
            "name": self.ctx.id.name,
            "language": kv.get("language"),
            "version": kv.get("version"),
            "requests": sql.exec("select max(id) from log").scalar() or 0,
            "latest": sql.exec("select * from log order by id desc limit 5").all(),
        }

    def source(self) -> str | None:
        return self.ctx.storage.kv.get("source")


class Catalogue(DurableObject):
    """The names of all apps."""

    def add(self, name: str) -> None:
        self.ctx.storage.kv.put(name, value=True)

    def names(self) -> list[str]:
        return [name for name, _ in self.ctx.storage.kv.list()]


class Default(WorkerEntrypoint):
    """The platform's own page and its small API."""

    async def fetch(self, request: Request) -> Response:
        match request.method, request.path.strip("/").split("/"):
            case "GET", [""]:
                return Response.html((HERE / "page.html").read_text(encoding="utf-8"))
            case "GET", ["api", "samples"]:
                return Response.json([sample(file) for file in SAMPLES])
            case "GET", ["api", "apps"]:
                names = await self.ctx.exports.Catalogue.get_by_name("all").names()
                apps = [await self.runner(name).describe() for name in names]
                return Response.json({"app_host": APP_HOST, "apps": apps})
            case "GET", ["api", "apps", name] if app := await self.runner(name).describe():
                return Response.json({**app, "source": await self.runner(name).source()})
            case "PUT", ["api", "apps", name]:
                return await self.publish(name, request)
        return Response.json({"error": "There is nothing here."}, 404)

    async def publish(self, name: str, request: Request) -> Response:
        try:
            platform.app_host(name)  # a name that no host can carry is refused here
            source, language = read_app(await request.json())
        except json.JSONDecodeError as error:
            return Response.json({"error": f"The body is no JSON: {error}."}, 400)
        except (PerdureError, ValueError) as error:
            return Response.json({"error": str(error)}, 400)
        result = await self.runner(name).publish(source, language)
        return Response.json(result, 422 if "error" in result else 200)

    def runner(self, name: str):
        return self.ctx.exports.AppRunner.get_by_name(name)


def read_app(body: object) -> tuple[str, str]:
    """Source and language of what somebody sent; raises ValueError that says what is wrong."""
    match body:
        case {"source": str(source)} if len(source) > SOURCE_LENGTH_MAX:
            raise ValueError(f"The source has {len(source)} characters, the limit is {SOURCE_LENGTH_MAX}.")
        case {"source": str(source), "language": str(language)} if language in LANGUAGES:
            return source, language
    raise ValueError(f'Send {{"source": "…", "language": "…"}}, the language one of: {", ".join(LANGUAGES)}.')


def repair_text(error: PerdureError) -> str:
    """What whoever wrote the app can repair it from: the traceback in its own files, or what limit it ran into."""
    return getattr(error, "guest_traceback", "").strip("\n") or str(error)


def sample(file: str) -> dict:
    source = (HERE / "samples" / file).read_text(encoding="utf-8")
    title = source.splitlines()[0].strip('"/ .')  # of its docstring or first comment
    return {"name": Path(file).stem, "title": title, "language": SAMPLES[file], "source": source}


platform = Platform([AppRunner, Catalogue], fetch=Default, app_host=APP_HOST)
