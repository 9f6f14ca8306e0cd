"""One HTTP exchange as ASGI carries it: what the client sends bit by bit, and whether it is still there.

One `receive` is under way at a time, whoever waits for it, and nothing is received before what came earlier was taken:
a body that nobody reads stays with the client. Effects: tasks.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from typing import Any, TypeAlias

from perdure.errors import StreamLostError

Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]


class Incoming:
    """What comes from the client. An async iterable: the body's bytes."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._receiving: asyncio.Task[None] | None = None
        self._chunk: bytes | None = None
        self._taken = asyncio.Event()
        self._is_complete = True
        self._is_gone = False
        self._is_closed = False

    def begin(self, chunk: bytes, *, is_complete: bool) -> None:
        """What was received before."""
        self._chunk = chunk or None
        self._is_complete = is_complete

    @property
    def is_complete(self) -> bool:
        """Whether the client has sent everything."""
        return self._is_complete

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        while self._chunk is None:
            if self._is_complete:
                raise StopAsyncIteration
            if self._is_gone:
                raise StreamLostError("the client left before its request was complete")
            if self._is_closed:
                raise StreamLostError("the request was answered: its body is gone")
            await self._wait()
        chunk, self._chunk = self._chunk, None
        self._taken.set()
        return chunk

    async def until_gone(self) -> None:
        """Return when the client has left. What it sends meanwhile waits for its reader."""
        while not self._is_gone:
            if self._chunk is not None:
                self._taken.clear()
                await self._taken.wait()
            else:
                await self._wait()

    def close(self) -> None:
        """The exchange is over."""
        self._is_closed = True
        if self._receiving is not None:
            self._receiving.cancel()

    async def _wait(self) -> None:
        if self._receiving is None:
            self._receiving = asyncio.ensure_future(self._receive_one())
        await asyncio.wait([self._receiving])  # It goes on when whoever waits here gives up: others wait, too.

    async def _receive_one(self) -> None:
        try:
            message = await self._receive()
            if message["type"] != "http.request":
                self._is_gone = True
                return
            self._chunk = bytes(message.get("body", b"")) or None
            self._is_complete = not message.get("more_body")
        except Exception:  # noqa: BLE001  # the server's, which has lost the client
            self._is_gone = True
        finally:
            self._receiving = None
