"""The client's half: `async with connect(url) as api`, over a WebSocket, or as one batch over HTTP.

Effects: network, threads, tasks.
"""

from __future__ import annotations

import asyncio
import urllib.request
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from contextvars import Context
from typing import Any, Final
from urllib.error import HTTPError, URLError

import websockets
from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as connect_websocket

from perdure.capnweb._session import Session
from perdure.errors import RpcSessionError, UsageError
from perdure.limits import (
    CAPNWEB_BATCH_ANSWER_BYTES_MAX,
    CAPNWEB_BATCH_ANSWER_S,
    WEBSOCKET_MESSAGE_BYTES_MAX,
    WEBSOCKET_OPEN_S,
)
from perdure.objects import current_host
from perdure.web import close_reason

SendBatch = Callable[[str], Awaitable[str]]
_RPC_FAILED: Final = 3000  # what the npm package closes with


@asynccontextmanager
async def connect(url: str, main: object = None, *, headers: Mapping[str, str] | None = None) -> AsyncIterator[Any]:
    """The main object of a Cap'n Web server, as an PeerStub. Whatever came from it is closed at the end.

    `ws://` and `wss://` open a WebSocket; `main` is what the server may call. `http://` and `https://` make one batch:
    all calls that are made before the first result is awaited are sent at once, and no more can follow. Inside an
    object's trusted code, calls of the server enter it as events. Raises RpcSessionError when there is no connection.
    """
    scheme = url.partition(":")[0].lower()
    if scheme in {"ws", "wss"}:
        connection = await _open(url, headers or {})
        transport: _SocketClientTransport | _BatchClientTransport = _SocketClientTransport(connection)
    elif scheme in {"http", "https"}:
        transport = _BatchClientTransport(lambda body: _post(url, headers or {}, body))
    else:
        raise UsageError(f"`{url:.100}` is no address of a Cap'n Web server: it begins with ws, wss, http or https")
    session = Session(transport, main, host=current_host())
    # Not in the context of the object whose turn it may be now: the session has none.
    running = asyncio.get_running_loop().create_task(session.run(), context=Context())
    try:
        yield session.main
    finally:
        session.main.close()
        session.end(RpcSessionError("the session was ended: its main stub was closed"))
        await running


class _Connect(connect_websocket):
    """Goes where it was told to, and nowhere else: who redirects must not get what the headers say."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        return exc


async def _open(url: str, headers: Mapping[str, str]) -> ClientConnection:
    try:
        return await _Connect(
            url,
            additional_headers=headers,
            proxy=None,
            open_timeout=WEBSOCKET_OPEN_S,
            max_size=WEBSOCKET_MESSAGE_BYTES_MAX,
            compression=None,
        )
    except (OSError, TimeoutError, websockets.WebSocketException, ValueError) as error:
        raise RpcSessionError(f"`{url:.100}` cannot be reached: {str(error) or type(error).__name__}") from None


class _SocketClientTransport:
    """`Transport` over a connection of our own."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        self._closing: asyncio.Future[None] | None = None

    async def send(self, message: str) -> None:
        try:
            await self._connection.send(message)
        except websockets.ConnectionClosed as error:
            raise _broken(error) from None

    async def receive(self) -> str | None:
        try:
            message = await self._connection.recv()
        except websockets.ConnectionClosed as error:
            raise _broken(error) from None
        if isinstance(message, bytes):
            raise RpcSessionError("the peer sent a binary message: Cap'n Web is spoken in text")
        return message

    async def end(self, error: BaseException | None) -> None:
        await self._connection.close(_RPC_FAILED, "" if error is None else close_reason(str(error)))


def _broken(error: websockets.ConnectionClosed) -> RpcSessionError:
    if error.rcvd is None:
        return RpcSessionError("the connection broke")
    return RpcSessionError(f"the connection was closed by the peer: {error.rcvd.code} {error.rcvd.reason}".rstrip())


class _BatchClientTransport:
    """`Transport` for one request and one answer: what is said before the first result is awaited, and what comes."""

    def __init__(self, send_batch: SendBatch) -> None:
        self._send_batch = send_batch
        self._asked: list[str] = []
        self._answers: deque[str] | None = None
        self._is_wanted: asyncio.Event = asyncio.Event()

    async def send(self, message: str) -> None:
        if self._answers is None:
            self._asked.append(message)
            if message.startswith('["pull"'):
                self._is_wanted.set()

    async def receive(self) -> str | None:
        if self._answers is None:
            await self._is_wanted.wait()
            for _ in range(_STEPS_OF_A_GATHER):  # Others that are awaited together with it are pulled meanwhile.
                await asyncio.sleep(0)
            body = "\n".join(self._asked)
            text = await self._send_batch(body)
            self._answers = deque(text.split("\n") if text else [])
        if not self._answers:
            raise RpcSessionError("the batch is over: its calls were sent and answered. Connect again for more")
        return self._answers.popleft()

    async def end(self, error: BaseException | None) -> None:
        """There is nothing to close."""


_STEPS_OF_A_GATHER: Final = 5


async def _post(url: str, headers: Mapping[str, str], body: str) -> str:
    """Send a batch, and give the answer."""
    request = urllib.request.Request(url, body.encode(), {"content-type": "text/plain;charset=UTF-8", **headers})  # noqa: S310  # http and https only
    try:
        async with asyncio.timeout(CAPNWEB_BATCH_ANSWER_S):
            return await asyncio.to_thread(_exchange, request)
    except TimeoutError:
        raise RpcSessionError(f"`{url:.100}` has not answered within {CAPNWEB_BATCH_ANSWER_S} s") from None


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """An answer to a batch is never a redirect: who sends one must not get what the headers say."""

    def redirect_request(self, *_: object) -> None:
        """Follow none: urllib raises what it got."""


_OPENER: Final = urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirects())


def _exchange(request: urllib.request.Request) -> str:
    try:
        with _OPENER.open(request, timeout=CAPNWEB_BATCH_ANSWER_S) as answer:
            content: bytes = answer.read(CAPNWEB_BATCH_ANSWER_BYTES_MAX + 1)
    except HTTPError as error:
        with error:
            raise RpcSessionError(f"the batch was refused: {error.code} {error.reason}") from None
    except (URLError, OSError) as error:
        raise RpcSessionError(f"`{request.full_url:.100}` cannot be reached: {error}") from None
    if len(content) > CAPNWEB_BATCH_ANSWER_BYTES_MAX:
        raise RpcSessionError(f"the answer to the batch has more than {CAPNWEB_BATCH_ANSWER_BYTES_MAX} bytes")
    return content.decode("utf-8", "replace")
