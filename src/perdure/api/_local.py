"""Functions and targets of the code that runs here, as something that can be lent; and pipelines on results.

Effects: tasks.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from perdure.api._capabilities import Capability, Handle, lent_by, use_lender
from perdure.api._parcels import Sent, copied
from perdure.api._promises import RpcPromise, use_pipeline
from perdure.api._rpc import RpcMethodError, RpcTarget, callable_at, follow, value_at
from perdure.api._stubs import RpcStub
from perdure.api._targets import Copies
from perdure.errors import UsageError
from perdure.web import Request, Response
from perdure.wire import FUNCTION, TARGET

_LOG: Final = logging.getLogger("perdure.rpc")


class LocalCapability(Capability):
    """A function or an RpcTarget of the code that runs here, called directly."""

    __slots__ = ("value",)

    def __init__(self, value: object) -> None:
        super().__init__(TARGET if isinstance(value, RpcTarget) else FUNCTION)
        self.value = value

    def fetch(self, request: Request) -> Awaitable[Response]:
        return self._fetch(request)

    def call(self, path: Sequence[str], arguments: Sequence[object] | Copies) -> Awaitable[Any]:
        return self._call(path, Sent.of(arguments))

    def get(self, path: Sequence[str]) -> Awaitable[Any]:
        return self._get(path)

    async def _fetch(self, request: Request) -> Response:
        return as_response(await finished(fetch_at(self.value)(request)))

    async def _call(self, path: Sequence[str], sent: Sent) -> object:
        with sent:
            return copied(await finished(callable_at(self.value, path, base=None)(*sent.values())))

    async def _get(self, path: Sequence[str]) -> object:
        return copied(await finished(value_at(self.value, path, base=None)))

    def unheld(self) -> None:
        dispose = self.disposer_or_none
        if dispose is not None:
            task = asyncio.get_running_loop().create_task(dispose_of(dispose))
            _DISPOSING.add(task)
            task.add_done_callback(_DISPOSING.discard)

    @property
    def disposer_or_none(self) -> Callable[[], object] | None:
        """What the target wants to run when nobody holds it any more."""
        dispose = getattr(self.value, "on_dispose", None) if isinstance(self.value, RpcTarget) else None
        return dispose if callable(dispose) else None


_DISPOSING: Final[set[asyncio.Task[None]]] = set()


async def dispose_of(dispose: Callable[[], object]) -> None:
    """Run a disposer; nobody waits for it, so what it raises is logged."""
    try:
        await finished(dispose())
    except Exception:  # noqa: BLE001  # user code: its failure is logged and ends here
        _LOG.exception("on_dispose failed")


async def finished(answer: Any) -> Any:
    """What a handler returned, awaited if need be."""
    return await answer if inspect.isawaitable(answer) else answer


def fetch_at(value: object) -> Callable[[Request], object]:
    """How what was passed by reference answers HTTP. Raises RpcMethodError when it does not."""
    handler = getattr(type(value), "fetch", None) if isinstance(value, RpcTarget) else None
    if not callable(handler):
        raise RpcMethodError('The RPC receiver does not implement the method "fetch"')
    return getattr(value, "fetch")  # type: ignore[no-any-return]  # noqa: B009  # the user's own


def as_response(answer: object) -> Response:
    """What a `fetch` of RpcTarget returned. Raises UsageError when it is no response."""
    if not isinstance(answer, Response):
        raise UsageError(f"fetch returned `{type(answer).__name__}`: return a Response, such as Response.json(value)")
    return answer


class LocalPipeline:
    """`Target`: what a promise will stand for. What is asked of it waits for the result."""

    __slots__ = ("_promise",)

    def __init__(self, promise: RpcPromise) -> None:
        self._promise = promise

    def fetch(self, request: Request) -> Awaitable[Response]:
        return self._fetch(request)

    def call(self, path: Sequence[str], arguments: Sequence[object] | Copies) -> Awaitable[Any]:
        return self._call(path, Sent.of(arguments))

    def get(self, path: Sequence[str]) -> Awaitable[Any]:
        return self._get(path)

    async def _fetch(self, request: Request) -> Response:
        value = await self._promise
        if not isinstance(value, Handle):
            raise RpcMethodError('The RPC receiver does not implement the method "fetch"')
        target = lent_by(value)
        assert target is not None, "a stub that came from elsewhere can be passed on"
        return await target.fetch(request)

    async def _call(self, path: Sequence[str], sent: Sent) -> object:
        with sent:
            value, rest = follow(await self._promise, path, None)
            return await call_value(value, rest, sent, path)

    async def _get(self, path: Sequence[str]) -> object:
        value, rest = follow(await self._promise, path, None)
        return await get_value(value, rest)


async def call_value(value: object, rest: Sequence[str], sent: Sent, path: Sequence[str]) -> object:
    """Call what stands at a path of a value that came from elsewhere."""
    target = lent_by(value) if isinstance(value, Handle) else None
    if target is None:
        raise RpcMethodError(f'"{".".join(path)}" is not a function')
    return await target.call(rest, sent)


async def get_value(value: object, rest: Sequence[str]) -> object:
    """What stands at a path of a value that came from elsewhere; a stub is a further one, to be closed on its own."""
    if rest and isinstance(value, Handle):
        target = lent_by(value)
        assert target is not None, "a stub that came from elsewhere can be passed on"
        return await target.get(rest)
    return value.dup() if isinstance(value, RpcStub) else value


use_lender(LocalCapability)
use_pipeline(LocalPipeline)
