"""Platform: the only place where the parts are built and joined. It is an ASGI app.

It starts with the first request when no lifespan arrives, and stops with its event loop when nothing else stops it, so
that `app.mount("/", platform)` is all it takes.
Effects: disk, tasks, threads.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final

from perdure.api import (
    Copies,
    DurableObject,
    Env,
    Internet,
    Loader,
    NamespaceCalls,
    Sent,
    Stub,
    WorkerContext,
    WorkerEntrypoint,
    fill_env,
)
from perdure.clock import Clock, Entropy, SystemClock, SystemEntropy
from perdure.errors import ConfigurationError, PerdureError, UsageError
from perdure.history import HistoryOptions, SegmentArchive
from perdure.isolates import Isolates, Runner
from perdure.objects import (
    CURRENT,
    ENTRY_POINT,
    AlarmDelivery,
    Alarms,
    Directory,
    IdFactory,
    NamespaceOptions,
    ObjectNamespace,
    Travels,
    leave_caller,
    place_of,
)
from perdure.server._admin import Admin
from perdure.server._admin_socket import AdminSocket
from perdure.server._asgi import Receive, Scope, Send, serve_http, serve_lifespan
from perdure.server._errors import ErrorAnswers
from perdure.server._exports import Exports
from perdure.server._gateway import Gateway, Misdirected, ToApp, authority_of
from perdure.server._history import ObjectHistory, import_object
from perdure.server._origins import keep_cookies_at_home, refusal_of_foreign_page
from perdure.server._websocket import Connections, serve_websocket
from perdure.server._workers import LoaderBinding, Worker, bind, bind_trusted, check_code, check_workers
from perdure.storage import ObjectKey, StorageLimits, Store, StoreOptions
from perdure.web import Request, Response
from perdure.workers import (
    Binding,
    DynamicClass,
    InternetFetcher,
    LoaderCache,
    LoaderEntry,
    LoaderScope,
    WorkerRuntime,
    close_internet_clients,
    shared_task,
)

_LOG: Final = logging.getLogger("perdure")
_INTERNET: Final = InternetFetcher(Internet())
"""What trusted code hands on when it says "inherit"; it reaches more itself."""

_HISTORY: Final = HistoryOptions()
Fetch = Callable[[Request, Env, WorkerContext], Awaitable[Response] | Response]
BeforeObjects = Callable[[Store, Directory, Clock], Awaitable[None]]


class Platform:
    """Durable Objects, dynamic workers and facets behind one ASGI app.

    `classes`: the DurableObject classes that have namespaces. `fetch`: what answers requests, a function `(request,
    env, ctx)`, a WorkerEntrypoint class, or one of `workers`. `workers`: sandboxed code whose classes have namespaces,
    too. `exports`: what `ctx.exports` of trusted code has beside the namespaces, entry points and classes that only run
    as facets. `namespaces`: options for some of the classes. `app_host`: a host pattern such as `"{name}.localhost"`; a
    request for such a host goes to the object of that name, of the first class. `hosts`: further host names of the
    platform itself, `"*"` for any. `env`: what all classes find in `self.env`, beside `LOADER`; bindings as those of a
    Worker may be among it. `data`: the directory that keeps everything; one process at a time. `is_development`: show
    errors to whoever asks. `adopt_changed_files`: take databases as they are that another program changed, or a restore
    gave another time. `history`: how much of each object's past is kept; None: nothing. `has_admin_socket`: answer
    commands such as `perdure ls` at a socket in the data directory, to this user only. `sandbox_limits`: how large what
    SQL and kv of sandboxed code handle may be. `checks_workers`: load the code of `workers` at the start, and refuse to
    start when it fails or lacks a class.
    """

    def __init__(
        self,
        classes: Iterable[type[DurableObject]] = (),
        *,
        fetch: Fetch | type[WorkerEntrypoint] | Worker | None = None,
        workers: Iterable[Worker] = (),
        exports: Iterable[type] = (),
        namespaces: Mapping[type[DurableObject], NamespaceOptions] | None = None,
        app_host: str | None = None,
        hosts: Iterable[str] = (),
        env: Mapping[str, object] | None = None,
        data: str | Path = ".perdure",
        is_development: bool = False,
        adopt_changed_files: bool = False,
        history: HistoryOptions | None = _HISTORY,
        clock: Clock | None = None,
        entropy: Entropy | None = None,
        isolates: Isolates | None = None,
        make_runner: Callable[[], Runner] = Runner,
        store_options: StoreOptions | None = None,
        has_admin_socket: bool = True,
        sandbox_limits: StorageLimits | None = None,
        checks_workers: bool = False,
    ) -> None:
        self.before_objects: list[BeforeObjects] = []
        """What is done at each start before any object runs; for the rest of this room."""
        self._checks_workers = checks_workers
        self.classes = list(classes)
        self.data = Path(data)
        self.is_development = is_development
        self.adopt_changed_files = adopt_changed_files
        self._history = history
        self._fetch = fetch
        self._env_given = dict(env or {})
        self._clock = clock or SystemClock()
        self._entropy = entropy or SystemEntropy()
        self._isolates = isolates
        self._owns_isolates = isolates is None
        self._make_runner = make_runner
        self._runner: Runner | None = None
        self._store_options = store_options or StoreOptions()
        self._gateway = Gateway(app_host, hosts=hosts)
        self._starting: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._running: AsyncGenerator[None, None] | None = None
        self._warming: threading.Thread | None = None
        self._store: Store | None = None
        self._has_admin_socket = has_admin_socket
        self._sandbox_limits = sandbox_limits or StorageLimits()
        self._admin_socket: AdminSocket | None = None
        self._directory: Directory | None = None
        self._alarms: Alarms | None = None
        self._loader: LoaderCache | None = None
        self._env = Env({})
        self._exports = Exports(env=lambda: self._env, make_context=self._worker_context)
        self._connections = Connections()
        self._options = dict(namespaces or {})
        self._namespaces: dict[str, ObjectNamespace] = {}
        self._background: set[asyncio.Future[object]] = set()
        self._workers: list[Worker] = []
        self._entries: dict[str, LoaderEntry] = {}
        _check_classes(self.classes)
        for worker in workers:
            self.add_worker(worker)
        for kind in exports:
            self._exports.add(kind)
        if isinstance(fetch, Worker):
            self.add_worker(fetch)
        elif isinstance(fetch, type):
            self._exports.add(fetch, name="default")
        if app_host and not self.classes:
            raise ConfigurationError("app_host sends requests to objects of the first class: give classes=[YourClass]")

    # ── its life ────────────────────────────────────────────────────────────────────────────────────────────

    async def start(self) -> None:
        """Open the data directory and recover what a crash left. Done once, however many ask."""
        if self._starting is None:
            self._loop = asyncio.get_running_loop()
            self._starting = shared_task(self._start())
        elif self._loop is not asyncio.get_running_loop():
            raise UsageError(
                "this platform runs on another event loop: call it from there, or use one Platform per loop "
                "(tests: `with TestClient(app) as client` keeps to one)"
            )
        try:
            await asyncio.shield(self._starting)
        except BaseException:
            if self._starting is not None and self._starting.done():
                self._starting = None
            raise

    async def _start(self) -> None:
        loop = asyncio.get_running_loop()
        if self._isolates is None:
            self._isolates = Isolates(on_progress=_LOG.info)
            # The first start on a machine compiles for seconds: requests that need no sandbox do not wait for it.
            self._warming = threading.Thread(target=_warm_up, args=(self._isolates,), daemon=True)
            self._warming.start()
        self._store = await loop.run_in_executor(None, self._open_store)
        try:
            await self._build(self._store, self._isolates)
        except BaseException:
            with suppress(PerdureError):  # Why it could not start is what its caller has to know.
                await self._take_down()  # An open store would keep the next start out of the directory.
            raise
        self._running = self._until_stopped()
        await anext(self._running)

    async def _build(self, store: Store, isolates: Isolates) -> None:
        """Everything that stands on the store."""
        self._runner = self._make_runner()
        runtime = WorkerRuntime(isolates=isolates, runner=self._runner, clock=self._clock, leave_caller=leave_caller)
        self._loader = LoaderCache(runtime, scope=_scope)
        self._env = Env({"LOADER": Loader(self._loader)})
        self._directory = Directory(
            store=store,
            runtime=runtime,
            clock=self._clock,
            entropy=self._entropy,
            sandbox_limits=self._sandbox_limits,
        )
        for kind in self.classes:
            self._define(self._directory, kind)
        self._define_workers(self._directory, self._loader, self._workers)
        fill_env(self._env, self._bound_env(self._loader))
        if self._checks_workers:
            for worker in self._workers:
                await check_code(worker, self._entries)
        for step in self.before_objects:
            await step(store, self._directory, self._clock)
        delivery = AlarmDelivery(self._directory, clock=self._clock, entropy=self._entropy)
        self._alarms = Alarms(store, delivery.deliver, clock=self._clock, entropy=self._entropy)
        self._alarms.start()
        if self._has_admin_socket:
            admin = Admin(store=store, directory=self._directory, clock=self._clock)
            self._admin_socket = AdminSocket(store.layout.admin_socket, admin)
            await self._admin_socket.open()

    async def _until_stopped(self) -> AsyncGenerator[None, None]:
        """Suspended while the platform runs. A loop that ends closes its generators, and so stops the platform."""
        try:
            yield
        finally:
            self._starting = None
            await self._take_down()

    def _define(self, directory: Directory, kind: type[DurableObject]) -> None:
        options = self._options.get(kind, NamespaceOptions())
        namespace = directory.define(
            self._key(kind),
            kind,
            env=self._env,
            exports=self._exports,
            prevents_eviction=options.prevent_eviction,
            storage_limits=options.storage_limits,
            quota=options.quota,
        )
        self._namespaces[namespace.key] = namespace
        self._exports.add_namespace(kind.__name__, namespace)

    def _define_workers(self, directory: Directory, loader: LoaderCache, workers: Sequence[Worker]) -> None:
        bindings: list[dict[str, Binding]] = [{} for _ in workers]
        for worker, bound in zip(workers, bindings, strict=True):
            self._define_worker(directory, loader, worker, bound)
        for worker, bound in zip(workers, bindings, strict=True):  # Now that all are there: they may name each other.
            bound.update(bind(worker, self._workers, self._entries, self._namespaces, loader))

    def _define_worker(
        self, directory: Directory, loader: LoaderCache, worker: Worker, bindings: Mapping[str, Binding]
    ) -> None:
        calls: dict[str, NamespaceCalls] = {}
        entry = self._entries[worker.name] = loader.keep(worker.name, worker.load(), calls, bindings)
        for name, (key, options) in worker.keys().items():
            namespace = self._namespaces[key] = directory.define_guest(
                key,
                DynamicClass(entry, name),
                prevents_eviction=options.prevent_eviction,
                storage_limits=options.storage_limits,
                quota=options.quota,
            )
            calls[name] = namespace.calls

    def _bound_env(self, loader: LoaderCache) -> dict[str, object]:
        """What trusted code finds in its env: bindings are what they are bound to, other values themselves."""
        own = {kind.__name__: self._namespaces[self._key(kind)] for kind in self.classes}
        bound = bind_trusted(self._env_given, self._workers, self._entries, {**self._namespaces, **own})
        return {name: Loader(loader) if isinstance(value, LoaderBinding) else value for name, value in bound.items()}

    def add(self, kind: type[DurableObject], options: NamespaceOptions | None = None) -> None:
        """Give one more class a namespace, before or after the start. Raises ConfigurationError."""
        if kind in self.classes:
            return
        _check_classes([*self.classes, kind])
        if options is not None:
            self._options[kind] = options
        self.classes.append(kind)
        if self._directory is not None:
            self._define(self._directory, kind)
            self._wake_alarms()

    def add_worker(self, worker: Worker) -> None:
        """Add a worker, before or after the start. Raises ConfigurationError."""
        if worker in self._workers:
            return
        check_workers([*self._workers, worker], map(self._key, self.classes))
        self._workers.append(worker)
        if self._directory is not None and self._loader is not None:
            self._define_workers(self._directory, self._loader, [worker])
            self._wake_alarms()

    def _wake_alarms(self) -> None:
        """Alarms of classes that were missing need wait no longer."""
        if self._alarms is not None:
            self._alarms.classes_changed()

    def _key(self, kind: type[DurableObject]) -> str:
        options = self._options.get(kind)
        return kind.__name__ if options is None or options.key is None else options.key

    def _open_store(self) -> Store:
        options = self._store_options
        if self._history is not None and options.make_archive is None:
            options = replace(options, make_archive=partial(SegmentArchive, options=self._history))
        if self.adopt_changed_files:
            options = replace(options, adopt_changed_files=True)
        return Store.open(self.data, clock=self._clock, entropy=self._entropy, options=options)

    async def stop(self) -> None:
        """Stop in order: nothing acknowledged is lost, files are plain SQLite afterwards."""
        if self._starting is None:
            return
        await asyncio.wait([self._starting])
        running, self._running = self._running, None
        if running is not None:
            await running.aclose()

    async def _take_down(self) -> None:
        """End what `_build` has built so far, and close the store."""
        self._connections.close()
        admin_socket, self._admin_socket = self._admin_socket, None
        if admin_socket is not None:
            await admin_socket.close()
        directory, self._directory = self._directory, None
        loader, self._loader = self._loader, None
        runner, self._runner = self._runner, None
        store, self._store = self._store, None
        alarms, self._alarms = self._alarms, None
        if alarms is not None:
            alarms.stop()
        if directory is not None:
            await directory.close()
        if alarms is not None:
            await alarms.wait_ended()
        if loader is not None:
            loader.close()
        await close_internet_clients()
        if runner is not None:
            await asyncio.get_running_loop().run_in_executor(None, runner.close)
        try:
            if store is not None:
                await store.close()
        finally:
            self._close_isolates()

    def _close_isolates(self) -> None:
        if self._isolates is not None and self._owns_isolates:
            if self._warming is None or not self._warming.is_alive():  # Compiling cannot be interrupted.
                self._isolates.close()
            self._isolates = None

    # ── being used ──────────────────────────────────────────────────────────────────────────────────────────

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        match scope["type"]:
            case "http":
                await serve_http(scope, receive, send, self.handle, answer_error=self._answer_error)
            case "lifespan":
                await serve_lifespan(receive, send, start=self.start, stop=self.stop)
            case _:
                await serve_websocket(
                    scope,
                    receive,
                    send,
                    self.handle,
                    answer_error=self._answer_error,
                    connections=self._connections,
                )

    def _answer_error(self, request: Request, error: Exception) -> Response:
        return ErrorAnswers(show_details=self.is_development, entropy=self._entropy)(request, error)

    async def handle(self, request: Request) -> Response:
        """Answer a request for the platform's own origin or for an app's; nothing crosses between origins."""
        destination = self._gateway.destination(authority_of(request.url))
        if isinstance(destination, Misdirected):
            return Response(destination.advice + "\n", 421)
        refusal = refusal_of_foreign_page(request)
        if refusal is not None:
            return Response(refusal + "\n", 403)
        if self._directory is None or self._loop is not asyncio.get_running_loop():
            await self.start()
        if isinstance(destination, ToApp):
            response = await self.namespace(self.classes[0]).target(destination.name).fetch(request)
            keep_cookies_at_home(response.headers)
            return response
        return await self._own_answer(request)

    async def _own_answer(self, request: Request) -> Response:
        fetch = self._fetch
        if fetch is None:
            return Response(
                "This platform answers no requests of its own: give it Platform(classes, fetch=…), "
                "or define `class Default(WorkerEntrypoint)` with `async def fetch(self, request)`.\n",
                404,
            )
        if isinstance(fetch, Worker):
            return await self._entries[fetch.name].entrypoint(None, {}).fetch(request)
        context = self._worker_context({})
        if isinstance(fetch, type):
            answer: object = fetch(context, self._env).fetch(request)
        else:
            answer = fetch(request, self._env, context)
        if inspect.isawaitable(answer):
            answer = await answer
        if not isinstance(answer, Response):
            raise UsageError(
                f"fetch returned `{type(answer).__name__}`: return a Response, such as Response.json(value)"
            )
        return answer

    def _worker_context(self, props: object) -> WorkerContext:
        return WorkerContext(props=props, exports=self._exports, wait_until=self._spawn)

    def _spawn(self, work: Awaitable[object]) -> None:
        task = asyncio.ensure_future(work)
        self._background.add(task)
        task.add_done_callback(self._background_done)

    def _background_done(self, task: asyncio.Future[object]) -> None:
        self._background.discard(task)
        if not task.cancelled() and task.exception() is not None:
            _LOG.error("work given to wait_until failed", exc_info=task.exception())

    def get(self, kind: type[DurableObject] | str, name: str) -> Stub:
        """A stub for the object called `name` of class `kind`, or of the namespace with this key.

        For the code around the platform. Its first use starts the platform if nothing has.
        """
        self._check_class(kind)
        return Stub(_FromOutside(self, kind, name))

    def namespace(self, kind: type[DurableObject] | str) -> ObjectNamespace:
        """The namespace of a class, or the one with this key; the platform must have been started."""
        self._check_class(kind)
        return self._namespaces[kind if isinstance(kind, str) else self._key(kind)]

    def history(self, kind: type[DurableObject] | str, name: str) -> ObjectHistory:
        """The past of one object: commits, states as of then, differences, ways back, forks and exports.

        Its first use starts the platform if nothing has.
        """
        self._check_class(kind)
        return ObjectHistory(
            self._started_travels,
            key=self._object_key(kind, name),
            name=name,
            key_of=lambda other: self._object_key(kind, other),
        )

    async def import_object(self, kind: type[DurableObject] | str, name: str, path: str | Path) -> None:
        """Make the object called `name` of a file that `history(…).export` wrote, on this platform or another.

        Raises UsageError when the file is refused, or there is an object of that name, and QuotaExceededError when the
        class has as many objects as it may.
        """
        self._check_class(kind)
        travels = await self._started_travels()
        assert self._store is not None, "the platform was just started"
        key = self._object_key(kind, name)
        await import_object(travels, key, name, path, temporary=self._store.layout.temporary)

    async def _started_travels(self) -> Travels:
        await self.start()
        assert self._directory is not None, "the platform was just started"
        return self._directory.travels

    def _object_key(self, kind: type[DurableObject] | str, name: str) -> ObjectKey:
        namespace = kind if isinstance(kind, str) else self._key(kind)
        return ObjectKey(namespace, IdFactory(namespace).from_name(name))

    def evict(self, kind: type[DurableObject] | str, name: str) -> None:
        """Drop an idle object and its facets from memory now, as ten quiet seconds would. Raises UsageError."""
        namespace = self.namespace(kind)
        assert self._directory is not None, "there is a namespace, so the platform has started"
        self._directory.evict(namespace.key, namespace.id_from_name(name))

    def statistics(self) -> Mapping[str, int]:
        """Counts of what is in memory: `live` objects and facets, `isolates` of theirs, `isolate_bytes`."""
        return {} if self._directory is None else self._directory.statistics()

    def _check_class(self, kind: type[DurableObject] | str) -> None:
        keys = [key for worker in self._workers for key, _ in worker.keys().values()]
        known = kind in map(self._key, self.classes) or kind in keys if isinstance(kind, str) else kind in self.classes
        if not known:
            there = ", ".join(f"`{name}`" for name in [*(known.__name__ for known in self.classes), *keys]) or "none"
            named = kind if isinstance(kind, str) else kind.__name__
            raise ConfigurationError(f"class `{named}` is not on this platform; it has: {there}")

    def app_host(self, name: str) -> str:
        """The host name at which the app called `name` answers. Raises UsageError when it cannot have one."""
        return self._gateway.app_host(name)


class _FromOutside:
    """The target of a stub that code around the platform holds."""

    def __init__(self, platform: Platform, kind: type[DurableObject] | str, name: str) -> None:
        self._platform = platform
        self._kind = kind
        self._name = name

    async def fetch(self, request: Request) -> Response:
        await self._platform.start()
        return await self._platform.namespace(self._kind).target(self._name).fetch(request)

    def call(self, path: Sequence[str], arguments: Sequence[object] | Copies) -> Awaitable[Any]:
        return self._call(path, Sent.of(arguments))

    async def get(self, path: Sequence[str]) -> object:
        await self._platform.start()
        return await self._platform.namespace(self._kind).target(self._name).get(path)

    async def _call(self, path: Sequence[str], sent: Sent) -> object:
        with sent:
            await self._platform.start()
            return await self._platform.namespace(self._kind).target(self._name).call(path, sent)


def _warm_up(isolates: Isolates) -> None:
    """Get the sandboxes ready; what is wrong with them is said again, in full, at their first use."""
    try:
        isolates.warm_up()
    except PerdureError as error:
        _LOG.warning("the sandboxes are not ready: %s", error)


def _scope() -> LoaderScope:
    """Who asks a loader: the object, facet or entry point whose code is running, or the platform itself."""
    actor = CURRENT.get()
    if actor is None:
        return LoaderScope(ENTRY_POINT.get(), "platform", _INTERNET)
    return LoaderScope(place_of(actor), actor.label, _INTERNET)


def _check_classes(classes: list[type[DurableObject]]) -> None:
    names: set[str] = set()
    for kind in classes:
        if not _can_be_an_object(kind):
            raise ConfigurationError(
                f"`{kind!r}` is no Durable Object class: declare it as `class Name(DurableObject)`"
            )
        if kind.__name__ in names:
            raise ConfigurationError(
                f"two classes are called `{kind.__name__}`: their objects would share ids; rename one"
            )
        names.add(kind.__name__)


def _can_be_an_object(kind: object) -> bool:
    """True for what extends DurableObject, and for any other class that answers HTTP: that takes no calls."""
    if not isinstance(kind, type) or issubclass(kind, WorkerEntrypoint):
        return False
    return issubclass(kind, DurableObject) or callable(getattr(kind, "fetch", None))
