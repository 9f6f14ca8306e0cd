"""`env.LOADER`: dynamic workers, source code that becomes a running sandbox.

Effects: none (it asks `LoaderCalls`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Final, Protocol

from perdure.api._facets import DurableObjectClass
from perdure.api._outbound import Outbound
from perdure.api._stubs import Stub
from perdure.errors import WorkerCodeError

if TYPE_CHECKING:
    from perdure.api._targets import Target


@dataclass(frozen=True, slots=True)
class Limits:
    """What a worker may use: given for its code, for an entry point, or for a class; the lower one counts.

    `cpu_ms` counts per delivered event; `memory_mb` is the isolate's whole memory. `wall_ms` and `subrequests`, how
    long an event may take and how many requests and calls it may send, count for stateless entry points.
    """

    cpu_ms: int | None = None
    memory_mb: int | None = None
    wall_ms: int | None = None
    subrequests: int | None = None


@dataclass(frozen=True, slots=True)
class WorkerCode:
    """The source of a dynamic worker.

    `modules`: name → source text (`.py` or `.js` says the language), or `{"text": …}`, `{"data": bytes}`,
    `{"json": …}`, `{"py": …}`, `{"js": …}`. `env`: what the worker gets as its `env`: plain values, and stubs
    of your objects and entry points, called: `ctx.exports.Database(props={…})`. `global_outbound`: what
    its `fetch()` reaches: None, nothing; a stub, whose `fetch` sees every request; `"inherit"`, what the code that
    loads it reaches; `Internet()`, every public address. `tails`: stubs of your own entry points or objects, whose
    method `tail(self, events)` is told of each event of the worker's entry points after it has ended.
    """

    main_module: str
    modules: Mapping[str, object]
    env: Mapping[str, object] = field(default_factory=dict)
    limits: Limits = field(default_factory=Limits)
    global_outbound: Outbound = None
    compatibility_date: str | None = None
    tails: Sequence[Stub] = ()

    @classmethod
    def python(
        cls,
        source: str,
        *,
        env: Mapping[str, object] | None = None,
        limits: Limits | None = None,
        global_outbound: Outbound = None,
    ) -> WorkerCode:
        """One Python module, `worker.py`."""
        return cls(
            "worker.py",
            {"worker.py": source},
            env=env or {},
            limits=limits or Limits(),
            global_outbound=global_outbound,
        )

    @classmethod
    def javascript(
        cls,
        source: str,
        *,
        env: Mapping[str, object] | None = None,
        limits: Limits | None = None,
        global_outbound: Outbound = None,
    ) -> WorkerCode:
        """One JavaScript module, `worker.js`."""
        return cls(
            "worker.js",
            {"worker.js": source},
            env=env or {},
            limits=limits or Limits(),
            global_outbound=global_outbound,
        )


LoadWorker = Callable[[], WorkerCode | Mapping[str, object] | Awaitable[WorkerCode | Mapping[str, object]]]
"""Gives the code of a worker; called when no isolate of that id is loaded, so it must stay valid."""


_CANNOT_BE_TRANSFERRED: Final = (
    "Entrypoints to dynamically-loaded workers cannot be transferred to other Workers: give others an entry point or a "
    "method of your own that calls it"
)


class DynamicEntrypoint(Stub):
    """An entry point of a dynamic worker. It stays with whoever loaded the worker."""

    cannot_be_serialized: ClassVar[str] = _CANNOT_BE_TRANSFERRED


class DynamicObjectClass(DurableObjectClass):
    """A class of a dynamic worker, to run as a facet of whoever loaded the worker, and of nobody else."""

    __slots__ = ()
    cannot_be_serialized: ClassVar[str] = _CANNOT_BE_TRANSFERRED


class LoadedWorker(Protocol):
    """One entry of the loader's cache, as the host sees it."""

    def entrypoint(self, name: str | None, props: object, limits: object = None) -> Target: ...
    def durable_object_class(self, name: str, props: object, limits: object = None) -> DurableObjectClass: ...
    async def check(self, classes: Sequence[str]) -> None: ...
    async def evaluate(self, source: str, names: Mapping[str, object]) -> object: ...


