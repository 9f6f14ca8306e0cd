"""Streams between this guest and its host. Whoever receives one pulls it, chunk by chunk.

One of the guest's own is read by the host's events, one of the host's by operations of the guest. The ids are the
sender's. One of the host's that nobody has read from can be handed back as it is. Effects: host calls, tasks.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import Any

from perdure.errors import PerdureError, StreamLostError
from perdure.limits import STREAM_CHUNK_BYTES_MAX
from perdure.web import ReadableStream
from perdure.wire import chunk_from_host, chunk_to_wire

Start = Callable[[str, dict[str, object]], asyncio.Future[Any]]
"""Starts an operation: its kind and payload."""


class GuestStreams:
    """Those under way."""

    def __init__(self, start: Start, in_background: Callable[[Awaitable[object]], None]) -> None:
        self._start = start
        self._in_background = in_background
        self._last_id = 0
        self._lent: dict[int, ReadableStream] = {}
        self._reading: dict[int, asyncio.Task[Any]] = {}

    def lend(self, stream: ReadableStream) -> dict[str, int]:
        """Let the host read it: the field of a message that says so. Raises HttpMessageError when it was used."""
        stream.check_unused()
        if isinstance(stream.source, HostSource):
            return {"R": stream.source.hand_back()}
        self._last_id += 1
        self._lent[self._last_id] = stream.hand_on()
        return {"S": self._last_id}

    def receive(self, number: int) -> ReadableStream:
        """A stream of the host's."""
        return ReadableStream.bound(HostSource(self._start, number))

    def act(self, message: dict[str, Any]) -> object:
        """An event: the host reads one, or wants no more of some."""
        if message["act"] == "read":
            return self._read(message["n"])
        for number in message["n"]:
            self._cancel(number)
        return None

    async def _read(self, number: int) -> object:
        stream = self._lent.get(number)
        if stream is None:
            raise StreamLostError("this stream has ended, or was cancelled")
        task = asyncio.current_task()
        assert task is not None, "events that wait run in tasks"
        self._reading[number] = task
        try:
            chunk = await stream.read(STREAM_CHUNK_BYTES_MAX)
        except BaseException:
            self._lent.pop(number, None)
            raise
        finally:
            del self._reading[number]
        if chunk is None:
            self._lent.pop(number, None)
        return chunk_to_wire(chunk)

    def _cancel(self, number: int) -> None:
        stream = self._lent.pop(number, None)
        if stream is None:
            return
        if number in self._reading:
            self._reading[number].cancel()
        self._in_background(stream.cancel())


class HostSource:
    """A stream of the host's, for its reader. The host is told when nobody holds it any more."""

    __slots__ = ("_is_over", "_number", "_start")

    def __init__(self, start: Start, number: int) -> None:
        self._start = start
        self._number = number
        self._is_over = False

    def hand_back(self) -> int:
        """Its number: from now on it is the host's alone."""
        self._is_over = True
        return self._number

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        chunk = chunk_from_host(await self._start("stream", {"n": self._number, "act": "read"}))
        if chunk is None:
            self._is_over = True
            raise StopAsyncIteration
        return chunk

    async def aclose(self) -> None:
        self._tell()

    def __del__(self) -> None:
        self._tell()

    def _tell(self) -> None:
        if not self._is_over:
            self._is_over = True
            with suppress(PerdureError):  # Too much is under way: it goes with this guest.
                self._start("stream", {"n": self._number, "act": "cancel"}).add_done_callback(_heard)


def _heard(done: asyncio.Future[Any]) -> None:
    if not done.cancelled():
        done.exception()
