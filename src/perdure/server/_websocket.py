"""A `websocket` scope of ASGI ⇄ a Request that asks to switch, and the WebSocket that the Response brings.

Whoever answers without one refuses, in words where the server can say them. Both ways are held back when the other
side is slow. Effects: tasks.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

from perdure.capnweb import SocketEnd
from perdure.errors import WebSocketError
from perdure.limits import WEBSOCKET_MESSAGE_BYTES_MAX
from perdure.server._asgi import (
    AnswerError,
    Handle,
    RefusedRequestError,
    Scope,
    Send,
    checked_response,
    read_switch,
    response_lines,
)
from perdure.server._exchange import Receive
from perdure.web import ABNORMAL_CLOSURE, NO_STATUS, NORMAL_CLOSURE, Response, WebSocket, WebSocketClose, is_close_code

_TOO_LARGE: Final = 1009
_FAILED: Final = 1011
_SERVICE_RESTART: Final = 1012
_OF_HANDSHAKE: Final = (b"sec-websocket-",)


class Connections:
    """The WebSockets of one platform that are open, so that a stop can end them."""

    def __init__(self) -> None:
        self._ends: set[SocketEnd] = set()

    def close(self) -> None:
        """End them all: clients should connect again."""
        for end in list(self._ends):
            end.close(_SERVICE_RESTART, "the server is restarting: connect again")

    @contextmanager
    def holding(self, end: SocketEnd) -> Iterator[None]:
        """While it lasts the connection is open."""
        self._ends.add(end)
        try:
            yield
        finally:
            self._ends.discard(end)


async def serve_websocket(
    scope: Scope,
    receive: Receive,
    send: Send,
    handle: Handle,
    *,
    answer_error: AnswerError,
    connections: Connections,
) -> None:
    """Answer one `websocket` scope: connect the client with the WebSocket that `handle` answers with, or refuse."""
    await receive()  # websocket.connect
    try:
        request = read_switch(scope)
    except RefusedRequestError as error:
        await _refuse(scope, send, Response(f"{error}\n", error.status))
        return
    try:
        response = checked_response(await handle(request))
    except Exception as error:  # noqa: BLE001  # the last place above user code: it becomes an answer and a log entry
        response = answer_error(request, error)
    if response.web_socket is None:
        await _refuse(scope, send, response)
        return
    end = SocketEnd(response.web_socket)
    with connections.holding(end):
        await _connect(receive, send, response, response.web_socket, end)


async def _refuse(scope: Scope, send: Send, response: Response) -> None:
    body = await response.bytes()
    if "websocket.http.response" not in scope.get("extensions", {}):
        await send({"type": "websocket.close", "code": 1008, "reason": "no WebSocket here"})  # The handshake gets 403.
        return
    lines = response_lines(response, length=len(body))
    await send({"type": "websocket.http.response.start", "status": response.status, "headers": lines})
    await send({"type": "websocket.http.response.body", "body": body})


async def _connect(receive: Receive, send: Send, response: Response, socket: WebSocket, end: SocketEnd) -> None:
    """Carry messages both ways until either side ends it; what serves the other end runs meanwhile.

    Raises what that raises.
    """
    protocol = response.headers.get("sec-websocket-protocol")
    lines = [line for line in response_lines(response) if not line[0].startswith(_OF_HANDSHAKE)]
    serving = asyncio.ensure_future(_serve(socket))
    incoming = outgoing = None
    try:
        await send({"type": "websocket.accept", "subprotocol": protocol, "headers": lines})
        incoming = asyncio.ensure_future(_carry_in(receive, send, end))
        outgoing = asyncio.ensure_future(_carry_out(send, end))
        ends = [incoming, outgoing] if socket.serve is None else [incoming, outgoing, serving]
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        await serving  # It knows that the connection is over, and says its last.
        if not incoming.done():
            await asyncio.wait([outgoing])
    except OSError:
        return  # ASGI 2.4: the client has gone.
    except asyncio.CancelledError:
        end.close(_SERVICE_RESTART, "the server is stopping")
        raise
    finally:
        end.close(ABNORMAL_CLOSURE, "")
        tasks = [task for task in (incoming, outgoing, serving) if task is not None]
        await _stop(tasks)


async def _stop(tasks: Sequence[asyncio.Future[None]]) -> None:
    for task in tasks:
        task.cancel()
    for outcome in await asyncio.gather(*tasks, return_exceptions=True):
        if isinstance(outcome, Exception) and not isinstance(outcome, OSError | WebSocketError):
            raise outcome


async def _serve(socket: WebSocket) -> None:
    """Run what the answer brought along for its other end."""
    work = None if socket.serve is None else socket.serve()
    if isinstance(work, Coroutine):
        await work


async def _carry_in(receive: Receive, send: Send, end: SocketEnd) -> None:
    while True:
        message = await receive()
        if message["type"] == "websocket.disconnect":
            end.close(_told_code(message.get("code")), message.get("reason") or "")
            return
        data = message.get("text")
        content: Any = message.get("bytes") if data is None else data
        if content is None:
            continue
        if len(content) > WEBSOCKET_MESSAGE_BYTES_MAX:
            reason = f"a message has {len(content)} bytes, the limit is {WEBSOCKET_MESSAGE_BYTES_MAX}"
            end.close(_TOO_LARGE, reason)
            await send({"type": "websocket.close", "code": _TOO_LARGE, "reason": reason})
            return
        try:
            await end.send(content)
        except WebSocketError:  # The other end has closed it: what comes now is for nobody.
            await _until_gone(receive)
            return


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "websocket.disconnect":
        continue


async def _carry_out(send: Send, end: SocketEnd) -> None:
    while True:
        arrival = await end.take()
        if isinstance(arrival, WebSocketClose):
            await send({"type": "websocket.close", "code": _sent_code(arrival.code), "reason": arrival.reason})
            return
        await send(
            {"type": "websocket.send", "text": arrival}
            if isinstance(arrival, str)
            else {"type": "websocket.send", "bytes": arrival}
        )


def _told_code(code: object) -> int:
    """A client may close with any number."""
    return code if is_close_code(code) else ABNORMAL_CLOSURE


def _sent_code(code: int) -> int:
    """A frame cannot carry those that mean that there was none."""
    return {NO_STATUS: NORMAL_CLOSURE, ABNORMAL_CLOSURE: _FAILED}.get(code, code)
