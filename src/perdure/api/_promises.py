"""RpcPromise: the result of a call that is under way, and what can be asked of it before it is there.

A call begins in the order in which it was made on its stub, whether it is awaited or not: at the latest with the next
step of the event loop, when the turn of whoever made it is over. Effects: tasks.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Generator, Sequence
from enum import Enum, auto
from types import CoroutineType
from typing import TYPE_CHECKING, Any, ClassVar, Final, Protocol, Self

from perdure.api._capabilities import Disposable
from perdure.api._rpc import checked_path
from perdure.errors import RpcDisposedError, again

if TYPE_CHECKING:
    from perdure.api._targets import Target


class Line(Protocol):
    """A stub or a promise on which calls are made: how many of them have not begun."""

    unstarted: int


class _State(Enum):
    NEW = auto()
    DRIVEN = auto()  # by whoever awaits it
    TASK = auto()
    DONE = auto()


class RpcProperty:
    """A property of what a stub or a promise stands for: call it, await it, or go on from it."""

    __slots__ = ("_line", "_path", "_target")
    cannot_be_serialized: ClassVar[str] = "could not serialize an RPC property: await it first"

    def __init__(self, line: Line, target: Target, path: Sequence[str]) -> None:
        self._line = line
        self._target = target
        self._path = path

    def __call__(self, *arguments: object) -> RpcPromise:
        """Call it; the result is what the method returns, copied."""
        return RpcPromise(self._line, self._target.call(self._path, arguments))

    def __await__(self) -> Generator[Any, Any, Any]:
        return RpcPromise(self._line, self._target.get(self._path)).__await__()

    def __getattr__(self, name: str) -> RpcProperty:
        if name.startswith("_"):
            raise AttributeError(f"`{name}` is private and cannot be reached over RPC")
        return self[name]

    def __getitem__(self, name: str | int) -> RpcProperty:
        return RpcProperty(self._line, self._target, checked_path((*self._path, str(name))))

    def __repr__(self) -> str:
        return f"<RPC method {'.'.join(self._path)}>"


if TYPE_CHECKING:
    _Awaited = Coroutine[Any, Any, Any]
else:
    _Awaited = object


class RpcPromise(_Awaited):
    """The result of a call, when it is awaited. Its properties can be called and awaited before it is there.

    What takes a coroutine takes it, too: `asyncio.create_task(stub.method())`.
    `with stub.make() as promise:` closes the stubs in the result at the end of the block; so does `close()`.
    """

    __slots__ = (
        "__weakref__",
        "_error",
        "_future",
        "_handle",
        "_is_closed",
        "_line",
        "_result",
        "_state",
        "_steps",
        "_work",
        "unstarted",
    )
    cannot_be_serialized: ClassVar[str] = (
        "could not serialize object of type `RpcPromise`, it does not support serialization: await it first"
    )

    def __init__(self, line: Line, work: Awaitable[Any]) -> None:
        self._line: Line | None = line
        self._work: Any = work
        self._handle: asyncio.Handle | None = None
        self._future: asyncio.Future[Any] | None = None
        self._result: Any = None
        self._error: BaseException | None = None
        self._is_closed = False
        self._steps: Generator[Any, Any, Any] | None = None
        self.unstarted = 0
        if type(work) is CoroutineType:
            self._state = _State.NEW
            line.unstarted += 1
            loop = asyncio._get_running_loop()  # noqa: SLF001  # None outside of a loop: then it begins when it is awaited
            if loop is not None:
                self._handle = loop.call_soon(self._start)
        else:
            assert isinstance(work, asyncio.Future), "a target answers with a coroutine or a future"
            self._state = _State.TASK
            self._future = work

    def __await__(self) -> Generator[Any, Any, Any]:
        if self._is_closed:
            raise RpcDisposedError("RPC promise used after being disposed")
        if self._state is _State.NEW:
            assert self._line is not None
            if self._handle is None or self._line.unstarted == 1:
                return (yield from self._drive())
            yield from asyncio.sleep(0).__await__()  # What was called earlier begins first, and then this.
        if self._state is _State.DONE:
            if self._error is not None:
                raise again(self._error)
            return self._result
        if self._future is None:  # Somebody else drives it.
            self._future = asyncio.get_running_loop().create_future()
        return (yield from self._future.__await__())

    # What a task asks of its coroutine. `send` stays free for a remote method of that name: asyncio takes `__next__`.

    if TYPE_CHECKING:

        def send(self, value: Any) -> Any: ...

    def __next__(self) -> Any:
        if self._steps is None:
            self._steps = self.__await__()
        return next(self._steps)

    def throw(self, *error: Any) -> Any:
        """Asyncio's way to cancel whoever awaits it as a task."""
        if self._steps is None:
            self._steps = self.__await__()
        return self._steps.throw(*error)

    def _drive(self) -> Generator[Any, Any, Any]:
        """Run the call where it is awaited: that costs no task."""
        if self._handle is not None:
            self._handle.cancel()
        self._begin(_State.DRIVEN)
        try:
            self._result = yield from self._work.__await__()
        except BaseException as error:
            self._error = error
            raise
        finally:
            self._settle()
        return self._result

    def _start(self) -> None:
        self._begin(_State.TASK)
        self._future = asyncio.get_running_loop().create_task(self._work)
        if self._is_closed:
            self._future.add_done_callback(_close_result)

    def _begin(self, state: _State) -> None:
        self._state = state
        self._handle = None
        assert self._line is not None
        self._line.unstarted -= 1
        self._line = None

    def _settle(self) -> None:
        self._state = _State.DONE
        future, self._future = self._future, None
        if future is not None and not future.done():
            if self._error is None:
                future.set_result(self._result)
            else:
                future.set_exception(self._error)
                future.exception()  # Whoever waited may be gone.
        if self._is_closed and self._error is None:
            close_stubs(self._result)

    def close(self) -> None:
        """Dispose of the stubs in the result, now or when it comes. It can be awaited no more."""
        if self._is_closed:
            return
        self._is_closed = True
        if self._state is _State.DONE:
            close_stubs(self._result)
        elif self._state is _State.TASK and self._future is not None:
            self._future.add_done_callback(_close_result)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __getattr__(self, name: str) -> Any:  # an RpcProperty; as such, type checkers take it for no coroutine
        if name.startswith("_"):
            raise AttributeError(f"`{name}` is private and cannot be reached over RPC")
        return self[name]

    def __getitem__(self, name: str | int) -> Any:
        if self._is_closed:
            raise RpcDisposedError("RPC promise used after being disposed")
        return RpcProperty(self, self._pipeline(), (str(name),))

    def _pipeline(self) -> Target:
        """What its properties are asked of."""
        make = getattr(self._future, "pipeline", None)
        if make is not None:
            return make(self)  # type: ignore[no-any-return]  # that of a guest's operation
        return _PIPELINES[0](self)

    def __repr__(self) -> str:
        return f"<RpcPromise {self._state.name.lower()}>"


Coroutine.register(RpcPromise)
_PIPELINES: Final[list[Callable[[RpcPromise], Target]]] = []


def use_pipeline(make: Callable[[RpcPromise], Target]) -> None:
    """From now on `make` gives what is asked of a promise whose target has no pipelines of its own."""
    _PIPELINES[:] = [make]


def close_stubs(value: object) -> None:
    """Close every stub in a value that came from elsewhere."""
    waiting, seen = [value], set[int]()
    while waiting:
        item = waiting.pop()
        if isinstance(item, Disposable):
            item.close()
        elif isinstance(item, dict | list | tuple | set | frozenset) and id(item) not in seen:
            seen.add(id(item))
            waiting.extend(item)
            if isinstance(item, dict):
                waiting.extend(item.values())


def _close_result(future: asyncio.Future[Any]) -> None:
    if not future.cancelled() and future.exception() is None:
        close_stubs(future.result())
