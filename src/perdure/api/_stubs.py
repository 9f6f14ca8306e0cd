"""Stubs: how user code calls an object, a facet or an entry point it cannot touch.

`await stub.fetch(request)` for HTTP, `await stub.any_method(…)` for RPC; arguments and results are copies.
Effects: none (a `Target` does the work).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from perdure.web import Request, Response

if TYPE_CHECKING:
    from perdure.api._host_calls import Target


class Stub:
    """A handle on something that runs elsewhere."""

    __slots__ = ("__dict__", "__weakref__", "_target")  # what its own attributes are, is for others to say

    def __init__(self, target: Target) -> None:
        self._target = target

    async def fetch(
        self,
        request: Request | str,
        *,
        method: str = "GET",
        headers: Any = None,  # whatever Headers takes
        body: str | bytes | None = None,
    ) -> Response:
        """Send an HTTP request: a Request, or an absolute URL with the parts of one."""
        if not isinstance(request, Request):
            request = Request(request, method=method, headers=headers, body=body)
        return await self._target.fetch(request)

    def __getattr__(self, name: str) -> RpcMethod:
        if name.startswith("_"):
            raise AttributeError(f"`{name}` is private and cannot be called over RPC")
        return RpcMethod(self._target, name)


class RpcMethod:
    """A method of what a stub points at; calling it sends the call at once it is awaited."""

    __slots__ = ("_name", "_target")

    def __init__(self, target: Target, name: str) -> None:
        self._target = target
        self._name = name

    def __call__(self, *arguments: object) -> Awaitable[Any]:
        """Call it; the result is what the method returns, copied."""
        return self._target.call(self._name, arguments)

    def __repr__(self) -> str:
        return f"<RPC method {self._name}>"


class LoopbackEntrypoint(Stub):
    """`ctx.exports.Entry`: this worker's own entry point. A stub as it is; called with props, a stub that has them."""

    __slots__ = ("_with_props",)

    def __init__(self, with_props: Callable[[object], Target]) -> None:
        super().__init__(with_props({}))
        self._with_props = with_props

    def __call__(self, *, props: object = None) -> Stub:
        """The entry point with these props, as it sees them in `ctx.props`."""
        return Stub(self._with_props({} if props is None else props))