class LoaderCalls(Protocol):
    """The host's side of one loader binding."""

    def get(self, worker_id: str | None, load: LoadWorker) -> LoadedWorker: ...
    def load(self, code: WorkerCode | Mapping[str, object]) -> LoadedWorker: ...


class Loader:
    """Loads dynamic workers into sandboxes."""

    __slots__ = ("_calls",)
    cannot_be_serialized: ClassVar[str] = "a loader does not support serialization: it belongs to its worker"

    def __init__(self, calls: LoaderCalls) -> None:
        self._calls = calls

    def get(self, worker_id: str | None, load: LoadWorker) -> WorkerStub:
        """The worker with this id; `load` is called when it is not loaded. The same id promises the same code.

        None as id gives a sandbox of its own each time.
        """
        return WorkerStub(self._calls.get(worker_id, load))

    def load(self, code: WorkerCode | Mapping[str, object]) -> WorkerStub:
        """A worker to use once and throw away. Raises WorkerCodeError when `code` is malformed."""
        return WorkerStub(self._calls.load(code))

    def shared(self, name: str) -> Loader:
        """A loader whose ids are shared by all trusted code that asks for the loader of this name.

        Otherwise each object, facet and entry point has ids of its own. Whoever loads an id first decides what the
        worker of all others reaches: its code, env and way out.
        """
        if not isinstance(name, str) or not name:
            raise WorkerCodeError("LOADER.shared(name) needs a name")
        shared = getattr(self._calls, "shared", None)
        if shared is None:
            raise WorkerCodeError("LOADER.shared() is for trusted code: a worker in a sandbox shares with nobody")
        return Loader(shared(name))

    async def evaluate(
        self,
        source: str,
        names: Mapping[str, object] | None = None,
        *,
        language: str = "python",
        limits: Limits | None = None,
    ) -> Any:
        """Run a few lines in a sandbox of their own and give the value of the last expression, copied.

        `names` become its variables. `language` is `"python"` or `"javascript"`. Raises GuestError with the guest's
        traceback, or LimitExceededError.
        """
        if language not in {"python", "javascript"}:
            raise WorkerCodeError(f"language is 'python' or 'javascript', not `{language}`")
        make = WorkerCode.javascript if language == "javascript" else WorkerCode.python
        return await self._calls.load(make("", limits=limits)).evaluate(source, names or {})


class WorkerStub:
    """A dynamic worker. Cheap; nothing runs until it is used."""

    __slots__ = ("_worker",)
    cannot_be_serialized: ClassVar[str] = (
        "a worker from the loader does not support serialization: it stays with whoever loaded it"
    )

    def __init__(self, worker: LoadedWorker) -> None:
        self._worker = worker

    def get_entrypoint(
        self, name: str | None = None, *, props: object = None, limits: Limits | None = None
    ) -> DynamicEntrypoint:
        """A stub for an entry point, the default one without a name. `limits`: of each event, where they are lower."""
        return DynamicEntrypoint(self._worker.entrypoint(None if name == "default" else name, props, limits))

    def get_durable_object_class(
        self, name: str, *, props: object = None, limits: Limits | None = None
    ) -> DurableObjectClass:
        """A class of the worker, to run as a facet: `FacetOptions(cls=…)`. `limits`: where they are lower."""
        return self._worker.durable_object_class(name, props, limits)

    async def check(self, *classes: str) -> None:
        """Load the code now, and see that it has these Durable Object classes.

        Raises WorkerLoadError with the guest's own traceback, WorkerCodeError, or LimitExceededError: text that whoever
        wrote the code can repair it from.
        """
        await self._worker.check(classes)
