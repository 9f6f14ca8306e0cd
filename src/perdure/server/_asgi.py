"""ASGI 3 ⇄ web.Request and web.Response.

`serve_http` is the whole road of a request between a server and `handle`. A body that is short, or here at once, is
read before `handle` runs, a longer one streams in; GET and HEAD have none, as in Fetch. Answers that stream are sent
as they come, to a client that takes them. Effects: tasks.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any, Final, TypeAlias
from urllib.parse import quote

from perdure.errors import HttpMessageError, UsageError
from perdure.limits import BODY_AT_ONCE_BYTES, BODY_BYTES_MAX, URL_BYTES_MAX
from perdure.server._exchange import Incoming
from perdure.server._exchange import Receive as Receive
from perdure.web import Headers, ReadableStream, Request, Response, normalise_path, quote_target

_LOG: Final = logging.getLogger("perdure.server")

Scope: TypeAlias = MutableMapping[str, Any]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]
AsgiApp: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]
Handle: TypeAlias = Callable[[Request], Awaitable[Response]]
AnswerError: TypeAlias = Callable[[Request, Exception], Response]

_HOST: Final = re.compile(rb"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")
_SCHEMES: Final = {"ws": "http", "wss": "https"}
_BODILESS_METHODS: Final = frozenset({"GET", "HEAD"})
_BODILESS_STATUSES: Final = frozenset({204, 304})
# What describes the connection or the framing is the server's to say; a sandbox must not say it.
_SERVERS_OWN: Final = frozenset(
    b"connection content-length keep-alive proxy-connection te trailer transfer-encoding upgrade".split()
)

# The rest of the request may still be under way: such a connection cannot carry another one.
_CLOSE: Final = (b"connection", b"close")


class RefusedRequestError(Exception):
    """The request cannot be read: it is malformed or too large."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class _ClientGoneError(Exception):
    """The client left before its request was complete."""


class AnswerCutError(Exception):
    """An answer failed in its midst. Its connection must be cut, or the client would take what it has for the whole."""


async def serve_http(scope: Scope, receive: Receive, send: Send, handle: Handle, *, answer_error: AnswerError) -> None:
    """Answer one `http` scope with what `handle` returns, or with `answer_error` of what it raised.

    Raises AnswerCutError when an answer failed after its beginning was sent; `answer_error` was told why.
    """
    incoming = Incoming(receive)
    try:
        await _serve(scope, receive, incoming, send, handle, answer_error)
    finally:
        incoming.close()


async def _serve(
    scope: Scope, receive: Receive, incoming: Incoming, send: Send, handle: Handle, answer_error: AnswerError
) -> None:
    method: str = scope["method"]
    try:
        request = await _read_request(scope, receive, incoming, method)
    except _ClientGoneError:
        return
    except RefusedRequestError as error:
        await _send(send, Response(f"{error}\n", error.status), method, [_CLOSE])
        return
    extra: list[tuple[bytes, bytes]] = []
    try:
        response = checked_response(await handle(request))
        if response.web_socket is not None:
            raise UsageError(
                "the answer is a WebSocket, and the request did not ask for one: look at its `upgrade` header"
            )
        if isinstance(response.body, ReadableStream):
            response.body.check_unused()
    except Exception as error:  # noqa: BLE001  # the last place above user code: it becomes an answer and a log entry
        response = answer_error(request, error)
        if not incoming.is_complete:
            extra.append(_CLOSE)
    if not isinstance(response.body, ReadableStream):
        await _send(send, response, method, extra)
        return
    failure = await _send_stream(send, response, response.body, method, incoming)
    if failure is not None:
        answer_error(request, failure)
        raise AnswerCutError(f"the answer to {method} {request.url} failed while it was sent: {failure}") from None


async def serve_lifespan(
    receive: Receive, send: Send, *, start: Callable[[], Awaitable[None]], stop: Callable[[], Awaitable[None]]
) -> None:
    """Answer a `lifespan` scope: `start`, wait for the server's end, `stop`."""
    for event, act in (("startup", start), ("shutdown", stop)):
        await receive()
        try:
            await act()
        except Exception as error:
            await send({"type": f"lifespan.{event}.failed", "message": str(error)})
            raise
        await send({"type": f"lifespan.{event}.complete"})


