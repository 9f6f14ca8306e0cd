"""One object under test, in three flavours: trusted Python, a Python guest, a JavaScript guest."""

from __future__ import annotations

import asyncio
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from perdure import DurableObject, FacetOptions, PerdureError, Response, WorkerCode
from perdure.api import Stub
from perdure.clock import Clock, SystemClock
from perdure.errors import GuestError
from perdure.testing import World

HERE = Path(__file__).parent
SOURCES = {"python": (HERE / "subject.py").read_text(), "javascript": (HERE / "subject.js").read_text()}
FLAVOURS = ("trusted", "python", "javascript")
GUESTS = ("python", "javascript")


class Time:
    """What `time` is to a guest: its world's. Trusted code must be handed it."""

    clock: Clock = SystemClock()

    def time(self) -> float:
        return self.clock.now_ms() / 1000


TIME = Time()
classes: list[type[DurableObject]] = []


def _trusted_subject() -> type[DurableObject]:
    spec = importlib.util.spec_from_file_location("perdure_subject", HERE / "subject.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    vars(module)["time"] = TIME
    classes[:] = [module.Subject, module.Another]
    subject: type[DurableObject] = module.Subject
    return subject


TrustedSubject = _trusted_subject()


def code_of(language: str, source: str, **options: Any) -> WorkerCode:
    """One module in one language."""
    make = WorkerCode.python if language == "python" else WorkerCode.javascript
    return make(source, **options)


class Supervisor(DurableObject):
    """Runs code as a facet; called as the language that it is in."""

    def __init__(self, ctx: Any, env: Any) -> None:
        super().__init__(ctx, env)
        self.stubs: dict[int, Stub] = {}

    def facet(self) -> Stub:
        language = str(self.ctx.id.name)
        load = lambda: code_of(language, SOURCES[language])  # noqa: E731
        worker = self.env.LOADER.get("subject", load)
        return self.ctx.facets.get("subject", lambda: FacetOptions(cls=worker.get_durable_object_class("Subject")))

    async def relay(self, generation: int, method: str, arguments: list[object]) -> object:
        stub = self.stubs.get(generation)
        if stub is None:
            stub = self.stubs[generation] = self.facet()
        return await getattr(stub, method)(*arguments)

    async def fetch(self, request: Any) -> Response:
        return await self.facet().fetch(request)

    def read(self, key: str) -> object:
        """From the supervisor's own database."""
        return self.ctx.storage.kv.get(key)


@dataclass
class Subject:
    """The object under test. A stub that was used stays the same one until `renew`."""

    world: World
    flavour: str
    generation: int = 0
    stub: Stub | None = field(default=None)

    async def call(self, method: str, *arguments: Any) -> Any:
        if self.flavour != "trusted":
            supervisor = self.world.get(Supervisor, self.flavour)
            return await supervisor.relay(self.generation, method, list(arguments))
        if self.stub is None:
            self.stub = (await self.world.namespace(TrustedSubject)).get_by_name("it")
        return await getattr(self.stub, method)(*arguments)

    def begin(self, method: str, *arguments: Any) -> asyncio.Task[Any]:
        """A call under way."""
        return asyncio.ensure_future(self.call(method, *arguments))

    async def fetch(self, url: str) -> Response:
        kind, name = (TrustedSubject, "it") if self.flavour == "trusted" else (Supervisor, self.flavour)
        return await self.world.get(kind, name).fetch(url)

    def renew(self) -> None:
        """Use a fresh stub from now on."""
        self.stub = None
        self.generation += 1

    async def evict(self) -> None:
        """Out of memory, as after ten quiet seconds."""
        kind, name = (TrustedSubject, "it") if self.flavour == "trusted" else (Supervisor, self.flavour)
        await self.world.evict(kind, name)
        self.renew()

    async def crash(self) -> None:
        await self.world.crash()
        self.renew()

    async def restart(self) -> None:
        await self.world.restart()
        self.renew()


async def failure(work: Any) -> Exception:
    """What `work` raises."""
    try:
        result = await work
    except Exception as error:  # noqa: BLE001  # that it is raised is what the caller asks for
        return error
    raise AssertionError(f"it did not fail, it gave {result!r}")


def type_name(error: BaseException) -> str:
    """The class of an error as its author wrote it."""
    return error.type_name if isinstance(error, GuestError) else type(error).__name__


def is_reset(error: BaseException) -> bool:
    return isinstance(error, PerdureError) and error.durable_object_reset


Make = Callable[[str], Subject]
