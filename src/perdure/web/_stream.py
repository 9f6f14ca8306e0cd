"""Streams of bytes: a body that comes bit by bit, pulled by its one reader.

Nothing of a source runs before somebody reads, and no more of it than is read: whoever is slow holds it back.
Effects: none (it awaits its source).
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Callable
from typing import Final, TypeAlias

from perdure.errors import BodyTooLargeError, HttpMessageError, StreamLostError, again
from perdure.limits import BODY_BYTES_MAX
from perdure.web._text import to_utf8

Chunk: TypeAlias = str | bytes | bytearray | memoryview
Source: TypeAlias = AsyncIterator[Chunk]

_USED: Final = "Body has already been used: a stream is read once, clone() the message before reading"
_LOCKED: Final = "This ReadableStream has been locked to a reader: a stream has one reader, and is read once"


class ReadableStream:
    """Bytes that come bit by bit.

    `source`: an async iterable of bytes or text (which becomes UTF-8), such as an async generator. Read it with
    `async for chunk in stream` or `await stream.read()`; a read that was interrupted breaks it. `cancel()` says that
    nobody wants the rest: a generator is closed then.
    """

    __slots__ = (
        "__weakref__",
        "_error",
        "_is_bound",
        "_is_ended",
        "_is_locked",
        "_is_reading",
        "_is_used",
        "_rest",
        "_source",
    )

    def __init__(self, source: AsyncIterable[Chunk]) -> None:
        self._source: Source | None = aiter(source)
        self._rest: memoryview | None = None
        self._error: BaseException | None = None
        self._is_bound = False
        self._is_ended = False
        self._is_locked = False
        self._is_reading = False
        self._is_used = False

    @property
    def locked(self) -> bool:
        """Whether it has its reader: a loop over it, or whatever it was handed on to."""
        return self._is_locked

    @property
    def is_used(self) -> bool:
        """Whether something was read from it, or it was cancelled."""
        return self._is_used

    @property
    def is_ended(self) -> bool:
        """Whether nothing more comes: it was read to its end, broke, or was cancelled."""
        return self._is_ended and self._rest is None

    @property
    def source(self) -> Source | None:
        """What it is made of; None when it has ended."""
        return self._source

    def check_unused(self) -> None:
        """Raise HttpMessageError, a TypeError, when it can no more be read from its beginning."""
        if self._is_used:
            raise HttpMessageError(_USED)
        if self._is_locked:
            raise HttpMessageError(_LOCKED)

    def hand_on(self) -> ReadableStream:
        """Its bytes as a stream for somebody else; this one stays behind, locked. Raises HttpMessageError."""
        self.check_unused()
        assert self._source is not None, "a stream that was not used has its source"
        other = self._of(self._source)
        self._is_locked = True
        self._end(HttpMessageError(_LOCKED))
        return other

    def bind(self, wrap: Callable[[Source], Source]) -> None:
        """Let its source run as `wrap` says from now on. A stream is bound once, where it first leaves its maker."""
        if not self._is_bound and self._source is not None:
            self._is_bound = True
            self._source = wrap(self._source)

    @classmethod
    def bound(cls, source: AsyncIterable[Chunk]) -> ReadableStream:
        """A stream whose source runs as it is wherever it is read."""
        stream = cls(source)
        stream._is_bound = True  # its own instance
        return stream

    def _of(self, source: Source) -> ReadableStream:
        return ReadableStream.bound(source) if self._is_bound else ReadableStream(source)

    async def read(self, size: int | None = None) -> bytes | None:
        """The next bytes, at most `size`; None at the end. Raises whatever ended the source."""
        if self._is_reading:
            raise HttpMessageError(_LOCKED)
        self._is_used = True
        if self._rest is None:
            self._is_reading = True
            try:
                chunk = await self._pull()
            finally:
                self._is_reading = False
            if chunk is None or size is None or len(chunk) <= size:
                return chunk
            self._rest = memoryview(chunk)
        part, rest = (self._rest, None) if size is None else (self._rest[:size], self._rest[size:])
        self._rest = rest or None
        return bytes(part)

    async def _pull(self) -> bytes | None:
        while self._source is not None:
            source = self._source
            try:
                chunk = _bytes_of(await anext(source))
            except StopAsyncIteration:
                self._end(None)
                return None
            except BaseException as error:
                is_error = isinstance(error, Exception)
                self._end(error if is_error else StreamLostError("reading this stream was interrupted: it has broken"))
                if isinstance(error, HttpMessageError):  # A chunk that is none: the source does not know.
                    await _close(source)
                raise
            if self._is_ended:  # It was cancelled meanwhile.
                await _close(source)
                self._source = None
                return None
            if chunk:
                return chunk
        if self._error is not None:
            raise again(self._error)
        return None

    def _end(self, error: BaseException | None) -> None:
        self._is_ended = True
        self._error = error
        self._source = None

    async def cancel(self, reason: object = None) -> None:
        """Nobody wants the rest. The source is told, and what is read from now on is the end."""
        del reason  # Fetch's signature: a generator that is closed hears none.
        self._is_used = True
        self._rest = None
        if self._is_ended:
            return
        self._is_ended = True
        source = self._source
        if source is not None and (not self._is_reading or not hasattr(source, "ag_running")):
            self._source = None
            await _close(source)

    async def collect(self, bytes_max: int = BODY_BYTES_MAX) -> bytes:
        """All of it. Raises BodyTooLargeError when that is more than `bytes_max`."""
        whole = bytearray()
        while (chunk := await self.read()) is not None:
            whole += chunk
            if len(whole) > bytes_max:
                await self.cancel()
                raise BodyTooLargeError(
                    f"the body has more than {bytes_max} bytes, the most that is read at once: "
                    "read it bit by bit, `async for chunk in message.stream()`"
                )
        return bytes(whole)

    def tee(self) -> tuple[ReadableStream, ReadableStream]:
        """Two streams of the same bytes in place of this one, to be read one after the other, or in turn.

        One may be `BODY_BYTES_MAX` ahead of the other.
        """
        self.check_unused()
        self._is_locked = True
        one, other = _Branch(self), _Branch(self)
        one.other, other.other = other, one
        return self._of(one), self._of(other)

    def __aiter__(self) -> AsyncIterator[bytes]:
        if self._is_locked:
            raise HttpMessageError(_LOCKED)
        self._is_locked = True
        return _Rest(self)

    def __repr__(self) -> str:
        state = "ended" if self.is_ended else "locked" if self._is_locked else "open"
        return f"<ReadableStream {state}>"


class _Rest:
    """What is left of a stream, for the reader that it is locked to."""

    __slots__ = ("_stream",)

    def __init__(self, stream: ReadableStream) -> None:
        self._stream = stream

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        chunk = await self._stream.read()
        if chunk is None:
            raise StopAsyncIteration
        return chunk

    async def aclose(self) -> None:
        await self._stream.cancel()


class _Branch:
    """One of the two that a stream was split into. Whichever is ahead pulls, and leaves a copy for the other."""

    __slots__ = ("_ahead", "_ahead_bytes", "_is_overrun", "_stream", "is_closed", "is_pulling", "other")

    other: _Branch

    def __init__(self, stream: ReadableStream) -> None:
        self._stream = stream
        self.is_pulling = False
        self._ahead: deque[bytes] = deque()
        self._ahead_bytes = 0
        self.is_closed = False
        self._is_overrun = False

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if self._is_overrun:
            raise BodyTooLargeError(
                f"the clone of this message is more than {BODY_BYTES_MAX} bytes ahead: read both in turn"
            )
        if self._ahead:
            chunk = self._ahead.popleft()
            self._ahead_bytes -= len(chunk)
            return chunk
        if self.other.is_pulling:
            raise HttpMessageError("the clone of this message is being read right now: read one, then the other")
        self.is_pulling = True
        try:
            pulled = await self._stream.read()
        finally:
            self.is_pulling = False
        if pulled is None:
            raise StopAsyncIteration
        self.other.leave(pulled)
        return pulled

    def leave(self, chunk: bytes) -> None:
        """The other branch has read it."""
        if self.is_closed or self._is_overrun:
            return
        self._ahead.append(chunk)
        self._ahead_bytes += len(chunk)
        if self._ahead_bytes > BODY_BYTES_MAX:
            self._is_overrun = True
            self._ahead.clear()

    async def aclose(self) -> None:
        self.is_closed = True
        self._ahead.clear()
        if self.other.is_closed:
            await self._stream.cancel()


def _bytes_of(chunk: object) -> bytes:
    if isinstance(chunk, bytes):
        return chunk
    if isinstance(chunk, str):
        return to_utf8(chunk)
    if isinstance(chunk, bytearray | memoryview):
        return bytes(chunk)
    raise HttpMessageError(f"a stream gives bytes or text, bit by bit, not `{type(chunk).__name__}`: encode it first")


async def _close(source: Source) -> None:
    close = getattr(source, "aclose", None)
    if close is not None:
        await close()
