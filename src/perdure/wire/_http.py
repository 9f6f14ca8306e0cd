"""Requests and responses ⇄ the dicts of the guest protocol.

`{"m", "u", "h", "b" or "B"}` and `{"s", "h", "b" or "B", "st"}`: a body that is UTF-8 travels as text (`b`), any other
in base64 (`B`). One that is under way is the number of a stream: of the sender's (`S`), or of the receiver's own that
is handed back (`R`). `…_from_wire` reads what a guest may have forged and checks everything; `…_from_host` reads,
inside a guest, what the host wrote. Effects: none.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping
from typing import Final, NotRequired, TypedDict

from perdure.errors import GuestError, HttpMessageError
from perdure.limits import BODY_BYTES_MAX, HEADERS_BYTES_MAX, HEADERS_MAX, MIB
from perdure.web import Headers, ReadableStream, Request, Response, to_utf8

_PROXYS_OWN: Final = ("x-accel-", "x-sendfile", "x-lighttpd-", "x-reproxy-")
"""Beginnings of the names with which an application tells a proxy before it what to do, such as to send a file."""

_BODIES: Final = frozenset("bBSR")
_BODY_LOOKED_AT: Final = MIB
_EXPANDING: Final = bytes([*range(0x09), 0x0B, 0x0C, *range(0x0E, 0x20), *range(0x7F, 0x100)])


Lend = Callable[[ReadableStream], Mapping[str, int]]
"""Makes a stream known to the other side: `{"S": number}`, or `{"R": number}` for what is the other side's own."""
Take = Callable[[Mapping[str, object]], ReadableStream]
"""The stream that a message with `S` or `R` names. Raises GuestError."""
Receive = Callable[[int], ReadableStream]
"""The host's stream of this number, for a guest."""


class _WireBody(TypedDict):
    b: NotRequired[str]
    B: NotRequired[str]
    S: NotRequired[int]
    R: NotRequired[int]


class WireRequest(_WireBody):
    """A request of the guest protocol: method, absolute URL, header lines, body."""

    m: str
    u: str
    h: list[tuple[str, str]]


class WireResponse(_WireBody):
    """A response of the guest protocol: status, header lines, body, status text."""

    s: int
    h: list[tuple[str, str]]
    st: NotRequired[str]


def request_to_wire(request: Request, lend: Lend | None = None) -> WireRequest:
    """The JSON-able dict for a request. Raises HttpMessageError when its body streams and that is not possible."""
    wire: WireRequest = {"m": request.method, "u": request.url, "h": request.headers.multi_items()}
    _add_body(wire, request.body, lend)
    return wire


def response_to_wire(response: Response, lend: Lend | None = None) -> WireResponse:
    """The JSON-able dict for a response. Raises HttpMessageError for one, or a body, that cannot go there."""
    if response.web_socket is not None:
        raise HttpMessageError("a response with a WebSocket cannot be sent into a sandbox yet: hand it to the client")
    wire: WireResponse = {"s": response.status, "h": response.headers.multi_items()}
    if response.status_text:
        wire["st"] = response.status_text
    _add_body(wire, response.body, lend)
    return wire


def request_from_wire(wire: object, take: Take | None = None) -> Request:
    """The request a guest wrote. Raises GuestError if it is malformed or too large."""
    shape = _shape(wire, "request")
    try:
        url, method = _text(shape, "u"), _text(shape, "m")
        return Request(url, method, _headers(shape.get("h")), _body(shape, take))
    except HttpMessageError as error:
        raise GuestError(f"the sandbox sent a malformed request: {error}", type_name="TypeError") from None


def response_from_wire(wire: object, take: Take | None = None) -> Response:
    """The response a guest wrote, without lines for a proxy. Raises GuestError if it is malformed or too large."""
    shape = _shape(wire, "response")
    status = shape.get("s")
    try:
        if type(status) is not int:
            raise HttpMessageError("`s` is no integer")
        status_text = _text(shape, "st") if "st" in shape else ""
        return Response(_body(shape, take), status, _without_orders_to_proxies(_headers(shape.get("h"))), status_text)
    except HttpMessageError as error:
        raise GuestError(f"the sandbox sent a malformed response: {error}", type_name="TypeError") from None


