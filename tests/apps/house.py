"""The house in which the apps of this folder live: a supervisor that runs one app for each name.

It lends its apps a database of its own, which they reach by calls and never as a file.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx

from perdure import DurableObject, FacetOptions, Limits, Request, Response, WorkerCode, WorkerEntrypoint
from perdure.isolates import Isolates
from perdure.testing import World

ORIGIN: Final = "http://app.test"
LIMITS: Final = Limits(cpu_ms=5_000)
_MAIN: Final = ("app.py", "app.js", "app.ts")
_NOT_MODULES: Final = {"session.py", "README.md"}


@dataclass(frozen=True)
class AppFolder:
    """An app as it lies on disk."""

    path: Path

    @property
    def main(self) -> str:
        """The file that the app begins with."""
        return next(name for name in _MAIN if (self.path / name).is_file())

    def code(self, env: dict[str, object]) -> WorkerCode:
        """Its modules, by their paths below the folder."""
        files = [path for path in sorted(self.path.rglob("*")) if path.is_file() and path.name not in _NOT_MODULES]
        modules = {str(path.relative_to(self.path)): path.read_text(encoding="utf-8") for path in files}
        return WorkerCode(self.main, modules, env=env, limits=LIMITS)


FOLDERS: dict[str, AppFolder] = {}
"""By the name of the object that runs it."""


class Database(WorkerEntrypoint):
    """What the house lends: SQL on a database of its own, one for each app."""

    async def query(self, sql: str, *bindings: object) -> list[dict[str, object]]:
        """The rows of a statement."""
        rows: list[dict[str, object]] = await self._of_app().query(sql, *bindings)
        return rows

    async def execute(self, sql: str, *bindings: object) -> int:
        """How many rows a statement wrote."""
        count: int = await self._of_app().execute(sql, *bindings)
        return count

    def _of_app(self) -> Any:  # a stub
        return self.ctx.exports.Lent.get_by_name(self.ctx.props["app"])


class Lent(DurableObject):
    """The database that one app was lent."""

    def query(self, sql: str, *bindings: Any) -> list[dict[str, object]]:  # what SQL takes
        """The rows of a statement."""
        return [dict(row) for row in self.ctx.storage.sql.exec(sql, *bindings)]

    def execute(self, sql: str, *bindings: Any) -> int:  # what SQL takes
        """How many rows a statement wrote."""
        cursor = self.ctx.storage.sql.exec(sql, *bindings)
        cursor.all()
        return cursor.rows_written


class House(DurableObject):
    """Runs the app that `FOLDERS` has under the object's own name."""

    async def fetch(self, request: Request) -> Response:
        """Pass a request on to the app: to its object, or to its entry point."""
        if request.headers.get("x-house") == "entrypoint":
            answer: Response = await self.worker().get_entrypoint().fetch(request)
            return answer
        return await self.ctx.facets.get("app").fetch(request)

    async def run(self, names: dict[str, object]) -> object:
        """Run the app as a script, once: the value of its last expression."""
        folder = FOLDERS[self.ctx.id.name or ""]
        language = "python" if folder.main.endswith(".py") else "javascript"
        source = (folder.path / folder.main).read_text(encoding="utf-8")
        value: object = await self.env.LOADER.evaluate(source, names, language=language, limits=LIMITS)
        return value

    def start_facet(self, name: str) -> FacetOptions:
        """How the app's object is started, by a request or by its alarm."""
        return FacetOptions(cls=self.worker().get_durable_object_class("App"))

    def worker(self) -> Any:  # the loader's stub
        """The app's code, loaded."""
        name = self.ctx.id.name or ""
        return self.env.LOADER.get(f"app {name}", lambda: FOLDERS[name].code(self.lent()))

    def lent(self) -> dict[str, object]:
        """The `env` of the app."""
        return {
            "DB": self.ctx.exports.Database(props={"app": self.ctx.id.name}),
            "GREETING": "hello from the house",
        }


class AppTransport(httpx.AsyncBaseTransport):
    """httpx's way into a world: each request goes to the supervisor of the app called `name`."""

    def __init__(self, world: World, name: str, kind: str) -> None:
        self._world = world
        self._name = name
        self._kind = kind

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Ask the app; what it answers, as httpx has it."""
        headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in request.headers.raw]
        headers = [line for line in headers if line[0].lower() not in {"content-length", "transfer-encoding"}]
        body = await request.aread()
        asked = Request(str(request.url), request.method, [*headers, ("x-house", self._kind)], body or None)
        answer = await self._world.get(House, self._name).fetch(asked)
        return httpx.Response(
            answer.status, headers=answer.headers.multi_items(), content=await answer.bytes(), request=request
        )


class App:
    """One app in a world of its own, as its session sees it."""

    def __init__(self, folder: Path, kind: str, isolates: Isolates) -> None:
        self.name = f"{folder.parent.name} {folder.name}"
        self.kind = kind
        FOLDERS[self.name] = AppFolder(folder)
        self.world = World([House, Lent], exports=[Database], isolates=isolates)

    def visitor(self) -> httpx.AsyncClient:
        """A browser that nobody has used yet."""
        transport = AppTransport(self.world, self.name, self.kind)
        return httpx.AsyncClient(transport=transport, base_url=ORIGIN)

    async def run(self, **names: object) -> object:
        """Run a script once with these names: what its last expression gave."""
        value: object = await self.world.get(House, self.name).run(names)
        return value

    async def restart(self) -> None:
        """End the process in order, and start it again: what was only in memory is gone."""
        await self.world.restart()

    async def advance(self, span: str) -> None:
        """Let time pass: `1h`, `90s`."""
        await self.world.advance(span)
