"""The `fetch()` of a guest: each request, redirects included, goes through the one way out that its worker was given.

Requests were written by a guest, and answers by whoever it reached. Effects: timers (a fetcher does the work).
"""

from __future__ import annotations

import asyncio
from typing import Final
from urllib.parse import urljoin

from perdure.api import Fetcher, Internet
from perdure.errors import FetchError, HttpMessageError, NetworkDeniedError, UsageError
from perdure.limits import FETCH_REDIRECTS_MAX, FETCH_S
from perdure.web import BodyInit, Headers, HeadersInit, ReadableStream, Request, Response, parse_url
from perdure.wire import NETWORK_DENIED
from perdure.workers._exports import Messages
from perdure.workers._internet import InternetFetcher
from perdure.workers._reports import Operation

FETCH: Final = "fetch"
"""The kind of the operation."""

MODES: Final = ("follow", "manual", "error")
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_OF_THE_CONTENT: Final = ("content-encoding", "content-language", "content-location", "content-type")
_FOR_ONE_ORIGIN: Final = ("authorization", "cookie", "proxy-authorization")


_ANYWHERE_PUBLIC: Final = Internet()


async def fetch_outside(outbound: Fetcher | None, operation: Operation, session: Messages) -> object:
    """Do a `fetch` operation; the result as JSON tree. Raises NetworkDeniedError, FetchError."""
    if outbound is None:
        raise NetworkDeniedError(NETWORK_DENIED)
    mode = operation.payload.get("rd", "follow")
    if mode not in MODES:
        raise UsageError(f"a request's redirect is one of {', '.join(MODES)}, not `{str(mode)[:40]}`")
    request = await session.streams.request(operation.payload.get("r"), operation.operation_id)
    response = await follow(outbound, request, str(mode))
    tree = session.streams.response(response)
    if not isinstance(tree, dict):
        raise FetchError("the outbound fetcher returned what is no response")
    return {**tree, "u": response.url, **({"rd": 1} if response.redirected else {})}


async def follow(outbound: Fetcher, request: Request, mode: str) -> Response:
    """The answer to `request`, after whatever redirects `mode` follows, in bounded time. Raises FetchError."""
    first = request.url
    timeout = asyncio.timeout(FETCH_S)
    try:
        async with timeout:
            return await _follow(outbound, request, mode)
    except TimeoutError:
        if not timeout.expired():
            raise
        raise FetchError(f"`{first:.200}` has not answered in {FETCH_S:.0f} s", retryable=True) from None


async def _follow(outbound: Fetcher, request: Request, mode: str) -> Response:
    first, seen = request.url, 0
    while True:
        body = request.body
        response = await outbound.fetch(_copy(request))
        if not isinstance(response, Response):
            raise FetchError(f"the outbound fetcher returned `{type(response).__name__}`, not a Response")
        location = response.headers.get("location") if response.status in _REDIRECTS else None
        if location is None or mode == "manual":
            return _arrived(response, request.url, redirected=seen > 0)
        if mode == "error":
            raise FetchError(f'`{request.url:.200}` is redirected, and the request says `redirect: "error"`')
        seen += 1
        if seen > FETCH_REDIRECTS_MAX:
            raise FetchError(f"Too many redirects: more than {FETCH_REDIRECTS_MAX}, the last from `{request.url:.200}`")
        request = redirected(request, response.status, location)
        if isinstance(body, ReadableStream) and request.body is not None:
            raise FetchError(
                f"`{first:.200}` is redirected, and a body that streams cannot be sent again: send it whole"
            )


def redirected(request: Request, status: int, location: str) -> Request:
    """The request that follows a redirect, as the Fetch standard makes it. Raises FetchError."""
    try:
        url = str(parse_url(urljoin(request.url, location)))
    except (HttpMessageError, ValueError):
        raise FetchError(f"`{request.url:.200}` is redirected to `{location:.200}`, which is no http(s) URL") from None
    method, body = request.method, request.body
    headers = Headers(request.headers)
    if (status in {301, 302} and method == "POST") or (status == 303 and method not in {"GET", "HEAD"}):
        method, body = "GET", None
        _drop(headers, *_OF_THE_CONTENT)
    if parse_url(url).origin != parse_url(request.url).origin:
        _drop(headers, *_FOR_ONE_ORIGIN)
    return Request(url, method, headers, body)


def _drop(headers: Headers, *names: str) -> None:
    for name in names:
        headers.delete(name)


def _copy(request: Request) -> Request:
    """A request for one fetcher to do with what it likes: another may have to be made."""
    headers = Headers(request.headers)
    return Request.unchecked(url=request.url, method=request.method, headers=headers, body=request.body)


def _arrived(response: Response, url: str, *, redirected: bool) -> Response:
    if response.web_socket is not None:
        raise FetchError(f"`{url:.200}` has answered with a WebSocket, which fetch() cannot take yet")
    arrived = Response.unchecked(
        status=response.status,
        headers=Headers(response.headers),
        body=response.body,
        status_text=response.status_text,
    )
    arrived.url, arrived.redirected = url, redirected
    return arrived


async def fetch(
    resource: Request | str,
    *,
    method: str = "GET",
    headers: HeadersInit = None,
    body: BodyInit = None,
    redirect: str = "follow",
    internet: Internet = _ANYWHERE_PUBLIC,
) -> Response:
    """Fetch an absolute URL, or what a Request asks for. Raises FetchError.

    For trusted code: `internet` says which addresses that are not public may be reached all the same.
    """
    request = resource if isinstance(resource, Request) else Request(resource, method, headers, body)
    if redirect not in MODES:
        raise UsageError(f"redirect is one of {', '.join(MODES)}, not `{redirect:.40}`")
    return await follow(InternetFetcher(internet), request, redirect)
