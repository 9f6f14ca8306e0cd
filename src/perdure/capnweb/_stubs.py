"""Stubs and promises, as user code holds them: names on them make calls at the peer's.

A call is on its way as soon as it is made. Its promise can be awaited, and used before: names on it, calls of it and
passing it on need no round trip. Effects: none (a hook does the work).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, Self

from perdure.api import Capability, Copies, Disposable, Handle, Sent, as_response
from perdure.capnweb._hooks import FailedHook, Hook
from perdure.capnweb._payload import Payload
from perdure.capnweb._references import Path
from perdure.errors import UsageError
from perdure.objects import leave_caller
from perdure.web import Request, Response
from perdure.wire import FUNCTION

if TYPE_CHECKING:
    from perdure.api import Target


class Caller(Protocol):
    """The session, as its stubs see it."""

    def call(self, hook: Hook, path: Path, arguments: tuple[object, ...]) -> Hook:
        """A call that user code makes. Raises ValueNotCloneableError for what cannot be sent."""
        ...

    def record(self, hook: Hook, path: Path, function: Callable[[Any], object]) -> Hook:
        """A function that is applied where the value is."""
        ...

    def hold(self, payload: Payload) -> Hook:
        """A hook for a value that user code has."""
        ...


class PeerStub(Handle, Disposable):
    """A capability: of the peer's, or of ours that came back. `stub.method(…)` and `stub(…)` call it.

    `close()` says that it is not needed any more, and so does leaving `with stub:`; `dup()` is one more for someone
    else. One that came in the arguments of a call is closed when the call returns, unless it was `dup`ed.
    """

    __slots__ = ("_caller", "_hook", "_path")

    def __init__(self, hook: Hook, caller: Caller, path: Path = ()) -> None:
        super().__init__(_PeerTarget(hook, caller, path))
        self._hook = hook
        self._caller = caller
        self._path = path

    def __getattr__(self, name: str) -> PeerPromise:
        if name.startswith("_"):
            raise AttributeError(f"`{name}` is private and cannot be called over RPC")
        return PeerPromise(self._hook, self._caller, (*self._path, name))

    def __getitem__(self, key: str | int) -> PeerPromise:
        """A property whose name is no name of Python's, or an item of a list."""
        return PeerPromise(self._hook, self._caller, (*self._path, key))

    def __call__(self, *arguments: object) -> PeerPromise:
        return PeerPromise(self._caller.call(self._hook, self._path, arguments), self._caller)

    def map(self, function: Callable[[Any], object]) -> PeerPromise:
        """The results of `function` for each item of a list (or for a single value), without fetching it.

        The function runs once, here, with a placeholder: it may call it, read from it, pass it to stubs, and return
        such results in plain values. It is applied at the far side, in one round trip.
        """
        return PeerPromise(self._caller.record(self._hook, self._path, function), self._caller)

    def dup(self) -> PeerStub:
        """One more stub for the same, to be closed by itself."""
        return PeerStub(self._hook.get(self._path) if self._path else self._hook.dup(), self._caller)

    def close(self) -> None:
        """It is not needed any more. Doing it twice is nothing."""
        hook, self._hook = self._hook, FailedHook(UsageError(self._after_close))
        hook.dispose()

    def _lent(self) -> Target | None:
        """For other objects and sandboxes: it holds the capability by itself."""
        return PeerCapability(self._hook.get(self._path) if self._path else self._hook.dup(), self._caller)

    @property
    def _after_close(self) -> str:
        return "RPC stub used after being disposed"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *details: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {'.'.join(map(str, self._path))}>"


class PeerPromise(PeerStub):
    """The result of a call, or a property: `await` it, or use it before it is there."""

    __slots__ = ("_pulled",)
    cannot_be_serialized: ClassVar[str] = (
        "could not serialize object of type `PeerPromise`, it does not support serialization: await it first"
    )

    def _lent(self) -> None:
        return None

    def __init__(self, hook: Hook, caller: Caller, path: Path = ()) -> None:
        super().__init__(hook, caller, path)
        self._pulled: Payload | None = None

    def __await__(self) -> Generator[object, object, Any]:
        return self._value().__await__()

    async def _value(self) -> Any:  # noqa: ANN401  # what the peer sent
        if self._pulled is None:
            hook = self._hook.get(self._path) if self._path else self._hook.dup()
            try:
                payload = await (await hook.pull()).filled()
            finally:
                hook.dispose()
            if self._pulled is None:
                self._pulled = payload
                if not self._path:  # What is in the result belongs to whoever awaited it, and to this no longer.
                    self._hook.dispose()
                    self._hook = self._caller.hold(payload)
        return self._pulled.value

    def close(self) -> None:
        """Neither the result nor anything in it is needed any more."""
        if self._pulled is not None:
            self._pulled.dispose()
        if not self._path:
            super().close()

    @property
    def _after_close(self) -> str:
        return "RPC promise used after being disposed"


class _PeerTarget:
    """`Target`: a capability of the peer's, for code that knows targets only. Its stub holds it."""

    __slots__ = ("_caller", "_hook", "_path")

    def __init__(self, hook: Hook, caller: Caller, path: Path) -> None:
        self._hook = hook
        self._caller = caller
        self._path = path

    def call(self, path: Sequence[str], arguments: Sequence[object] | Copies) -> Awaitable[Any]:
        return _call(self._hook, self._caller, (*self._path, *path), arguments)

    def get(self, path: Sequence[str]) -> Awaitable[Any]:
        return _get(self._hook, self._caller, (*self._path, *path))

    def fetch(self, request: Request) -> Awaitable[Response]:
        return _fetch(self._hook, self._caller, self._path, request)


class PeerCapability(Capability):
    """A capability of the peer's that was passed on: to another object, or into a sandbox."""

    __slots__ = ("_caller", "_hook")

    def __init__(self, hook: Hook, caller: Caller) -> None:
        super().__init__(FUNCTION)
        self._hook = hook
        self._caller = caller

    def unheld(self) -> None:
        """Nobody holds it any more."""
        self._hook.dispose()

    def call(self, path: Sequence[str], arguments: Sequence[object] | Copies) -> Awaitable[Any]:
        return _call(self._hook, self._caller, tuple(path), arguments)

    def get(self, path: Sequence[str]) -> Awaitable[Any]:
        return _get(self._hook, self._caller, tuple(path))

    def fetch(self, request: Request) -> Awaitable[Response]:
        return _fetch(self._hook, self._caller, (), request)


async def _call(hook: Hook, caller: Caller, path: Path, arguments: Sequence[object] | Copies) -> Any:  # noqa: ANN401  # what the peer sent
    with Sent.of(arguments) as sent:
        await leave_caller()
        return await PeerPromise(caller.call(hook, path, tuple(sent.values())), caller)


async def _get(hook: Hook, caller: Caller, path: Path) -> Any:  # noqa: ANN401  # as above
    await leave_caller()
    return await PeerPromise(hook.get(path) if path else hook.dup(), caller)


async def _fetch(hook: Hook, caller: Caller, path: Path, request: Request) -> Response:
    await leave_caller(request)
    return as_response(await PeerPromise(caller.call(hook, (*path, "fetch"), (request,)), caller))


# Functions, because every name on a stub is one of the peer's.


def hook_and_path(stub: PeerStub) -> tuple[Hook, Path]:
    """What a stub stands for."""
    return stub._hook, stub._path  # noqa: SLF001  # see above


def caller_of(stub: PeerStub) -> Caller:
    """The session that its calls are made in."""
    return stub._caller  # noqa: SLF001  # see above
