"""World: a whole platform that a test owns, with its time, its chance and its disk.

Time is virtual. It moves in `advance`, and while something is awaited that only time can bring; it stands still while
threads work (guests, the journal, the disk), so a test sees the same on a slow machine as on a fast one. Files are real
ones, in a directory that goes with the world. Trusted code runs in the test's own process: what it keeps in globals is
nobody's to reset.
Effects: disk, tasks, threads.
"""

from __future__ import annotations

import asyncio
import inspect
import shutil
import tempfile
from collections.abc import Awaitable, Coroutine, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from perdure.api import Copies, DurableObject, Sent, Stub, WorkerEntrypoint, target_of
from perdure.errors import PerdureError, UsageError
from perdure.isolates import Isolates
from perdure.objects import NamespaceOptions, ObjectNamespace
from perdure.server import Fetch, Platform, Worker
from perdure.storage import Journal, StorageLimits, StoreOptions
from perdure.testing._clock import SeededEntropy, VirtualClock
from perdure.testing._durations import seconds as seconds_of
from perdure.testing._journal import HeldJournal
from perdure.testing._patient_runner import PatientRunner
from perdure.testing._sim_loop import SimLoop, UnheardError
from perdure.testing._visitors import Visitors
from perdure.web import Request, Response

T = TypeVar("T")


