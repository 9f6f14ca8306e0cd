"""One object under test, in three flavours: trusted Python, a Python guest, a JavaScript guest."""

from __future__ import annotations

import asyncio
import importlib.util
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

from perdure import (
    DurableObject,
    FacetOptions,
    NamespaceOptions,
    PerdureError,
    Response,
    Worker,
    WorkerCode,
    WorkerEntrypoint,
)
from perdure.api import Namespace, Stub
from perdure.clock import Clock, SystemClock
from perdure.errors import GuestError
from perdure.testing import World

HERE = Path(__file__).parent
FLAVOURS = ("trusted", "python", "javascript")
GUESTS = ("python", "javascript")


class Time:
    """What `time` is to a guest: its world's. Trusted code must be handed it."""

    clock: Clock = SystemClock()

    def time(self) -> float:
        return self.clock.now_ms() / 1000


TIME = Time()


@dataclass(frozen=True)
class Topic:
    """What the tests of one module ask of an object: `subject_<name>.py`, and the same in `subject_<name>.js`.

    A test module says which it wants in one line, `pytestmark = pytest.mark.subject("alarms")`. The `.py` runs as
    trusted code and as a guest. Both files export a class `Subject`. Their Durable Object classes have namespaces, but
    for those that the `.py` lists in `WITHOUT_NAMESPACE`; those and its entry points are exported and no more.
    """

    name: str
    sources: Mapping[str, str]
    classes: Sequence[type[DurableObject]]
    exports: Sequence[type]

    def worker(
        self, language: str, *, name: str | None = None, options: Mapping[str, NamespaceOptions] | None = None
    ) -> Worker:
        """The guest's code as a worker of the platform, whose classes have namespaces as the trusted ones have."""
        code = code_of(language, self.sources[language])
        classes = {kind.__name__: NamespaceOptions() for kind in self.classes}
        return Worker(name or f"{self.name}-{language}", code, classes={**classes, **(options or {})})

    @property
    def trusted(self) -> type[DurableObject]:
        return next(kind for kind in self.classes if kind.__name__ == "Subject")


@cache
def topic(name: str | None) -> Topic:
    """The topic of this name; None is the one that many test modules share."""
    stem = "subject" if name is None else f"subject_{name}"
    spec = importlib.util.spec_from_file_location(f"perdure_{stem}", HERE / f"{stem}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    vars(module)["time"] = TIME
    own = [value for value in vars(module).values() if isinstance(value, type) and value.__module__ == module.__name__]
    sources = {"python": (HERE / f"{stem}.py").read_text(), "javascript": (HERE / f"{stem}.js").read_text()}
    without = getattr(module, "WITHOUT_NAMESPACE", ())
    classes = [kind for kind in own if issubclass(kind, DurableObject) and kind.__name__ not in without]
    exports = [kind for kind in own if kind not in classes and issubclass(kind, DurableObject | WorkerEntrypoint)]
    return Topic(name or "subject", sources, classes, exports)


def code_of(language: str, source: str, **options: Any) -> WorkerCode:
    """One module in one language."""
    make = WorkerCode.python if language == "python" else WorkerCode.javascript
    return make(source, **options)


TrustedSubject = topic(None).trusted
classes = topic(None).classes


class Supervisor(DurableObject):
    """Runs a topic's code as a facet; called `<topic>.<language>`."""

    def __init__(self, ctx: Any, env: Any) -> None:
        super().__init__(ctx, env)
        self.stubs: dict[int, Stub] = {}

    def facet(self) -> Stub:
        return self.ctx.facets.get("subject")

    def start_facet(self, name: str) -> FacetOptions:
        named, language = str(self.ctx.id.name).split(".")
        source = topic(None if named == "subject" else named).sources[language]
        worker = self.env.LOADER.get("subject", lambda: code_of(language, source))
        return FacetOptions(cls=worker.get_durable_object_class("Subject"))

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


def world_of(topic: Topic, **options: Any) -> World:
    """A world in which every flavour of a topic can be called."""
    workers = [topic.worker(language) for language in GUESTS]
    return World([*topic.classes, Supervisor], workers=workers, exports=topic.exports, **options)


@dataclass
class Subject:
    """The object under test, a root object. A stub that was used stays the same one until `renew`."""

    world: World
    flavour: str
    topic: Topic = field(default_factory=lambda: topic(None))
    name: str = "it"
    stub: Any = None
    key: str | None = None

    @property
    def kind(self) -> type[DurableObject] | str:
        """Its class, or the key of the namespace of its class."""
        if self.key is not None:
            return self.key
        return self.topic.trusted if self.flavour == "trusted" else f"{self.worker}-Subject"

    @property
    def worker(self) -> str:
        """The name of the worker whose code a guest runs."""
        return f"{self.topic.name}-{self.flavour}"

    def other(self, name: str) -> Subject:
        """Another object of the same class."""
        return replace(self, name=name, stub=None)

    def apart(self, name: str, options: NamespaceOptions) -> Subject:
        """An object of the same code in a namespace of its own, which has these options."""
        key = options.key or name
        options = replace(options, key=key)
        if self.flavour == "trusted":
            kind: type[DurableObject] = type(name, (self.topic.trusted,), {})
            self.world.add(kind, options=options)
        else:
            self.world.add_worker(self.topic.worker(self.flavour, name=name, options={"Subject": options}))
        return replace(self, key=key, stub=None)

    async def namespace(self) -> Namespace:
        """The namespace that it is an object of."""
        return await self.world.namespace(self.kind)

    async def call(self, method: str, *arguments: Any) -> Any:
        if self.stub is None:
            self.stub = (await self.namespace()).get_by_name(self.name)
        return await getattr(self.stub, method)(*arguments)

    def begin(self, method: str, *arguments: Any) -> asyncio.Task[Any]:
        """A call under way."""
        return asyncio.ensure_future(self.call(method, *arguments))

    async def fetch(self, url: str) -> Response:
        return await self.world.get(self.kind, self.name).fetch(url)

    def renew(self) -> None:
        """Use a fresh stub from now on."""
        self.stub = None

    async def evict(self) -> None:
        """Out of memory, as after ten quiet seconds."""
        await self.world.evict(self.kind, self.name)
        self.renew()

    async def crash(self) -> None:
        await self.world.crash()
        self.renew()

    async def restart(self) -> None:
        await self.world.restart()
        self.renew()


@dataclass
class Supervised(Subject):
    """A guest that runs as a facet of trusted code, as the code of a dynamic worker."""

    generation: int = 0

    @property
    def supervisor(self) -> Stub:
        return self.world.get(Supervisor, f"{self.topic.name}.{self.flavour}")

    async def call(self, method: str, *arguments: Any) -> Any:
        return await self.supervisor.relay(self.generation, method, list(arguments))

    def renew(self) -> None:
        self.generation += 1


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
