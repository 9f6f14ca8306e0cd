"""Streams: a ValueStream that is read once, a WritableStream that takes chunks, and the pipe between both.

What is written into a pipe is confirmed when it has been read, so that a slow reader slows the writer down.
Effects: tasks (futures for whoever waits).
"""

from __future__ import annotations

import asyncio
import builtins
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable
from typing import Any, Final, Protocol

from perdure.errors import UsageError
from perdure.limits import BODY_BYTES_MAX

_UNREAD: Final = "the stream was disposed without being read"


class ValueStream:
    """Values, one after the other: `async for chunk in stream`. It can be read once.

    It is what a stream of a Cap'n Web peer is here. Any async iterable can be sent to one.
    """

    __slots__ = ("_is_taken", "_source")

    def __init__(self, source: AsyncIterable[Any]) -> None:
        self._source = source
        self._is_taken = False

    def __aiter__(self) -> AsyncIterator[Any]:
        self.claim()
        return self.claimed()

    def claim(self) -> None:
        """Become its only reader. Raises UsageError when there is one."""
        if self._is_taken:
            raise UsageError("this ValueStream has been locked to a reader: a stream can be read once")
        self._is_taken = True

    def claimed(self) -> AsyncIterator[Any]:
        """Its chunks, for whoever has claimed it."""
        return self._source.__aiter__()

    async def bytes(self) -> builtins.bytes:
        """All of it, of chunks that are bytes or text. Raises UsageError when it is larger than a body may be."""
        chunks: list[builtins.bytes] = []
        size = 0
        async for chunk in self:
            if not isinstance(chunk, str | bytes):
                raise UsageError(f"a chunk of the stream is a `{type(chunk).__name__}`, not bytes: iterate over it")
            content = chunk.encode() if isinstance(chunk, str) else chunk
            size += len(content)
            if size > BODY_BYTES_MAX:
                await self.cancel()
                raise UsageError(f"the stream has more than {BODY_BYTES_MAX} bytes: iterate over it")
            chunks.append(content)
        return b"".join(chunks)

    async def text(self) -> str:
        """All of it, as UTF-8."""
        return (await self.bytes()).decode("utf-8", "replace")

    async def cancel(self) -> None:
        """Nothing of it is needed any more; whoever writes it is told."""
        self._is_taken = True
        if isinstance(self._source, Pipe):
            self._source.cancel("the stream was cancelled by its reader")
        elif (close := getattr(self._source, "aclose", None)) is not None:
            await close()

    def dispose(self) -> None:
        """Cancel it, unless somebody reads it."""
        if not self._is_taken:
            self.abandon()

    def abandon(self) -> None:
        """Whoever was to read it never did."""
        if isinstance(self._source, Pipe):
            self._source.cancel(_UNREAD)


class Sink(Protocol):
    """What takes chunks."""

    def write(self, chunk: object) -> Awaitable[None]: ...
    def close(self) -> Awaitable[None]: ...
    def abort(self, reason: object) -> Awaitable[None]: ...


class WritableStream:
    """Where chunks go: `await stream.write(chunk)`, then `await stream.close()`, or `abort(reason)`.

    One that came from a peer writes there, and waits when too much is under way. Made of functions, it can be sent to
    a peer: `WritableStream(write=…, close=…, abort=…)`, each sync or async.
    """

    __slots__ = ("_sink",)

    def __init__(
        self,
        write: Callable[[Any], object],
        close: Callable[[], object] | None = None,
        abort: Callable[[Any], object] | None = None,
    ) -> None:
        self._sink: Sink = _FunctionSink(write, close, abort)

    @classmethod
    def of(cls, sink: Sink) -> WritableStream:
        """A stream that writes into `sink`."""
        stream = cls.__new__(cls)
        stream._sink = sink  # noqa: SLF001  # its own instance
        return stream

    @property
    def sink(self) -> Sink:
        """What it writes into."""
        return self._sink

    async def write(self, chunk: object) -> None:
        """Write one chunk; returns when there is room for the next."""
        await self._sink.write(chunk)

    async def close(self) -> None:
        """The end: returns when everything has arrived."""
        await self._sink.close()

    async def abort(self, reason: object = None) -> None:
        """The end before the end: the reader is told `reason`."""
        await self._sink.abort(reason)

    def dispose(self) -> None:
        """Abort it, if it was not closed and knows how."""
        if (dispose := getattr(self._sink, "dispose", None)) is not None:
            dispose()


class _FunctionSink:
    """A sink of functions."""

    def __init__(
        self, write: Callable[[Any], object], close: Callable[[], object] | None, abort: Callable[[Any], object] | None
    ) -> None:
        self._write = write
        self._close = close
        self._abort = abort

    async def write(self, chunk: object) -> None:
        await _done(self._write(chunk))

    async def close(self) -> None:
        if self._close is not None:
            await _done(self._close())

    async def abort(self, reason: object) -> None:
        if self._abort is not None:
            await _done(self._abort(reason))


async def _done(outcome: object) -> None:
    if isinstance(outcome, Awaitable):
        await outcome


class Pipe:
    """What is written at one end is read at the other. Who writes is told when it was read."""

    def __init__(self) -> None:
        self._chunks: deque[tuple[object, asyncio.Future[None]]] = deque()
        self._error: Exception | None = None
        self._is_closed = False
        self._arrival: asyncio.Future[None] | None = None

    async def write(self, chunk: object) -> None:
        """Until the chunk has been read. Raises what ended the pipe."""
        if self._error is not None:
            raise self._error.with_traceback(None)
        if self._is_closed:
            raise UsageError("the stream is closed: nothing can be written any more")
        read: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._chunks.append((chunk, read))
        self._wake()
        await read

    async def close(self) -> None:
        """No chunk will follow."""
        if self._error is not None:
            raise self._error.with_traceback(None)
        self._is_closed = True
        self._wake()

    async def abort(self, reason: object) -> None:
        """No chunk will follow, and those that were not read are lost."""
        self._fail(reason if isinstance(reason, Exception) else UsageError(f"the stream was aborted: {reason}"))

    def cancel(self, why: str) -> None:
        """The reader has gone."""
        if not self._is_closed or self._chunks:
            self._fail(UsageError(why))

    def dispose(self) -> None:
        """The writer has gone."""
        if not self._is_closed:
            self._fail(UsageError("the stream was disposed without being closed"))

    def _fail(self, error: Exception) -> None:
        if self._error is not None:
            return
        self._error = error
        for _, read in self._chunks:
            if not read.done():
                read.set_exception(error)
                read.exception()  # Whoever wrote it may have gone.
        self._chunks.clear()
        self._wake()

    def _wake(self) -> None:
        if self._arrival is not None and not self._arrival.done():
            self._arrival.set_result(None)

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:  # noqa: ANN401  # what was written
        while not self._chunks:
            if self._error is not None:
                raise self._error.with_traceback(None)
            if self._is_closed:
                raise StopAsyncIteration
            self._arrival = asyncio.get_running_loop().create_future()
            await self._arrival
        chunk, read = self._chunks.popleft()
        if not read.done():
            read.set_result(None)
        return chunk
