"""Entry points of trusted code as targets: a fresh instance for each request or call, which belongs to no object.

Whoever calls one is an object whose turn ends here. The entry point runs in a task of its own, without the caller's
context: what it sends does not wait for the caller's writes again. Effects: tasks.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context
from typing import Any

from perdure.api import WorkerContext, WorkerEntrypoint, rpc_method
from perdure.errors import UsageError
from perdure.objects._actor import leave_caller
from perdure.objects._body_source import Apart
from perdure.web import ReadableStream, Request, Response
from perdure.wire import from_expression, to_expression

MakeContext = Callable[[object], WorkerContext]
"""The `ctx` of an instance that has these props."""


class TrustedEntrypoint:
    """One WorkerEntrypoint class with its props."""

    __slots__ = ("_env", "_kind", "_make_context", "_props")

    def __init__(
        self, kind: type[WorkerEntrypoint], props: object, *, env: Callable[[], object], make_context: MakeContext
    ) -> None:
        self._kind = kind
        self._props = from_expression(to_expression(props))
        self._env = env
        self._make_context = make_context

    async def fetch(self, request: Request) -> Response:
        """Let a fresh instance answer."""
        await leave_caller(request)
        answer = await _apart(self._fetch(request))
        if not isinstance(answer, Response):
            raise UsageError(
                f"`{self._kind.__name__}.fetch` returned `{type(answer).__name__}`: return a Response, such as "
                "Response.json(value)"
            )
        if isinstance(answer.body, ReadableStream):
            answer.body.bind(Apart)
        return answer

    async def call(self, method: str, arguments: Sequence[object]) -> object:
        """Call a public method of a fresh instance with copies of `arguments`; the result is a copy."""
        copies = [from_expression(to_expression(argument)) for argument in arguments]
        await leave_caller()
        return from_expression(to_expression(await _apart(self._call(method, copies))))

    async def _fetch(self, request: Request) -> object:
        handler = getattr(self._instance(), "fetch", None)
        if handler is None:
            raise UsageError(
                f"`{self._kind.__name__}` does not export a fetch() function: define `async def fetch(self, request)`"
            )
        return await _finished(handler(request))

    async def _call(self, method: str, arguments: Sequence[object]) -> object:
        return await _finished(rpc_method(self._instance(), method, base=WorkerEntrypoint)(*arguments))

    def _instance(self) -> Any:  # noqa: ANN401  # the owner's own class
        return self._kind(self._make_context(self._props), self._env())


async def _finished(answer: object) -> object:
    return await answer if inspect.isawaitable(answer) else answer


async def _apart(work: Awaitable[object]) -> object:
    """`work` in a task that nobody's object is current in; it ends when its caller gives up."""

    async def run() -> object:
        return await work

    return await asyncio.get_running_loop().create_task(run(), context=Context())