def request_from_host(wire: WireRequest, receive: Receive | None = None) -> Request:
    """The request the host wrote; nothing is checked, so that delivering it costs little."""
    return Request.unchecked(
        url=wire["u"], method=wire["m"], headers=Headers.unchecked(wire["h"]), body=_plain_body(wire, receive)
    )


def response_from_host(wire: WireResponse, receive: Receive | None = None) -> Response:
    """The response the host wrote; nothing is checked."""
    return Response.unchecked(
        status=wire["s"],
        headers=Headers.unchecked(wire["h"]),
        body=_plain_body(wire, receive),
        status_text=wire.get("st", ""),
    )


def _add_body(wire: _WireBody, body: bytes | ReadableStream | None, lend: Lend | None) -> None:
    if body is None:
        return
    if isinstance(body, ReadableStream):
        if lend is None:
            raise HttpMessageError("a body that streams cannot be sent here: read it first, `await message.bytes()`")
        wire.update(lend(body))  # type: ignore[typeddict-item]  # `S` or `R`
        return
    try:
        if not _expands(body):
            wire["b"] = body.decode()
            return
    except UnicodeDecodeError:
        pass
    wire["B"] = base64.b64encode(body).decode("ascii")


def _expands(body: bytes) -> bool:
    """True for a large text that JSON writes with six letters for one: whoever sends it must not stop us for long."""
    return len(body) > _BODY_LOOKED_AT and len(body.translate(None, _EXPANDING)) < len(body) * 7 // 8


def _plain_body(wire: _WireBody, receive: Receive | None) -> bytes | ReadableStream | None:
    if "b" in wire:
        return wire["b"].encode()
    if "S" in wire:
        assert receive is not None, "whoever may be sent a stream can receive it"
        return receive(wire["S"])
    return base64.b64decode(wire["B"]) if "B" in wire else None


def _shape(wire: object, kind: str) -> dict[str, object]:
    if not isinstance(wire, dict):
        raise GuestError(f"the sandbox sent a malformed {kind}: a `{type(wire).__name__}`", type_name="TypeError")
    return wire


def _text(shape: dict[str, object], key: str) -> str:
    value = shape.get(key)
    if not isinstance(value, str):
        raise HttpMessageError(f"`{key}` is no string")
    return value


def _headers(lines: object) -> Headers:
    if lines is None:
        return Headers()
    if not isinstance(lines, list) or len(lines) > HEADERS_MAX:
        raise HttpMessageError(f"the headers are no list of at most {HEADERS_MAX} lines")
    headers = Headers()
    size = 0
    for line in lines:
        if not isinstance(line, list) or len(line) != 2 or not all(isinstance(text, str) for text in line):
            raise HttpMessageError("a header is no pair of strings")
        name, value = line
        size += len(name) + len(value)
        if size > HEADERS_BYTES_MAX:
            raise HttpMessageError(f"the headers have more than {HEADERS_BYTES_MAX} bytes")
        headers.append(name, value)
    return headers


def _without_orders_to_proxies(headers: Headers) -> Headers:
    for name, _ in headers.multi_items():
        if name.startswith(_PROXYS_OWN):
            headers.delete(name)
    return headers


def _body(shape: dict[str, object], take: Take | None) -> bytes | ReadableStream | None:
    if len(_BODIES.intersection(shape)) > 1:
        raise HttpMessageError("it has two bodies")
    if "S" in shape or "R" in shape:
        if take is None:
            raise HttpMessageError("its body is a stream, which cannot be sent here")
        return take(shape)
    if "b" in shape:
        body = to_utf8(_text(shape, "b"))
    elif "B" in shape:
        body = _base64(_text(shape, "B"))
    else:
        return None
    if len(body) > BODY_BYTES_MAX:
        raise HttpMessageError(f"the body has {len(body)} bytes, the limit is {BODY_BYTES_MAX}")
    return body


def _base64(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise HttpMessageError("`B` is no base64") from None
