"""A stateless worker: one isolate that answers requests to a dynamic worker's entry points.

Turns of concurrent requests interleave but never overlap. The isolate goes when it has been idle, and comes back with
the next request. Effects: tasks.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Protocol, TypeVar

from perdure.api import Target
from perdure.clock import Clock
from perdure.errors import GuestError, IsolateAbortedError, PerdureError, UsageError, WorkerCodeError
from perdure.isolates import GuestHost, Isolate
from perdure.limits import CALL_ARGUMENTS_MAX
from perdure.web import Request, Response
from perdure.wire import from_expression, to_expression
from perdure.workers._bindings import LoaderScope
from perdure.workers._code import CheckedCode
from perdure.workers._exports import ExportCalls, WorkerExports
from perdure.workers._guest_host import WorkerHost
from perdure.workers._guest_loaders import LOADER_KINDS, GuestLoaders
from perdure.workers._pins import Pins
from perdure.workers._reports import Operation, SectionChange
from perdure.workers._session import GuestSession

T = TypeVar("T")


class StatelessHooks:
    """Turns of a worker that owns nothing: kept apart, and that is all."""

    def __init__(self, *, label: str, clock: Clock, worker: WorkerExports, forget_code: Callable[[], None]) -> None:
        self.session: GuestSession | None = None
        self._forget_code = forget_code
        self._label = label
        self._clock = clock
        self._pins: Pins[Target] = Pins()
        self._exports = ExportCalls(worker, self._pins)
        self._loaders = GuestLoaders(worker, scope=LoaderScope(f"worker {label}", label), ask=self._ask)
        self._lock = asyncio.Lock()
        self._host: WorkerHost | None = None
        self.error: PerdureError | None = None

    def host_for(self, code: CheckedCode, isolate: Isolate) -> GuestHost:
        self._host = WorkerHost(
            code, label=self._label, clock=self._clock, exports=self._exports, loaders=self._loaders
        )
        return self._host

    async def _ask(self, event: Mapping[str, object]) -> object:
        assert self.session is not None
        return await self.session.event(event, inside=True)

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
        return cpu_ms

    def serving(self, payer: object) -> None: ...

    def spent(self, cpu_ns: int) -> None: ...

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
            return await self._loaders.perform(operation, self.session)
        return await self._exports.perform(operation, self.session)

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
    async def session(self) -> GuestSession: ...


class EntrypointTarget:
    """One entry point of a dynamic worker, with its props."""

    def __init__(self, entry: SessionSource, name: str | None, props: object) -> None:
        self._entry = entry
        self._name = name or "default"
        self._props = to_expression({} if props is None else props)

    async def fetch(self, request: Request) -> Response:
        with self._entry.in_use():
            session = await self._entry.session()
            return await session.streams.fetch(request, self._environment(session))

    async def call(self, method: str, arguments: Sequence[object]) -> object:
        check_arguments(method, arguments)
        expressions = [to_expression(argument) for argument in arguments]
        return await self._event({"k": "call", "m": method, "a": expressions}, from_expression)

    async def _event(self, fields: Mapping[str, object], read: Callable[[object], T]) -> T:
        with self._entry.in_use():
            session = await self._entry.session()
            environment = self._environment(session)
            return await session.convert(read, await session.event({**fields, **environment}))

    def _environment(self, session: GuestSession) -> Mapping[str, object]:
        """What an event of this entry point carries. Raises WorkerCodeError when there is none of this name."""
        self._check_exported(session.exports)
        return {"x": self._name, "p": self._props, "env": json.loads(session.code.env)}

    def _check_exported(self, exports: Mapping[str, str]) -> None:
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
    return await session.convert(from_expression, await session.event({"k": "eval", "s": source, "a": variables}))


def check_arguments(method: str, arguments: Sequence[object]) -> None:
    """Raise UsageError when a call has more arguments than any method takes."""
    if len(arguments) > CALL_ARGUMENTS_MAX:
        raise UsageError(
            f"`{method}` was called with {len(arguments)} arguments, the limit is {CALL_ARGUMENTS_MAX}: pass a list"
        )


def is_fatal(error: BaseException) -> bool:
    """True when an error ended the isolate that raised it."""
    return isinstance(error, GuestError) and error.durable_object_reset