# ── in ───────────────────────────────────────────────────────────────────────────────────────────────────────


def read_switch(scope: Scope) -> Request:
    """The request of a `websocket` scope: a GET that asks for an upgrade. Raises RefusedRequestError."""
    raw: Iterable[tuple[bytes, bytes]] = scope["headers"]
    url = _url(scope, _host_and_length(raw)[0], _SCHEMES.get(scope.get("scheme", "ws"), "http"))
    headers = Headers.from_asgi(raw)
    headers.set("upgrade", "websocket")  # A server of HTTP/2 has none.
    return Request.unchecked(url=url, method="GET", headers=headers, body=None)


def _url(scope: Scope, host: str, scheme: str) -> str:
    url = f"{scheme}://{host or _server_host(scope)}{_target(scope)}"
    if len(url) > URL_BYTES_MAX:
        raise RefusedRequestError(414, f"the URL is too long: the limit is {URL_BYTES_MAX} characters")
    return url


async def _read_request(scope: Scope, receive: Receive, incoming: Incoming, method: str) -> Request:
    raw: Iterable[tuple[bytes, bytes]] = scope["headers"]
    host, length = _host_and_length(raw)
    url = _url(scope, host, scope.get("scheme", "http"))
    body = None if method in _BODILESS_METHODS else await _read_body(receive, incoming, length)
    return Request.unchecked(url=url, method=method, headers=Headers.from_asgi(raw), body=body)


def _host_and_length(raw: Iterable[tuple[bytes, bytes]]) -> tuple[str, int | None]:
    host, length = b"", None
    for name, value in raw:
        if name == b"host":
            # With two, the server before us and we could each believe another one.
            if host or not _HOST.fullmatch(value):
                raise RefusedRequestError(
                    400, f"the Host header is doubled or malformed: `{value[:80].decode('latin-1')}`"
                )
            host = value
        elif name == b"content-length":
            if not value.isdigit():
                raise RefusedRequestError(400, "the Content-Length header is no number")
            length = int(value[:20])
    return host.decode("ascii").lower(), length


def _server_host(scope: Scope) -> str:
    """The address we were reached at, for a client too old to send Host."""
    name, port = scope.get("server") or ("", None)
    host = f"[{name}]:{port}" if ":" in name else f"{name}:{port}"
    if not _HOST.fullmatch(host.encode()):
        raise RefusedRequestError(400, "the request has no Host header")
    return host


def _target(scope: Scope) -> str:
    """Path and query below the place where we are mounted."""
    raw_path: bytes | None = scope.get("raw_path")
    path = raw_path.decode("latin-1") if raw_path else quote(scope["path"])
    root_path: str = scope.get("root_path", "")
    if root_path:
        path = _below(path, quote(root_path))
    path = normalise_path(path.replace("#", "%23") if path.startswith("/") else "/")
    query: bytes = scope.get("query_string", b"")
    return f"{path}?{quote_target(query.decode('latin-1').replace('#', '%23'))}" if query else path


def _below(path: str, root_path: str) -> str:
    rest = path.removeprefix(root_path.rstrip("/"))
    return rest if rest.startswith("/") else "/" + rest if not rest else path


async def _read_body(receive: Receive, incoming: Incoming, length: int | None) -> bytes | ReadableStream | None:
    message = await receive()
    _check_there(message)
    chunk: bytes = message.get("body", b"")
    if not message.get("more_body"):
        if len(chunk) <= BODY_BYTES_MAX:
            return chunk or None
        incoming.begin(chunk, is_complete=True)
        return ReadableStream.bound(incoming)
    if length is None or length > BODY_AT_ONCE_BYTES:
        incoming.begin(chunk, is_complete=False)
        return ReadableStream.bound(incoming)
    chunks = [chunk]
    size = len(chunk)
    while message.get("more_body"):
        message = await receive()
        _check_there(message)
        chunks.append(message.get("body", b""))
        size += len(chunks[-1])
        if size > length:
            raise RefusedRequestError(400, f"the body is longer than its Content-Length, {length} bytes")
    return b"".join(chunks) or None


