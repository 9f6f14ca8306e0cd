"""Stubs: how user code calls an object, a facet, an entry point or a function it cannot touch.

`await stub.fetch(request)` for HTTP, `await stub.any_method(…)` for RPC, `await stub.any_property`; arguments and
results are copies, but for what is passed by reference. Effects: none (a `Target` does the work).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, Self

from perdure.api._capabilities import Capability, Disposable, Handle, current_holder, local_capability
from perdure.api._promises import RpcPromise, RpcProperty
from perdure.errors import RpcDisposedError
from perdure.web import Request, Response

if TYPE_CHECKING:
    from perdure.api._targets import Target


class Stub(Handle):
    """A handle on something that runs elsewhere. `stub["name"]` is what `stub.name` is, for any name."""

    __slots__ = ()

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

    def __getattr__(self, name: str) -> RpcProperty:
        if name.startswith("_"):
            raise AttributeError(f"`{name}` is private and cannot be called over RPC")
        return RpcProperty(self, self._target, (name,))

    def __getitem__(self, name: str | int) -> RpcProperty:
        return RpcProperty(self, self._target, (str(name),))


class RpcStub(Stub, Disposable):
    """A function or a target that lives elsewhere. Whoever has got it closes it: `close()`, or `with stub:`.

    What came as an argument is closed when the call returns: `dup()` gives a stub that stays. `RpcStub(target)` makes
    one for a function or target of one's own.
    """

    __slots__ = ("_holder", "_is_closed")

    def __init__(self, target: object) -> None:
        capability = target if isinstance(target, Capability) else local_capability(target)
        super().__init__(capability)
        capability.retain()
        self._is_closed = False
        self._holder = current_holder()
        if self._holder is not None:
            self._holder.holds(self)

    def __call__(self, *arguments: object) -> RpcPromise:
        """Call the function."""
        return RpcPromise(self, self._open().call((), arguments))

    async def fetch(
        self,
        request: Request | str,
        *,
        method: str = "GET",
        headers: Any = None,  # whatever Headers takes
        body: str | bytes | None = None,
    ) -> Response:
        """Send an HTTP request, to what takes one."""
        self._open()
        return await super().fetch(request, method=method, headers=headers, body=body)

    def __getattr__(self, name: str) -> RpcProperty:
        self._open()
        return super().__getattr__(name)

    def __getitem__(self, name: str | int) -> RpcProperty:
        self._open()
        return super().__getitem__(name)

    def dup(self) -> RpcStub:
        """Another stub for the same, to be closed on its own."""
        return RpcStub(self._open())

    def close(self) -> None:
        """Dispose of it. When all who hold the target have, its own `on_dispose` runs."""
        if not self._is_closed:
            self._is_closed = True
            holder, self._holder = self._holder, None
            if holder is not None:
                holder.holds_no_more(self)
            target = self._target
            assert isinstance(target, Capability), "a stub that is closed points at what is counted"
            target.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _open(self) -> Target:
        if self._is_closed:
            raise RpcDisposedError("RPC stub used after being disposed")
        return self._target

    def _lent(self) -> Target:
        return self._open()

    def __repr__(self) -> str:
        return "<RpcStub disposed>" if self._is_closed else "<RpcStub>"


class LoopbackEntrypoint(Stub):
    """`ctx.exports.Entry`: this worker's own entry point. A stub as it is; called with props, a stub that has them."""

    __slots__ = ("_with_props",)
    cannot_be_serialized: ClassVar[str] = (
        'could not serialize object of type "LoopbackServiceStub", it does not support serialization: '
        "call it first, `ctx.exports.Entry(props={})`"
    )

    def __init__(self, with_props: Callable[[object], Target]) -> None:
        super().__init__(with_props({}))
        self._with_props = with_props

    def __call__(self, *, props: object = None) -> Stub:
        """The entry point with these props, as it sees them in `ctx.props`."""
        return Stub(self._with_props({} if props is None else props))

    def _lent(self) -> None:
        return None


def stub_for(target: Target) -> Stub:
    """The stub for what came by reference: one that is closed for what is counted."""
    return RpcStub(target) if isinstance(target, Capability) else Stub(target)
