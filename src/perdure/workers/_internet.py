"""The internet, as sandboxed code may reach it: connections of httpcore's, to addresses that were checked here.

The address that was checked is the one that is connected to, so a name that resolves differently the next moment gains
nothing; TLS is checked for the name. No proxy, cookie or credential of this machine's environment is used.
Effects: network, threads (names are looked up there).
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
import zlib
from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TYPE_CHECKING, Final
from weakref import WeakKeyDictionary

from perdure.api import Internet
from perdure.errors import FetchError, HttpMessageError
from perdure.limits import (
    BODY_BYTES_MAX,
    FETCH_CONNECT_S,
    FETCH_CONNECTIONS_MAX,
    FETCH_IDLE_S,
    FETCH_KEPT_CONNECTIONS_MAX,
    FETCH_KEPT_S,
    FETCH_LOOKUPS_MAX,
    HEADERS_MAX,
    KIB,
)
from perdure.web import Headers, Request, Response, parse_url
from perdure.workers._addresses import BLOCKED_PORTS, AllowedNames, is_public

if TYPE_CHECKING:
    import httpcore

_LOG: Final = logging.getLogger("perdure.fetch")
_PORTS: Final = {"http": 80, "https": 443}
_OF_THE_CONNECTION: Final = frozenset({
    "connection", "content-length", "expect", "host", "keep-alive", "proxy-authenticate", "proxy-authorization",
    "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade",
})  # fmt: skip
_UNPACKED_AT_ONCE_BYTES: Final = 64 * KIB  # takes a tenth of a millisecond; then others have a turn
_HAS_NO_BODY: Final = frozenset({101, 204, 205, 304})
_TIMEOUTS: Final = {"connect": FETCH_CONNECT_S, "read": FETCH_IDLE_S, "write": FETCH_IDLE_S, "pool": FETCH_IDLE_S}

Resolve = Callable[[str, int], Awaitable[list[str]]]
"""The addresses of a host. Raises OSError."""


class InternetClient:
    """What one event loop has open to the outside, for one list of allowed names."""

    def __init__(self, internet: Internet, *, resolve: Resolve | None = None) -> None:
        self._allowed = AllowedNames(internet.allow)
        self._pool = _pool(self._allowed, resolve or look_up)

    async def fetch(self, request: Request) -> Response:
        """Send one request and read the answer; redirects are not followed. Raises FetchError."""
        import httpcore  # noqa: PLC0415  # a third of a second that only those pay who fetch

        url, where = _target(request), request.url[:200]
        content = await request.bytes() if request.body is not None else None
        try:
            async with self._pool.stream(
                request.method,
                url,
                headers=_lines(request, content),
                content=content,
                extensions={"timeout": _TIMEOUTS},
            ) as answer:
                body = await _content(answer, where)
        except (httpcore.TimeoutException, TimeoutError):
            raise FetchError(f"`{where}` has not answered in time", retryable=True) from None
        except (httpcore.NetworkError, httpcore.ProtocolError, ssl.SSLError, OSError) as error:
            raise FetchError(
                f"`{where}` could not be fetched: {str(error) or type(error).__name__}", retryable=True
            ) from None
        return _response(answer.status, answer.headers, body, where)

    async def close(self) -> None:
        """Close every connection."""
        await self._pool.aclose()


_CLIENTS: Final[WeakKeyDictionary[asyncio.AbstractEventLoop, dict[Internet, InternetClient]]] = WeakKeyDictionary()


def internet_client(internet: Internet) -> InternetClient:
    """The client of the event loop that runs."""
    clients = _CLIENTS.setdefault(asyncio.get_running_loop(), {})
    client = clients.get(internet)
    if client is None:
        client = clients[internet] = InternetClient(internet)
    return client


async def close_internet_clients() -> None:
    """Close what the event loop that runs has open to the outside."""
    for client in _CLIENTS.pop(asyncio.get_running_loop(), {}).values():
        await client.close()


class InternetFetcher:
    """`Internet` as a fetcher: whichever loop asks, its own connections answer."""

    def __init__(self, internet: Internet) -> None:
        self._internet = internet

    async def fetch(self, request: Request) -> Response:
        return await internet_client(self._internet).fetch(request)


# ── addresses ────────────────────────────────────────────────────────────────────────────────────────────────


@cache
def _lookups() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(FETCH_LOOKUPS_MAX, thread_name_prefix="perdure-lookup")


async def look_up(host: str, port: int) -> list[str]:
    """The addresses of a host, as this machine's resolver tells them, on threads of their own. Raises OSError."""

    def ask() -> list[str]:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        return list(dict.fromkeys(str(address[0]) for *_, address in found))

    return await asyncio.get_running_loop().run_in_executor(_lookups(), ask)


