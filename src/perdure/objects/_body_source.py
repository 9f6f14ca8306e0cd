"""The source of a body that trusted code has made: each step of it is a turn of the object that made it.

So what it writes is committed, what it gives waits until that is durable, and a reset ends it. It keeps its object
awake until it has ended, was cancelled, or nobody holds it any more. Effects: tasks.
"""

from __future__ import annotations

import asyncio
import types
from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from contextlib import AbstractContextManager, suppress
from contextvars import Context
from typing import Any, Final, Protocol

from perdure.api import Section
from perdure.errors import PerdureError, again

_END: Final = object()
_WAITS_ENDED_MAX: Final = 100


class Maker(Protocol):
    """The object whose code has made a body, as long as its instance lives."""

    bodies: set[BodyRun]

    def in_use(self) -> AbstractContextManager[None]:
        """While it lasts the object is not idle."""
        ...

    async def run_turns(self, handler: Callable[[], Awaitable[object]], *, section: Section | None) -> object:
        """Run a step as an event of its own; what it gives leaves once what was written is durable.

        `section`: the critical section that it belongs to.
        """
        ...

    def spawn(self, work: Awaitable[object]) -> None:
        """Run `work` in its turns; nobody waits for it."""
        ...


class BodySource:
    """`source`, in the turns of `body`; for one reader. `section`: the critical section that it was sent from."""

    __slots__ = ("_loop", "_run")

    def __init__(self, body: Maker, source: AsyncIterator[Any], *, section: Section | None) -> None:
        self._run = BodyRun(body, source, section)
        self._loop = asyncio.get_running_loop()

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:  # noqa: ANN401  # whatever the owner's code yields: the stream looks at it
        return await self._run.step()

    async def aclose(self) -> None:
        self._run.end()

    def __del__(self) -> None:
        if not self._run.is_ended:
            with suppress(RuntimeError):  # The loop has been closed, and all objects with it.
                self._loop.call_soon_threadsafe(self._run.end)  # A guest's thread may collect it.


class BodyRun:
    """What its object knows of such a source."""

    __slots__ = ("_body", "_error", "_is_running", "_section", "_source", "is_ended")

    def __init__(self, body: Maker, source: AsyncIterator[Any], section: Section | None) -> None:
        self._body = body
        self._section = section
        self._source = source
        self._error: PerdureError | None = None
        self._is_running = False
        self.is_ended = False
        body.bodies.add(self)

    async def step(self) -> Any:  # noqa: ANN401  # as above
        """What comes next. Raises StopAsyncIteration, what the source raises, and what reset the object."""
        if self._error is not None:
            raise again(self._error)
        self._is_running = True
        try:
            with self._body.in_use():
                chunk = await self._body.run_turns(self._pull, section=self._section)
        except BaseException:
            self._is_running = False
            self.end()  # It may not have come to its turn.
            raise
        self._is_running = False
        if chunk is _END or self.is_ended:
            self._forget()
            self._close_soon()
            raise StopAsyncIteration
        return chunk

    async def _pull(self) -> object:
        try:
            return await _stepped(self._source.__anext__())
        except StopAsyncIteration:
            return _END

    def end(self) -> None:
        """Nobody wants the rest: close it, in turns of the object. One that runs is closed when it gives something."""
        self._forget()
        if not self._is_running:
            self._close_soon()

    def discard(self, error: PerdureError) -> None:
        """The object is gone: it never runs again, but for its `finally`, without storage."""
        self._error = error
        self._forget()
        if self._is_running:
            return  # Whoever runs it is interrupted.
        closing = self._closing()
        if closing is not None:
            _close_now(closing)

    def _forget(self) -> None:
        self.is_ended = True
        self._body.bodies.discard(self)

    def _close_soon(self) -> None:
        closing = self._closing()
        if closing is not None and self._error is None:
            self._body.spawn(closing)

    def _closing(self) -> Awaitable[object] | None:
        """The rest of its life; None when it has ended, or has none."""
        close = getattr(self._source, "aclose", None)
        return None if close is None or getattr(self._source, "ag_frame", ...) is None else close()


class Apart:
    """A source that belongs to no object: its steps run without the context of whoever reads."""

    __slots__ = ("_context", "_source")

    def __init__(self, source: AsyncIterator[Any]) -> None:
        self._source = source
        self._context = Context()

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:  # noqa: ANN401  # as above
        chunk = await self._step(anext(self._source, _END))
        if chunk is _END:
            raise StopAsyncIteration
        return chunk

    async def aclose(self) -> None:
        close = getattr(self._source, "aclose", None)
        if close is not None:
            await self._step(close())

    async def _step(self, work: Awaitable[object]) -> object:
        async def run() -> object:
            return await work

        return await asyncio.get_running_loop().create_task(run(), context=self._context)


@types.coroutine
def _stepped(awaitable: Awaitable[object]) -> Generator[Any, Any, object]:
    """`awaitable`; when it is closed in its midst, its generator's `finally` runs, as far as it goes without waiting.

    The awaitable of a generator's step does not do that itself before Python 3.13.
    """
    inner: Any = awaitable.__await__()
    try:
        waits_for = inner.send(None)
        while True:
            try:
                value = yield waits_for
            except GeneratorExit:
                _exit(inner)
                raise
            except BaseException as error:  # noqa: BLE001  # it is thrown where the user's code waits
                waits_for = inner.throw(error)
            else:
                waits_for = inner.send(value)
    except StopIteration as stop:
        return stop.value


def _exit(step: Any) -> None:  # noqa: ANN401  # the step of a generator, or of whatever stands for one
    """End a step where it waits, and wherever its `finally` wants to wait then. What it raises concerns nobody."""
    with suppress(BaseException):
        for _ in range(_WAITS_ENDED_MAX):
            step.throw(GeneratorExit())


def _close_now(closing: Any) -> None:  # noqa: ANN401  # what `aclose()` of a generator gives
    """Run a generator's end as far as it goes without waiting. What it raises concerns nobody."""
    with suppress(BaseException):
        closing.send(None)
        _exit(closing)
