"""A stateless worker: one isolate that answers requests to a dynamic worker's entry points.

Turns of concurrent requests interleave but never overlap. The isolate goes when it has been idle, and comes back with
the next request. Effects: tasks.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from typing import Any, Protocol, TypeVar

from perdure.api import Copies, Fetcher, KeptValue, Sent, Stub, Target
from perdure.clock import Clock
from perdure.errors import GuestError, IsolateAbortedError, PerdureError, UsageError, WorkerCodeError
from perdure.isolates import GuestHost, Isolate
from perdure.web import Request, Response
from perdure.wire import to_expression
from perdure.workers._bindings import LoaderScope
from perdure.workers._code import CheckedCode
from perdure.workers._exports import ExportCalls, WorkerExports
from perdure.workers._guest_host import WorkerHost
from perdure.workers._guest_loaders import LOADER_KINDS, GuestLoaders
from perdure.workers._invocations import NO_LIMITS, EventLimits, Invocation
from perdure.workers._messages import check_arguments
from perdure.workers._outbound import FETCH, fetch_outside
from perdure.workers._pins import Pins
from perdure.workers._references import GuestParcel, Read
from perdure.workers._reports import Operation, SectionChange
from perdure.workers._session import GuestSession
from perdure.workers._tails import Trace, request_event

T = TypeVar("T")


class StatelessHost(WorkerHost):
    """Answers the host calls of an isolate without an object, and passes on what the guest logs."""

    listener: Callable[[str, str], None] | None = None

    def heard(self, level: str, line: str) -> None:
        if self.listener is not None:
            self.listener(level, line)


class StatelessHooks:
    """Turns of a worker that owns nothing: kept apart, and that is all."""

    def __init__(
        self,
        *,
        label: str,
        clock: Clock,
        worker: WorkerExports,
        forget_code: Callable[[], None],
        in_use: Callable[[], AbstractContextManager[None]],
        outbound: Fetcher | None,
    ) -> None:
        self.session: GuestSession | None = None
        self._invocation: Invocation | None = None
        self._forget_code = forget_code
        self._label = label
        self._clock = clock
        self._pins: Pins[Target] = Pins()
        self._exports = ExportCalls(worker, self._pins)
        self._in_use = in_use
        self._loaders = GuestLoaders(
            worker, scope=LoaderScope(f"worker {label}", label, outbound), ask=self._ask, read=self._read
        )
        self._lock = asyncio.Lock()
        self._host: WorkerHost | None = None
        self.error: PerdureError | None = None

    def host_for(self, code: CheckedCode, isolate: Isolate) -> GuestHost:
        self._host = StatelessHost(
            code, label=self._label, clock=self._clock, exports=self._exports, loaders=self._loaders
        )
        self._host.listener = self._heard
        return self._host

    def _heard(self, level: str, line: str) -> None:
        """On the thread that runs the turn; nothing else touches its invocation meanwhile."""
        invocation = self._invocation
        if invocation is not None and invocation.trace is not None:
            invocation.trace.log(level, line, self._clock.now_ms())

    async def _ask(self, event: Mapping[str, object]) -> object:
        assert self.session is not None
        return await self.session.convert(self._read, await self.session.event(event, inside=True))

    def _read(self, tree: object) -> object:
        assert self.session is not None
        return self.session.messages.read_kept(tree)

    def try_enter(self, *, inside: bool) -> bool:
        return False

    async def enter(self, *, inside: bool) -> None:
        await self._lock.acquire()

    def leave(self) -> None:
        self._lock.release()

    @property
    def may_be_inline(self) -> bool:
        return True

    def begin(self, *, is_overdue: Callable[[], bool], is_inline: bool) -> None:
        if self._host is not None:
            self._host.begin_turn()

    def cpu_ms(self, cpu_ms: int) -> int:
        return cpu_ms if self._invocation is None else self._invocation.cpu_ms_left(cpu_ms)

    def serving(self, payer: object) -> None:
        self._invocation = payer if isinstance(payer, Invocation) else None

    def spent(self, cpu_ns: int) -> None:
        if self._invocation is not None:
            self._invocation.spent(cpu_ns)

    def commit(self) -> object:
        return None

    def is_ready(self, captured: object) -> bool:
        return True

    async def when_ready(self, finish: Callable[[], T]) -> T:
        return finish()

    def committed(self, captured: object) -> int:
        return 0

    def rollback(self) -> None: ...

    def is_clear(self, mark: int) -> bool:
        return True

    async def confirmed(self, mark: int) -> None: ...

    def announced(self, operation: Operation, mark: int) -> int:
        return mark

    async def perform(self, operation: Operation, mark: int) -> object:
        if operation.kind.startswith("facet.") or operation.kind in {"sync", "bookmark"}:
            raise UsageError(
                f"`{operation.kind[:40]}` is not available in a stateless worker: storage and facets belong to Durable "
                "Objects"
            )
        assert self.session is not None
        if operation.kind.startswith(LOADER_KINDS):
            return await self._loaders.perform(operation, self.session.messages)
        if operation.kind == FETCH:
            return await fetch_outside(self.session.code.fetcher, operation, self.session.messages)
        return await self._exports.perform(operation, self.session.messages)

    async def serve(self, event: str, deliver: Callable[[object], Awaitable[T]]) -> T:
        with self._in_use():
            return await deliver(None)

    def channel(self, what: object, fields: object, read: Read) -> Target:
        return self._exports.channel(what, fields, read)

    def section(self, change: SectionChange) -> None: ...

    def released(self, stubs: Sequence[int]) -> None:
        self._pins.release(self._loaders.release(stubs))

    def forgot(self) -> None:
        self._pins.clear()
        self._loaders.clear()

    def ended(self, error: PerdureError) -> None:
        self.error = error
        if isinstance(error, IsolateAbortedError):
            self._forget_code()


class SessionSource(Protocol):
    """What gives the isolate of a dynamic worker, started if need be."""

    def in_use(self) -> AbstractContextManager[None]: ...
    async def leave_caller(self, request: Request | None = None) -> None: ...
    async def session(self) -> GuestSession: ...
    @property
    def label(self) -> str:
        """What names the worker in the log."""
        ...

    def now_ms(self) -> int: ...
    def tell(self, tails: Sequence[Stub], item: Mapping[str, object]) -> None:
        """Tell these tails of an event, beside everything else."""
        ...

    def hangs(self) -> None:
        """An event did not end in time, and never may: the isolate goes when the others have ended."""
        ...


class EntrypointTarget:
    """One entry point of a dynamic worker, with its props."""

    def __init__(self, entry: SessionSource, name: str | None, props: object, limits: EventLimits = NO_LIMITS) -> None:
        self._entry = entry
        self._name = name or "default"
        self._limits = limits
        self._props = KeptValue.of({} if props is None else props)

    async def fetch(self, request: Request) -> Response:
        await self._entry.leave_caller(request)
        with self._entry.in_use():
            session = await self._entry.session()
            self._check_exported(session.exports)
            async with self._invocation(session, lambda: request_event(request)) as invocation:
                fields, parcel = self._environment(session)
                response = await session.streams.fetch(request, fields, payer=invocation, parcel=parcel)
                if invocation.trace is not None:
                    invocation.trace.answered(response)
                return response

    def call(self, path: Sequence[str], arguments: Sequence[object] | Copies) -> Coroutine[Any, Any, object]:
        sent = Sent.of(arguments)
        check_arguments(".".join(path), sent.count)
        return self._call(path, sent)

    def get(self, path: Sequence[str]) -> Coroutine[Any, Any, object]:
        return self._call(path, None)

    async def _call(self, path: Sequence[str], sent: Sent | None) -> object:
        with sent or nullcontext(), self._entry.in_use():
            await self._entry.leave_caller()
            session = await self._entry.session()
            self._check_exported(session.exports)
            async with self._invocation(session, lambda: {"rpcMethod": ".".join(path)}) as invocation:
                fields, parcel = self._environment(session)
                return await session.messages.call({"k": "call", **fields}, path, sent, payer=invocation, parcel=parcel)

    @asynccontextmanager
    async def _invocation(
        self, session: GuestSession, event: Callable[[], Mapping[str, object]]
    ) -> AsyncIterator[Invocation]:
        """An event, in the time that it has. Raises LimitExceededError when that is over."""
        invocation = Invocation(session.code.event_limits.lower(self._limits))
        tails = session.code.tails
        if tails:
            now_ms = self._entry.now_ms()
            invocation.trace = Trace(event(), entry_point=self._name, script=self._entry.label, now_ms=now_ms)
        try:
            async with self._in_time(invocation):
                yield invocation
        except BaseException as error:
            if invocation.trace is not None:
                invocation.trace.failed(error, self._entry.now_ms())
            raise
        finally:
            if invocation.trace is not None:
                item = invocation.trace.item(cpu_ns=invocation.cpu_ns, now_ms=self._entry.now_ms())
                self._entry.tell(tails, item)

    @asynccontextmanager
    async def _in_time(self, invocation: Invocation) -> AsyncIterator[None]:
        timeout = asyncio.timeout(invocation.wall_s)
        try:
            async with timeout:
                yield
        except TimeoutError:
            if not timeout.expired():
                raise
            self._entry.hangs()
            raise invocation.overdue() from None

    def _environment(self, session: GuestSession) -> tuple[dict[str, object], GuestParcel | None]:
        """What an event of this entry point carries, and takes along."""
        fields, parcel = session.messages.packed("p", self._props)
        fields["x"] = self._name
        if not session.code.services:  # Else the guest has it since it was loaded.
            fields["env"] = json.loads(session.code.env)
        return fields, parcel

    def _check_exported(self, exports: Mapping[str, str]) -> None:
        """Raise WorkerCodeError when there is no entry point of this name."""
        kind = exports.get(self._name)
        if kind == "object":
            raise WorkerCodeError(
                f"entrypoint name {self._name} refers to a Durable Object class: use "
                f"get_durable_object_class('{self._name}')"
            )
        if kind is None:
            there = ", ".join(f"`{name}`" for name in sorted(exports)) or "nothing"
            what = "has no default entrypoint" if self._name == "default" else f"has no such entrypoint: {self._name}"
            raise WorkerCodeError(f"Worker {what}; it exports {there}")


async def evaluate(session: GuestSession, source: str, names: Mapping[str, object]) -> object:
    """The value of the last expression of `source`, run once."""
    variables = {name: to_expression(value) for name, value in names.items()}
    return await session.messages.read(await session.event({"k": "eval", "s": source, "a": variables}))


def is_fatal(error: BaseException) -> bool:
    """True when an error ended the isolate that raised it."""
    return isinstance(error, GuestError) and error.durable_object_reset