def _check_there(message: MutableMapping[str, Any]) -> None:
    if message["type"] == "http.disconnect":
        raise _ClientGoneError


# ── out ──────────────────────────────────────────────────────────────────────────────────────────────────────


def checked_response(response: object) -> Response:
    """What user code answered, if it is a Response. Raises UsageError."""
    if not isinstance(response, Response):
        raise UsageError(
            f"fetch() returned `{type(response).__name__}`, not a Response: return Response(text) "
            "or Response.json(value), or await what makes one"
        )
    return response


def response_lines(response: Response, *, length: int | None = None) -> list[tuple[bytes, bytes]]:
    """The header lines of an answer, without those that are the server's to say."""
    lines = [line for line in response.headers.to_asgi() if line[0] not in _SERVERS_OWN]
    if length is not None and response.status not in _BODILESS_STATUSES:
        lines.append((b"content-length", b"%d" % length))
    return lines


async def _send(send: Send, response: Response, method: str, extra: Iterable[tuple[bytes, bytes]] = ()) -> None:
    body = response.body if isinstance(response.body, bytes) else b""
    headers = [*response_lines(response, length=len(body)), *extra]
    try:
        await send({"type": "http.response.start", "status": response.status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if method == "HEAD" else body})
    except OSError:
        return  # ASGI 2.4: the client has gone, and there is nobody to tell.


async def _send_stream(
    send: Send, response: Response, stream: ReadableStream, method: str, incoming: Incoming
) -> Exception | None:
    """Send an answer as it comes, until it ends or the client leaves; what failed, if its source did."""
    sending = asyncio.ensure_future(_pump(send, response, stream, method))
    leaving = asyncio.ensure_future(incoming.until_gone())
    try:
        await asyncio.wait([sending, leaving], return_when=asyncio.FIRST_COMPLETED)
        if not sending.done():
            sending.cancel()
            await asyncio.wait([sending])
        return None if sending.cancelled() else sending.result()
    finally:
        for task in (sending, leaving):
            task.cancel()
        await _cancel(stream)


async def _pump(send: Send, response: Response, stream: ReadableStream, method: str) -> Exception | None:
    length = _own_length(response.headers)
    headers = response_lines(response)
    if length is not None:
        headers.append((b"content-length", b"%d" % length))
    try:
        await send({"type": "http.response.start", "status": response.status, "headers": headers})
        if method == "HEAD" or response.status in _BODILESS_STATUSES:
            await send({"type": "http.response.body", "body": b""})
            return None
        left = length
        while (chunk := await _next(stream)) is not None:
            if isinstance(chunk, Exception):
                return chunk
            if left is not None:
                left -= len(chunk)
                if left < 0:
                    return _wrong_length(response.headers, "more")
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
            await asyncio.sleep(0)  # Neither the source nor a server whose client has left may wait for anything.
        if left:
            return _wrong_length(response.headers, "fewer")
        await send({"type": "http.response.body", "body": b""})
    except OSError:
        return None  # As above.
    return None


async def _cancel(stream: ReadableStream) -> None:
    """Whoever made it hears that nobody wants the rest. Nothing happens when it has ended."""
    try:
        await stream.cancel()
    except Exception:  # noqa: BLE001  # user code, which nobody waits for any more
        _LOG.exception("what was sending an answer failed when it was told to stop")


async def _next(stream: ReadableStream) -> bytes | Exception | None:
    """What failed in the source is an answer: what fails in `send` is about the client."""
    try:
        return await stream.read()
    except Exception as error:  # noqa: BLE001  # user code: it is logged, and cuts the answer
        return error


def _own_length(headers: Headers) -> int | None:
    """The length that an application says its stream has. It is held to it: a proxy must not be misled."""
    text = headers.get("content-length")
    return int(text) if text is not None and text.isascii() and text.isdigit() and len(text) < 16 else None


def _wrong_length(headers: Headers, what: str) -> HttpMessageError:
    return HttpMessageError(
        f"the body of the answer has {what} bytes than its header Content-Length says, {headers['content-length']}: "
        "leave that header away, or give the right number"
    )
