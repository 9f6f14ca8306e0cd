"""Entry points of trusted code as targets: a fresh instance for each request or call, which belongs to no object.

Whoever calls one is an object whose turn ends here. The entry point runs in a task of its own, without the caller's
context: what it sends does not wait for the caller's writes again. Effects: tasks.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Awaitable, Callable, Sequence
from contextvars import ContextVar
from typing import Any, Final

from perdure.api import (
    Copies,
    KeptValue,
    Returned,
    Sent,
    WorkerContext,
    WorkerEntrypoint,
    callable_at,
    finished,
    value_at,
)
from perdure.errors import UsageError
from perdure.objects._actor import leave_caller
from perdure.objects._body_source import Apart
from perdure.objects._lending import apart
from perdure.web import ReadableStream, Request, Response

MakeContext = Callable[[object], WorkerContext]
"""The `ctx` of an instance that has these props."""


ENTRY_POINT: Final[ContextVar[str]] = ContextVar("perdure_entry_point", default="")
"""The entry point whose trusted code is running, with its props: what it loads is its own."""

_WITH_STUBS: Final = itertools.count(1)


class TrustedEntrypoint:
    """One WorkerEntrypoint class with its props."""

    __slots__ = ("_env", "_kind", "_make_context", "_props", "_who")

    def __init__(
        self, kind: type[WorkerEntrypoint], props: object, *, env: Callable[[], object], make_context: MakeContext
    ) -> None:
        self._kind = kind
        kept = KeptValue.of(props)
        self._props = kept.value()
        self._env = env
        self._make_context = make_context
        self._who = f"{kind.__module__}.{kind.__qualname__} {json.dumps(kept.tree)}"
        if kept.services:  # Two stubs are never the same: what this one loads, no other is handed.
            self._who += f" {next(_WITH_STUBS)}"

    async def fetch(self, request: Request) -> Response:
        """Let a fresh instance answer."""
        await leave_caller(request)
        answer = await apart(self._fetch(request))
        if not isinstance(answer, Response):
            raise UsageError(
                f"`{self._kind.__name__}.fetch` returned `{type(answer).__name__}`: return a Response, such as "
                "Response.json(value)"
            )
        if isinstance(answer.body, ReadableStream):
            answer.body.bind(Apart)
        return answer

    def call(self, path: Sequence[str], arguments: Sequence[object] | Copies) -> Awaitable[Any]:
        return self._send(path, Sent.of(arguments))

    async def get(self, path: Sequence[str]) -> object:
        await leave_caller()
        return (await apart(self._get(path))).take()

    async def _send(self, path: Sequence[str], sent: Sent) -> object:
        """Call a public method of a fresh instance with copies; the result is a copy."""
        with sent:
            await leave_caller()
            return (await apart(self._call(path, sent))).take()

    async def _fetch(self, request: Request) -> object:
        handler = getattr(self._instance(), "fetch", None)
        if handler is None:
            raise UsageError(
                f"`{self._kind.__name__}` does not export a fetch() function: define `async def fetch(self, request)`"
            )
        return await finished(handler(request))

    async def _call(self, path: Sequence[str], sent: Sent) -> Returned:
        return Returned(await finished(callable_at(self._instance(), path, base=WorkerEntrypoint)(*sent.values())))

    async def _get(self, path: Sequence[str]) -> Returned:
        return Returned(await finished(value_at(self._instance(), path, base=WorkerEntrypoint)))

    def _instance(self) -> Any:  # noqa: ANN401  # the owner's own class
        ENTRY_POINT.set(self._who)
        return self._kind(self._make_context(self._props), self._env())
