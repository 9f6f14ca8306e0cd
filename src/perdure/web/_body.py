"""The body of a message: buffered bytes, and the readers of the Fetch standard.

A body is in memory as a whole, so it can be read any number of times; Fetch, which streams, allows one.
Effects: none.
"""

from __future__ import annotations

import builtins
import json
from typing import Any, Final, TypeAlias

from perdure.errors import HttpMessageError
from perdure.web._form import FormData, parse_form
from perdure.web._headers import Headers

BodyInit: TypeAlias = str | bytes | bytearray | memoryview | None
"""What a body can be made of."""

TEXT_TYPE: Final = "text/plain;charset=UTF-8"
_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"


class Body:
    """What requests and responses have in common. `body` is None when there is none, which differs from b""."""

    __slots__ = ("body", "headers")

    body: builtins.bytes | None
    headers: Headers

    async def text(self) -> str:
        """The body as UTF-8; malformed bytes become U+FFFD."""
        return self._text()

    async def form(self) -> FormData:
        """The fields of a form, urlencoded or multipart. Raises HttpMessageError if the body is neither."""
        return parse_form(self.body or b"", self.headers.get("content-type"))

    form_data = form

    def _text(self) -> str:
        return (self.body or b"").removeprefix(_BYTE_ORDER_MARK).decode("utf-8", "replace")

    def _json(self) -> Any:  # noqa: ANN401  # parsed JSON is whatever the sender wrote
        try:
            return json.loads(self._text())
        except RecursionError:
            raise ValueError("the JSON of the body is nested too deeply") from None

    def _set_body(self, init: BodyInit) -> None:
        """Set the body, and the content type that Fetch gives a text without one."""
        self.body = to_bytes(init)
        if isinstance(init, str) and not self.headers.has("content-type"):
            self.headers.append("content-type", TEXT_TYPE)

    async def bytes(self) -> builtins.bytes:
        """The body as it is, b"" when there is none."""
        return self.body or b""


def to_bytes(init: BodyInit) -> bytes | None:
    """The bytes of a body. Raises HttpMessageError for a type that is none."""
    if init is None:
        return None
    if isinstance(init, str):
        return to_utf8(init)
    if isinstance(init, bytes | bytearray | memoryview):
        return bytes(init)
    raise HttpMessageError(
        f"a body is str, bytes or None, not a `{type(init).__name__}`: use Response.json(value) or str(value)"
    )


def to_utf8(text: str) -> bytes:
    """`text` in UTF-8, where a lone surrogate becomes U+FFFD as everywhere on the web."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace").encode()