async def addresses_of(host: str, port: int, *, allowed: AllowedNames, resolve: Resolve) -> list[str]:
    """Where a connection to `host` may be made. Raises FetchError, in the same words whatever the reason."""
    may_be_private = (host, port) in allowed
    refusal = FetchError(
        f"`{host:.200}` cannot be reached: it has no public address. Private, loopback and link-local addresses are "
        f'out of bounds unless the name is allowed, as in Internet(allow=("{host:.200}",))'
    )
    if port in BLOCKED_PORTS and not may_be_private:
        raise FetchError(f"port {port} is blocked: what listens there does not speak HTTP")
    try:
        found = await resolve(host, port)
    except (OSError, UnicodeError) as error:
        _LOG.debug("`%s` was not found: %s", host, error)
        raise refusal from None
    usable = [address for address in found if may_be_private or is_public(address)]
    if not usable:
        _LOG.warning("a worker asked for `%s`, which is at %s: refused", host, ", ".join(found) or "no address")
        raise refusal
    return usable


def _pool(allowed: AllowedNames, resolve: Resolve) -> httpcore.AsyncConnectionPool:
    import httpcore  # noqa: PLC0415  # as above

    class Guarded(httpcore.AsyncNetworkBackend):
        """Looks every name up itself, and connects to what it has checked."""

        def __init__(self) -> None:
            self._inner = httpcore.AnyIOBackend()

        async def connect_tcp(
            self,
            host: str,
            port: int,
            timeout: float | None = None,  # noqa: ASYNC109  # httpcore's own signature
            local_address: str | None = None,
            socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
        ) -> httpcore.AsyncNetworkStream:
            async with asyncio.timeout(timeout):
                addresses = await addresses_of(host, port, allowed=allowed, resolve=resolve)
                for address in addresses[:-1]:
                    try:
                        return await self._inner.connect_tcp(address, port, FETCH_CONNECT_S / len(addresses))
                    except (httpcore.ConnectError, httpcore.ConnectTimeout):
                        continue
                return await self._inner.connect_tcp(addresses[-1], port, timeout)

        async def sleep(self, seconds: float) -> None:
            await asyncio.sleep(seconds)

    return httpcore.AsyncConnectionPool(
        ssl_context=_trusted(),
        max_connections=FETCH_CONNECTIONS_MAX,
        max_keepalive_connections=FETCH_KEPT_CONNECTIONS_MAX,
        keepalive_expiry=FETCH_KEPT_S,
        network_backend=Guarded(),
    )


@cache
def _trusted() -> ssl.SSLContext:
    """Whom we trust: this system's authorities, and those that certifi gathers where a system has none."""
    import certifi  # noqa: PLC0415  # read only once somebody fetches

    context = ssl.create_default_context()
    context.load_verify_locations(certifi.where())
    context.set_alpn_protocols(["http/1.1"])
    return context


# ── messages ─────────────────────────────────────────────────────────────────────────────────────────────────


