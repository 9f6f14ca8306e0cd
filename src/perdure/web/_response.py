"""Response: the answer to a request. Effects: none."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Coroutine
from typing import Any, Final, overload

from perdure.errors import HttpMessageError
from perdure.web._body import Body, BodyInit
from perdure.web._headers import Headers, HeadersInit
from perdure.web._stream import ReadableStream
from perdure.web._url import quote_target
from perdure.web._websocket import WebSocket

_NULL_BODY_STATUSES: Final = frozenset({204, 205, 304})
_REDIRECT_STATUSES: Final = frozenset({301, 302, 303, 307, 308})
_REASON: Final = re.compile(r"[\t \x21-\x7e\x80-\xff]*")
_TO_JSON: Final = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))


class _JsonMember:
    """`Response.json(value)` makes a response, `await response.json()` reads one: Fetch has both under one name."""

    @overload
    def __get__(self, response: None, owner: type[Response]) -> Callable[..., Response]: ...
    @overload
    def __get__(self, response: Response, owner: type[Response]) -> Callable[[], Coroutine[object, object, Any]]: ...
    def __get__(
        self, response: Response | None, owner: type[Response]
    ) -> Callable[..., Response] | Callable[[], Coroutine[object, object, Any]]:
        return _response_of_json if response is None else response._read_json  # noqa: SLF001  # the descriptor is part of the class


class Response(Body):
    """An HTTP response, as the Fetch standard has it.

    A str body is sent as text/plain in UTF-8 unless the headers say otherwise. An async generator streams: what it
    gives is sent as it comes. `Response.json(value)`, `.html(text)` and `.redirect(url)` make the common ones. Raises
    HttpMessageError for what Fetch refuses.
    """

    __slots__ = ("redirected", "status", "status_text", "url", "web_socket")

    url: str
    """Where it came from, if `fetch()` got it; else empty."""
    redirected: bool
    """True when `fetch()` followed redirects to get it."""

    json = _JsonMember()

    web_socket: WebSocket | None

    def __init__(
        self,
        body: BodyInit = None,
        status: int = 200,
        headers: HeadersInit = None,
        status_text: str = "",
        *,
        web_socket: WebSocket | None = None,
    ) -> None:
        self.status = _checked_status(status) if web_socket is None else _checked_switch(status, body)
        self.web_socket = web_socket
        self.url, self.redirected = "", False
        self.status_text = _checked_status_text(status_text)
        self.headers = Headers(headers)
        # An empty body is none where there can be none; Fetch, where JavaScript shows the difference, refuses it.
        is_none = self.status in _NULL_BODY_STATUSES and isinstance(body, str | bytes) and not body
        self._set_body(None if is_none else body)
        if self.body is not None and self.status in _NULL_BODY_STATUSES:
            raise HttpMessageError(f"a response with status {self.status} has no body: give None, or another status")

    @classmethod
    def unchecked(
        cls, *, status: int, headers: Headers, body: bytes | ReadableStream | None, status_text: str = ""
    ) -> Response:
        """A response of parts that are known to be valid."""
        response = cls.__new__(cls)
        response.url, response.redirected = "", False
        response.status = status
        response.status_text = status_text
        response.headers = headers
        response.body = body
        response.web_socket = None
        return response

    @staticmethod
    def html(text: str, status: int = 200, headers: HeadersInit = None) -> Response:
        """A page."""
        return _typed(text, "text/html;charset=UTF-8", status, headers)

    @staticmethod
    def redirect(url: str, status: int = 302) -> Response:
        """A redirect to `url`, which may be relative (`/`, `?page=2`)."""
        if status not in _REDIRECT_STATUSES:
            raise HttpMessageError(f"`{status}` is no redirect: use one of {sorted(_REDIRECT_STATUSES)}")
        return Response(None, status, {"location": quote_target(url)})

    @property
    def ok(self) -> bool:
        """True for a status from 200 to 299."""
        return 200 <= self.status <= 299

    def clone(self) -> Response:
        """A response of its own: changing its headers, or reading its body, leaves this one alone."""
        if self.web_socket is not None:
            raise HttpMessageError("a response with a WebSocket cannot be cloned: there is one connection")
        body = self._body_for_clone()
        copy = Response.unchecked(
            status=self.status, headers=Headers(self.headers), body=body, status_text=self.status_text
        )
        copy.url, copy.redirected = self.url, self.redirected
        return copy

    def __repr__(self) -> str:
        size = "streamed" if isinstance(self.body, ReadableStream) else f"{len(self.body or b'')} bytes"
        return f"<Response {self.status} {size}>"


def _response_of_json(value: object, status: int = 200, headers: HeadersInit = None) -> Response:
    """A response with `value` as JSON. Raises TypeError or ValueError for what JSON lacks."""
    return _typed(_TO_JSON.encode(value), "application/json", status, headers)


def _typed(text: str, content_type: str, status: int, headers: HeadersInit) -> Response:
    lines = Headers(headers)
    if not lines.has("content-type"):
        lines.append("content-type", content_type)
    return Response(text, status, lines)


def _checked_status(status: object) -> int:
    if not isinstance(status, int) or not 200 <= status <= 599:
        raise HttpMessageError(f"status `{status!r:.40}` is outside 200 to 599")
    return int(status)


def _checked_switch(status: object, body: object) -> int:
    if status != 101 or body is not None:
        raise HttpMessageError(f"a response with a WebSocket has status 101 and no body, not `{status!r:.40}`")
    return 101


def _checked_status_text(text: object) -> str:
    if not isinstance(text, str) or not _REASON.fullmatch(text):
        raise HttpMessageError(f"status text `{text!r:.80}` has characters that a status line cannot carry")
    return text
