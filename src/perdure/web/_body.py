"""The body of a message: bytes, or a stream of them, and the readers of the Fetch standard.

Bytes are in memory as a whole, so they can be read any number of times. A stream is read once; whoever asks for all of
it at once, as text or JSON, turns it into bytes.
Effects: none (it awaits the stream's source).
"""

from __future__ import annotations

import builtins
import json
from collections.abc import AsyncIterable, AsyncIterator
from typing import Any, Final, TypeAlias

from perdure.errors import HttpMessageError
from perdure.web._form import FormData, parse_form
from perdure.web._headers import Headers
from perdure.web._stream import Chunk, ReadableStream
from perdure.web._text import to_utf8

BodyInit: TypeAlias = str | bytes | bytearray | memoryview | ReadableStream | AsyncIterable[Chunk] | None
"""What a body can be made of: an async iterable, such as an async generator, makes a stream."""

TEXT_TYPE: Final = "text/plain;charset=UTF-8"
_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"


class Body:
    """What requests and responses have in common.

    `body` is None when there is none, which differs from b""; a ReadableStream while it is under way, else bytes.
    """

    __slots__ = ("body", "headers")

    body: builtins.bytes | ReadableStream | None
    headers: Headers

    async def bytes(self) -> builtins.bytes:
        """The body as it is, b"" when there is none. A stream is read to its end, up to `BODY_BYTES_MAX`, and kept."""
        body = self.body
        if isinstance(body, ReadableStream):
            body.check_unused()
            body = self.body = await body.collect()
        return body or b""

    async def text(self) -> str:
        """The body as UTF-8; malformed bytes become U+FFFD."""
        return (await self.bytes()).removeprefix(_BYTE_ORDER_MARK).decode("utf-8", "replace")

    async def form(self) -> FormData:
        """The fields of a form, urlencoded or multipart. Raises HttpMessageError if the body is neither."""
        return parse_form(await self.bytes(), self.headers.get("content-type"))

    form_data = form

    def stream(self) -> AsyncIterator[builtins.bytes]:
        """The body bit by bit, as it comes. Bytes that are there already come as one."""
        body = self.body
        return _at_once(body) if not isinstance(body, ReadableStream) else aiter(body)

    @property
    def body_used(self) -> bool:
        """Whether the body was a stream that has been read, or is being read, bit by bit."""
        return isinstance(self.body, ReadableStream) and (self.body.is_used or self.body.locked)

    async def _read_json(self) -> Any:  # noqa: ANN401  # parsed JSON is whatever the sender wrote
        try:
            return json.loads(await self.text())
        except RecursionError:
            raise ValueError("the JSON of the body is nested too deeply") from None

    def _set_body(self, init: BodyInit) -> None:
        """Set the body, and the content type that Fetch gives a text without one."""
        self.body = _body_of(init)
        if isinstance(init, str) and not self.headers.has("content-type"):
            self.headers.append("content-type", TEXT_TYPE)

    def _body_for_clone(self) -> builtins.bytes | ReadableStream | None:
        """A body for a second message. A stream is split, and this message keeps one of the two."""
        if not isinstance(self.body, ReadableStream):
            return self.body
        self.body, other = self.body.tee()
        return other


async def _at_once(body: bytes | None) -> AsyncIterator[bytes]:
    if body:
        yield body


def _body_of(init: BodyInit) -> bytes | ReadableStream | None:
    """The body that `init` makes. Raises HttpMessageError for what makes none."""
    if init is None:
        return None
    if isinstance(init, str):
        return to_utf8(init)
    if isinstance(init, bytes | bytearray | memoryview):
        return bytes(init)
    if isinstance(init, ReadableStream):
        init.check_unused()
        return init
    if isinstance(init, AsyncIterable):
        return ReadableStream(init)
    raise HttpMessageError(
        f"a body is str, bytes, None or an async iterable of these, not a `{type(init).__name__}`: use "
        "Response.json(value), str(value), or an `async def` generator"
    )