class World:
    """A platform on virtual time. Use it as a context manager, or call `close`.

    Its methods work in an async test that runs on the world's own loop (the pytest plugin sees to that), on any other
    event loop, and in plain tests through `run`. Objects' classes may be given, or are added by the first `get`.
    `isolates` can be shared by all worlds of a process, which saves the time to make their engine.
    """

    def __init__(
        self,
        classes: Iterable[type[DurableObject]] = (),
        *,
        fetch: Fetch | type[WorkerEntrypoint] | Worker | None = None,
        workers: Iterable[Worker] = (),
        exports: Iterable[type] = (),
        app_host: str | None = None,
        env: Mapping[str, object] | None = None,
        data: Path | None = None,
        seed: int = 0,
        isolates: Isolates | None = None,
        store_options: StoreOptions | None = None,
        sandbox_limits: StorageLimits | None = None,
    ) -> None:
        self._temporary = tempfile.TemporaryDirectory(prefix="perdure-world-") if data is None else None
        self.data = Path(self._temporary.name) / "data" if self._temporary is not None else Path(data or "")
        self.loop = SimLoop()
        self.clock = VirtualClock(self.loop)
        self.entropy = SeededEntropy(seed)
        self._classes = list(classes)
        self._workers = list(workers)
        self._exports = list(exports)
        self._options: dict[type[DurableObject], NamespaceOptions] = {}
        self._fetch = fetch
        self._app_host = app_host
        self._env = env
        self._isolates = isolates or Isolates()
        self._owns_isolates = isolates is None
        self._store_options = store_options or StoreOptions()
        self._sandbox_limits = sandbox_limits
        self._journal: HeldJournal | None = None
        self._is_holding = False
        self._visitors = Visitors(self.loop)
        self._unheard: list[str] = []
        self._is_closed = False
        self.loop.set_exception_handler(self._hear)
        self.platform = self._new_platform()

    def _new_platform(self) -> Platform:
        return Platform(
            self._classes,
            fetch=self._fetch,
            workers=self._workers,
            exports=self._exports,
            namespaces=self._options,
            app_host=self._app_host,
            env=self._env,
            data=self.data,
            clock=self.clock,
            entropy=self.entropy,
            isolates=self._isolates,
            make_runner=lambda: PatientRunner(self.loop),
            store_options=replace(self._store_options, stand_before=self._stand_before),
            has_admin_socket=False,
            sandbox_limits=self._sandbox_limits,
        )

    def _stand_before(self, journal: Journal) -> HeldJournal:
        before = self._store_options.stand_before
        self._journal = HeldJournal(journal if before is None else before(journal), self.loop)
        if self._is_holding:
            self._journal.hold()
        return self._journal

    def _hear(self, loop: asyncio.AbstractEventLoop, told: dict[str, Any]) -> None:
        self._unheard.append(f"{told['message']}: {told.get('exception')!r}")

    # ── objects ─────────────────────────────────────────────────────────────────────────────────────────────

    def get(self, kind: type[DurableObject] | str, name: str) -> Stub:
        """A stub for the object called `name` of class `kind`, or of the namespace with this key.

        It is made anew for each call: resets do not break it.
        """
        self._know(kind)
        return Stub(_FromTest(self, kind, name))

    def add(self, *kinds: type[DurableObject], options: NamespaceOptions | None = None) -> None:
        """Let the platform know more classes, with these options for the objects of each."""
        for kind in kinds:
            self.platform.add(kind, options)
            if kind not in self._classes:
                self._classes.append(kind)
                if options is not None:
                    self._options[kind] = options

    def add_worker(self, worker: Worker) -> None:
        """Let the platform have one more worker."""
        self.platform.add_worker(worker)
        if worker not in self._workers:
            self._workers.append(worker)

    def _know(self, kind: type[DurableObject] | str) -> None:
        if not isinstance(kind, str):
            self.add(kind)

    async def namespace(self, kind: type[DurableObject] | str) -> ObjectNamespace:
        """The namespace of a class, or the one with this key.

        Its stubs are as those inside the platform, for use on the world's own loop.
        """
        self._know(kind)
        return await self._inside(self._namespace(kind))

    async def _namespace(self, kind: type[DurableObject] | str) -> ObjectNamespace:
        await self.platform.start()
        return self.platform.namespace(kind)

    async def fetch(self, request: Request | str, **parts: Any) -> Response:  # noqa: ANN401  # whatever Request takes
        """What the platform answers to a request from outside, with its own routing."""
        if not isinstance(request, Request):
            request = Request(request, **parts)
        return await self._inside(self.platform.handle(request))

    # ── time and trouble ────────────────────────────────────────────────────────────────────────────────────

    async def advance(self, span: float | str | None = None, *, seconds: float | None = None) -> None:
        """Let time pass: `advance("1h")`, `advance(seconds=90)`. Everything due on the way happens, in its order."""
        if (span is None) == (seconds is None):
            raise UsageError("advance takes one span of time: advance('1h') or advance(seconds=90)")
        await self._inside(self._advance(seconds_of(span if span is not None else seconds or 0)))

    async def _advance(self, span_s: float) -> None:
        await self.platform.start()  # After a restart nothing else may: alarms are due all the same.
        await asyncio.sleep(span_s)
        await self.loop.settle()

    async def settle(self) -> None:
        """Until nothing more happens without time passing."""
        await self._inside(self.loop.settle())

    async def evict(self, kind: type[DurableObject] | str, name: str) -> None:
        """Drop an object and its facets from memory now. Raises UsageError when it is not in memory, or in use."""
        self._know(kind)
        await self._inside(self._evict(kind, name))

    async def _evict(self, kind: type[DurableObject] | str, name: str) -> None:
        await self.platform.start()
        self.platform.evict(kind, name)

    async def statistics(self) -> Mapping[str, int]:
        """Counts of what is in memory: `live` objects and facets, `isolates`, `isolate_bytes`."""
        return await self._inside(self._statistics())

    async def _statistics(self) -> Mapping[str, int]:
        await self.platform.start()
        return self.platform.statistics()

    async def restart(self) -> None:
        """Stop the platform in order, and go on with a new one on the same files."""
        await self._inside(self._restart())

    async def _restart(self) -> None:
        await self.platform.stop()
        self.platform = self._new_platform()

    async def crash(self) -> None:
        """End the platform as `kill -9` does, and go on with a new one on the files as they were at that moment.

        Nothing is closed or flushed in these files. Calls under way fail; what was never acknowledged may be gone.
        The moment is one at which no thread works: for a crash in the midst of one, kill a real process.
        """
        await self._inside(self._crash())

    async def _crash(self) -> None:
        journal = self._journal
        copy = self.data.with_name(self.data.name + "-as-it-was")
        if journal is not None:
            journal.hold()
        await self.loop.settle()
        if self.data.exists():
            shutil.copytree(self.data, copy)
        if journal is not None:
            journal.kill()
        with suppress(PerdureError):  # It cannot make durable what it had: its files are thrown away.
            await self.platform.stop()
        if copy.exists():
            shutil.rmtree(self.data)
            copy.rename(self.data)
        self.platform = self._new_platform()

    @contextmanager
    def journal_held(self) -> Iterator[None]:
        """While it lasts, the journal acknowledges nothing: whatever depends on a write must not be seen."""
        self._is_holding = True
        if self._journal is not None:
            self._journal.hold()
        try:
            yield
        finally:
            self._is_holding = False
            if self._journal is not None:
                self._journal.let_go()

    # ── where it runs ───────────────────────────────────────────────────────────────────────────────────────

    def run(self, work: Awaitable[T]) -> T:
        """The outcome of `work`, for tests that are not async: `world.run(world.get(Counter, "a").add(1))`."""
        if asyncio._get_running_loop() is not None:  # noqa: SLF001  # the public one raises when there is none
            if inspect.iscoroutine(work):
                work.close()
            raise UsageError("this test is async already: await it instead of World.run(...)")
        return self.loop.run_until_complete(_as_coroutine(work))

    async def _inside(self, work: Coroutine[object, object, T]) -> T:
        if self._is_closed:
            work.close()
            raise UsageError("this world has been closed")
        if asyncio.get_running_loop() is self.loop:
            return await work
        return await self._visitors.receive(work)

    def close(self) -> None:
        """Stop the platform and forget its files. Raises UnheardError when something failed and nobody was told."""
        if self._is_closed:
            return
        running = asyncio._get_running_loop()  # noqa: SLF001  # the public one raises when there is none
        if running is self.loop:
            raise UsageError("a test on the world's own loop cannot close it: whoever made the world does")
        self._is_closed = True
        self._visitors.close()
        try:
            if running is None:
                self._end_loop()
            else:
                with ThreadPoolExecutor(1) as thread:
                    thread.submit(self._end_loop).result()
        finally:
            if self._owns_isolates:
                self._isolates.close()
            if self._temporary is not None:
                self._temporary.cleanup()
        if self._unheard:
            raise UnheardError("; ".join(self._unheard))

    def _end_loop(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self.loop) as runner:
            runner.run(self._end())

    async def _end(self) -> None:
        if self._journal is not None:
            self._journal.let_go()
        await self.platform.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<World at {self.loop.time():g} s, {len(self._classes)} classes>"


class _FromTest:
    """The target of a stub that a test holds."""

    def __init__(self, world: World, kind: type[DurableObject] | str, name: str) -> None:
        self._world = world
        self._kind = kind
        self._name = name

    async def fetch(self, request: Request) -> Response:
        stub = self._world.platform.get(self._kind, self._name)
        return await self._world._inside(stub.fetch(request))  # noqa: SLF001  # one concept in two classes

    def call(self, path: Sequence[str], arguments: Sequence[object] | Copies) -> Awaitable[Any]:
        return self._call(path, Sent.of(arguments))

    async def get(self, path: Sequence[str]) -> object:
        stub = self._world.platform.get(self._kind, self._name)
        return await self._world._inside(_as_coroutine(target_of(stub).get(path)))  # noqa: SLF001  # one concept in two classes

    async def _call(self, path: Sequence[str], sent: Sent) -> object:
        stub = self._world.platform.get(self._kind, self._name)
        work = _as_coroutine(target_of(stub).call(path, sent))
        return await self._world._inside(work)  # noqa: SLF001  # one concept in two classes


async def _as_coroutine(work: Awaitable[T]) -> T:
    return await work