def _target(request: Request) -> httpcore.URL:
    import httpcore  # noqa: PLC0415  # as above

    parts = parse_url(request.url)
    scheme, _, authority = parts.origin.partition("://")
    host, colon, port = authority.rpartition(":") if not authority.endswith("]") else (authority, "", "")
    number = int(port) if colon else _PORTS[scheme]
    name = (host if colon else authority).strip("[]")
    if not 0 < number < 65_536 or len(name) > 253:
        raise FetchError(f"`{request.url:.200}` names no host or port that can exist")
    path = f"{parts.path}?{parts.query}" if parts.query else parts.path
    return httpcore.URL(
        scheme=scheme.encode(), host=name.encode("ascii"), port=number if colon else None, target=path.encode("ascii")
    )


def _lines(request: Request, content: bytes | None) -> list[tuple[bytes, bytes]]:
    """The header lines to send: the guest's, but for those that belong to the connection."""
    authority = parse_url(request.url).origin.partition("://")[2]
    own = [(name, value) for name, value in request.headers.multi_items() if name not in _OF_THE_CONNECTION]
    own = [line for line in own if line[0] != "accept-encoding"]
    names = {name for name, _ in own}
    lines = [("host", authority), *own, ("accept-encoding", "gzip, deflate")]
    lines.extend(line for line in (("accept", "*/*"), ("user-agent", "perdure")) if line[0] not in names)
    if content is not None or request.method in {"POST", "PUT", "PATCH"}:
        lines.append(("content-length", str(len(content or b""))))
    return [(name.encode("ascii"), value.encode("latin-1", "replace")) for name, value in lines]


async def _content(answer: httpcore.Response, where: str) -> bytes:
    """The body, unpacked, as long as it is in bounds. Raises FetchError."""
    unpack = _unpacker(answer.headers)
    size, parts = 0, []
    async for chunk in answer.aiter_stream():
        for part in unpack(chunk):
            size += len(part)
            if size > BODY_BYTES_MAX:
                raise FetchError(f"the answer of `{where}` has more than {BODY_BYTES_MAX} bytes, the limit")
            parts.append(part)
            if len(part) == _UNPACKED_AT_ONCE_BYTES:  # There may be more in this chunk, of which the network is done.
                await asyncio.sleep(0)
    return b"".join(parts)


def _unpacker(headers: Iterable[tuple[bytes, bytes]]) -> Callable[[bytes], Iterable[bytes]]:
    """What turns the bytes of a connection into those of the content."""
    codings = [value.strip().lower() for name, value in headers if name.lower() == b"content-encoding"]
    if codings in ([], [b"identity"]):
        return lambda chunk: [chunk]
    if codings not in ([b"gzip"], [b"x-gzip"], [b"deflate"]):
        raise FetchError(f"an answer in the coding {b', '.join(codings).decode('latin-1'):.40} was not asked for")
    inflate = zlib.decompressobj(zlib.MAX_WBITS | 32)  # gzip or zlib, as its first bytes say

    def unpack(chunk: bytes) -> Iterable[bytes]:
        while chunk:  # A few bytes may stand for gigabytes: they are never unpacked at once.
            try:
                part = inflate.decompress(chunk, _UNPACKED_AT_ONCE_BYTES)
            except zlib.error as error:
                raise FetchError(f"an answer is not in the coding it says it has: {error}") from None
            yield part
            chunk = inflate.unconsumed_tail

    return unpack


def _response(status: int, lines: Iterable[tuple[bytes, bytes]], content: bytes, where: str) -> Response:
    texts = [(name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in lines]
    kept = [line for line in texts if line[0] not in _OF_THE_CONNECTION and line[0] != "content-encoding"]
    if len(kept) > HEADERS_MAX:
        raise FetchError(f"the answer of `{where}` has {len(kept)} header lines, the limit is {HEADERS_MAX}")
    try:
        return Response(None if status in _HAS_NO_BODY else content, status, Headers(kept))
    except HttpMessageError as error:
        raise FetchError(f"`{where}` has answered with what is no response: {error}") from None
