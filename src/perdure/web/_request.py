"""Request: what a browser, a stub or a supervisor asks. Effects: none."""

from __future__ import annotations

import re
from typing import Any, Final

from perdure.errors import HttpMessageError
from perdure.web._body import Body, BodyInit
from perdure.web._form import parse_urlencoded
from perdure.web._headers import Headers, HeadersInit
from perdure.web._stream import ReadableStream
from perdure.web._url import Url, parse_url

_TOKEN: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_UPPERCASED: Final = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "POST", "PUT"})
_FORBIDDEN: Final = frozenset({"CONNECT", "TRACE", "TRACK"})
_BODILESS: Final = frozenset({"GET", "HEAD"})


class Request(Body):
    """An HTTP request, as the Fetch standard has it.

    `url` is absolute (http or https). Raises HttpMessageError for a URL, method, header or body that Fetch refuses.
    """

    __slots__ = ("_parts", "_query", "method", "url")

    def __init__(self, url: str, method: str = "GET", headers: HeadersInit = None, body: BodyInit = None) -> None:
        self._parts: Url | None = parse_url(url)
        self._query: dict[str, list[str]] | None = None
        self.url = str(self._parts)
        self.method = _checked_method(method)
        self.headers = Headers(headers)
        self._set_body(body)
        if self.method in _BODILESS:
            if self.body is not None and self.body != b"":
                raise HttpMessageError(f"a {self.method} request has no body: use POST or PUT")
            self.body = None

    @classmethod
    def unchecked(cls, *, url: str, method: str, headers: Headers, body: bytes | ReadableStream | None) -> Request:
        """A request of parts that are known to be valid: from a server, or from the host."""
        request = cls.__new__(cls)
        request._parts = request._query = None  # noqa: SLF001  # its own instance
        request.url = url
        request.method = method
        request.headers = headers
        request.body = body
        return request

    @property
    def path(self) -> str:
        """The path of the URL, still percent-encoded, such as `/notes/a%20b`."""
        return self._url_parts().path

    @property
    def query(self) -> dict[str, str]:
        """The first value of each name in the query string."""
        return {name: values[0] for name, values in self.query_all.items()}

    @property
    def query_all(self) -> dict[str, list[str]]:
        """Every value of each name in the query string."""
        if self._query is None:
            self._query = {}
            for name, value in parse_urlencoded(self._url_parts().query):
                self._query.setdefault(name, []).append(value)
        return self._query

    async def json(self) -> Any:  # noqa: ANN401  # parsed JSON is whatever the sender wrote
        """The body as JSON. Raises ValueError if it is not."""
        return await self._read_json()

    def clone(self) -> Request:
        """A request of its own: changing its headers, or reading its body, leaves this one alone."""
        body = self._body_for_clone()
        return Request.unchecked(url=self.url, method=self.method, headers=Headers(self.headers), body=body)

    def __repr__(self) -> str:
        return f"<Request {self.method} {self.url}>"

    def _url_parts(self) -> Url:
        if self._parts is None:
            self._parts = parse_url(self.url)
        return self._parts


def _checked_method(method: object) -> str:
    if not isinstance(method, str) or not _TOKEN.fullmatch(method) or method.upper() in _FORBIDDEN:
        raise HttpMessageError(f"`{method!r:.40}` is no HTTP method that a request may have")
    upper = method.upper()
    return upper if upper in _UPPERCASED else method
