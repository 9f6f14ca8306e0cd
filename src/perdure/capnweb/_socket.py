"""One end of a WebSocketPair, awaited; and sessions over it. Effects: tasks (events for whoever waits)."""

from __future__ import annotations

import asyncio

from perdure.errors import OverloadedError, RpcSessionError, UsageError, WebSocketError
from perdure.limits import WEBSOCKET_QUEUE_BYTES_SOFT
from perdure.web import ABNORMAL_CLOSURE, NO_STATUS, WebSocket, WebSocketClose, close_reason

_FAILED = 1011
_TRY_AGAIN_LATER = 1013
_RPC_FAILED = 3000  # what the npm package closes with


class SocketEnd:
    """An end of a pair that is accepted, for one reader and one writer."""

    def __init__(self, socket: WebSocket) -> None:
        socket.accept()
        self._socket = socket
        self._arrived: asyncio.Event = asyncio.Event()
        self._has_room: asyncio.Event = asyncio.Event()
        socket.watch(on_arrival=self._arrived.set, on_room=self._has_room.set)

    async def take(self) -> str | bytes | WebSocketClose:
        """The next message, or the end."""
        while (arrival := self._socket.take()) is None:
            self._arrived.clear()
            await self._arrived.wait()
        return arrival

    async def send(self, data: str | bytes) -> None:
        """Send a message, and wait while much is under way. Raises WebSocketError."""
        self._socket.send(data)
        while self._socket.buffered_amount >= WEBSOCKET_QUEUE_BYTES_SOFT and not self._socket.is_closed:
            self._has_room.clear()
            await self._has_room.wait()

    def close(self, code: int, reason: str) -> None:
        """End the connection. A reason that is too long is cut."""
        self._socket.close(code, close_reason(reason))
        self._has_room.set()


class SocketTransport:
    """`Transport` over an end of a pair."""

    def __init__(self, socket: WebSocket) -> None:
        self._end = SocketEnd(socket)

    async def send(self, message: str) -> None:
        """Raises RpcSessionError when it is closed."""
        try:
            await self._end.send(message)
        except WebSocketError as error:
            raise RpcSessionError(str(error)) from None

    async def receive(self) -> str | None:
        """The next message. Raises RpcSessionError at the end."""
        arrival = await self._end.take()
        if isinstance(arrival, str):
            return arrival
        if isinstance(arrival, WebSocketClose):
            if arrival.code in {NO_STATUS, ABNORMAL_CLOSURE}:  # Servers do not always tell these apart.
                raise RpcSessionError("the connection has ended")
            raise RpcSessionError(f"the connection was closed by the peer: {arrival.code} {arrival.reason}".rstrip())
        raise RpcSessionError("the peer sent a binary message: Cap'n Web is spoken in text")

    async def end(self, error: BaseException | None) -> None:
        """Close it with the reason."""
        self._end.close(_code_of(error), "" if error is None else str(error))


def _code_of(error: BaseException | None) -> int:
    match error:
        case OverloadedError():
            return _TRY_AGAIN_LATER
        case RpcSessionError() | UsageError() | None:
            return _RPC_FAILED
        case _:
            return _FAILED
