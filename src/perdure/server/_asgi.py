"""ASGI 3 ⇄ web.Request and web.Response.

`serve_http` is the whole road of a request between a server and `handle`. A body is read whole before `handle` runs;
GET and HEAD have none, as in Fetch. Effects: none of its own (it awaits what it is given).
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any, Final, TypeAlias
from urllib.parse import quote

from perdure.errors import UsageError
from perdure.limits import BODY_BYTES_MAX, URL_BYTES_MAX
from perdure.web import Headers, Request, Response, normalise_path, quote_target

Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]
AsgiApp: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]
Handle: TypeAlias = Callable[[Request], Awaitable[Response]]
AnswerError: TypeAlias = Callable[[Request, Exception], Response]

_HOST: Final = re.compile(rb"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")
_BODILESS_METHODS: Final = frozenset({"GET", "HEAD"})
_BODILESS_STATUSES: Final = frozenset({204, 304})
# What describes the connection or the framing is the server's to say; a sandbox must not say it.
_SERVERS_OWN: Final = frozenset(
    b"connection content-length keep-alive proxy-connection te trailer transfer-encoding upgrade".split()
)


class _RefusedRequestError(Exception):
    """The request cannot be read: it is malformed or too large."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class _ClientGoneError(Exception):
    """The client left before its request was complete."""


async def serve_http(
    scope: Scope,
    receive: Receive,
    send: Send,
    handle: Handle,
    *,
    answer_error: AnswerError,
    body_bytes_max: int = BODY_BYTES_MAX,
) -> None:
    """Answer one `http` scope with what `handle` returns, or with `answer_error` of what it raised."""
    method: str = scope["method"]
    try:
        request = await _read_request(scope, receive, method, body_bytes_max)
    except _ClientGoneError:
        return
    except _RefusedRequestError as error:
        # The rest of the request may still be under way: this connection cannot carry another one.
        await _send(send, Response(f"{error}\n", error.status), method, extra=[(b"connection", b"close")])
        return
    try:
        response = _checked(await handle(request))
    except Exception as error:  # noqa: BLE001  # the last place above user code: it becomes an answer and a log entry
        response = answer_error(request, error)
    await _send(send, response, method)


async def refuse_websocket(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer a `websocket` scope with 501 where the server can say so, and with a refused handshake (403) elsewhere."""
    await receive()
    if "websocket.http.response" not in scope.get("extensions", {}):
        await send({"type": "websocket.close", "code": 1008, "reason": "no WebSocket here"})
        return
    await send(
        {
            "type": "websocket.http.response.start",
            "status": 501,
            "headers": [(b"content-type", b"text/plain;charset=UTF-8")],
        }
    )
    await send({"type": "websocket.http.response.body", "body": b"WebSockets are not supported yet\n"})


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


async def _read_request(scope: Scope, receive: Receive, method: str, body_bytes_max: int) -> Request:
    raw: Iterable[tuple[bytes, bytes]] = scope["headers"]
    host, length = _host_and_length(raw)
    if length > body_bytes_max:
        raise _too_large(body_bytes_max)
    url = f"{scope.get('scheme', 'http')}://{host or _server_host(scope)}{_target(scope)}"
    if len(url) > URL_BYTES_MAX:
        raise _RefusedRequestError(414, f"the URL is too long: the limit is {URL_BYTES_MAX} characters")
    body = None if method in _BODILESS_METHODS else await _read_body(receive, body_bytes_max)
    return Request.unchecked(url=url, method=method, headers=Headers.from_asgi(raw), body=body)


def _host_and_length(raw: Iterable[tuple[bytes, bytes]]) -> tuple[str, int]:
    host, length = b"", 0
    for name, value in raw:
        if name == b"host":
            # With two, the server before us and we could each believe another one.
            if host or not _HOST.fullmatch(value):
                raise _RefusedRequestError(
                    400, f"the Host header is doubled or malformed: `{value[:80].decode('latin-1')}`"
                )
            host = value
        elif name == b"content-length":
            if not value.isdigit():
                raise _RefusedRequestError(400, "the Content-Length header is no number")
            length = int(value[:20])
    return host.decode("ascii").lower(), length


def _server_host(scope: Scope) -> str:
    """The address we were reached at, for a client too old to send Host."""
    name, port = scope.get("server") or ("", None)
    host = f"[{name}]:{port}" if ":" in name else f"{name}:{port}"
    if not _HOST.fullmatch(host.encode()):
        raise _RefusedRequestError(400, "the request has no Host header")
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


async def _read_body(receive: Receive, body_bytes_max: int) -> bytes | None:
    message = await receive()
    if message["type"] == "http.request" and not message.get("more_body"):
        body: bytes = message.get("body", b"")
        if len(body) > body_bytes_max:
            raise _too_large(body_bytes_max)
        return body or None
    chunks: list[bytes] = []
    size = 0
    while True:
        if message["type"] == "http.disconnect":
            raise _ClientGoneError
        chunk: bytes = message.get("body", b"")
        size += len(chunk)
        if size > body_bytes_max:
            raise _too_large(body_bytes_max)
        chunks.append(chunk)
        if not message.get("more_body"):
            return b"".join(chunks) or None
        message = await receive()


def _too_large(body_bytes_max: int) -> _RefusedRequestError:
    return _RefusedRequestError(413, f"the body is too large: the limit is {body_bytes_max} bytes")


# ── out ──────────────────────────────────────────────────────────────────────────────────────────────────────


def _checked(response: object) -> Response:
    if not isinstance(response, Response):
        raise UsageError(
            f"fetch() returned `{type(response).__name__}`, not a Response: return Response(text) "
            "or Response.json(value), or await what makes one"
        )
    return response


async def _send(send: Send, response: Response, method: str, extra: Iterable[tuple[bytes, bytes]] = ()) -> None:
    body = response.body or b""
    headers = [line for line in response.headers.to_asgi() if line[0] not in _SERVERS_OWN]
    if response.status not in _BODILESS_STATUSES:
        headers.append((b"content-length", b"%d" % len(body)))
    headers.extend(extra)
    try:
        await send({"type": "http.response.start", "status": response.status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if method == "HEAD" else body})
    except OSError:
        return  # ASGI 2.4: the client has gone, and there is nobody to tell.
