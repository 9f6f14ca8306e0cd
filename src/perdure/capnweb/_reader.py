"""Values of the expressions that a foreign peer sends.

Everything is checked before it means something: whatever is malformed raises MalformedError, and ends the session.
Tags that are ours alone (`map`, `set`, `graph` …) are unknown here. Effects: none.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final, Protocol, TypeVar

from perdure.capnweb._references import (
    Collected,
    Introduced,
    Mapped,
    Own,
    Parsed,
    Path,
    Place,
    ReadableEnd,
    Streamed,
    WritableEnd,
)
from perdure.errors import GuestError, HttpMessageError, ValueNotCloneableError
from perdure.limits import (
    BODY_BYTES_MAX,
    CALL_ARGUMENTS_MAX,
    ERROR_PROPERTIES_MAX,
    HEADERS_BYTES_MAX,
    HEADERS_MAX,
    RPC_PATH_STEPS_MAX,
    VALUE_DEPTH_MAX,
)
from perdure.web import File, Headers, Request, Response
from perdure.wire import from_expression

M = TypeVar("M", Request, Response)
_CHARACTERS_SHOWN: Final = 60


class MalformedError(ValueError):
    """A message breaks the protocol, or one of our limits; the text says how."""


class Tables(Protocol):
    """What ids mean, and whether they may stand there. Each raises MalformedError."""

    def introduce(self, number: int, *, is_promise: bool) -> None:
        """The peer shows us a capability once more, or for the first time."""
        ...

    def check_own(self, number: int) -> None:
        """The peer refers to a capability of ours."""
        ...

    def take_readable(self, number: int) -> None:
        """The peer gives us the far end of its pipe, which can be had once."""
        ...


def read_expression(expression: object, tables: Tables) -> Parsed:
    """The value of one expression."""
    parsed = Parsed()
    _Reader(tables, parsed).put(parsed.root, 0, expression, 0)
    return parsed


def shown(value: object) -> str:
    """A value of a peer as error texts show it."""
    text = repr(value)
    return text if len(text) <= _CHARACTERS_SHOWN else f"{text[:_CHARACTERS_SHOWN]}…"


def whole_number(value: object, what: str) -> int:
    """An integer of a message."""
    if type(value) is float and value.is_integer():
        value = int(value)
    if type(value) is not int:
        raise MalformedError(f"{what} is no whole number: `{shown(value)}`")
    return value


class _Reader:
    """Reads into one parsed value."""

    __slots__ = ("_parsed", "_tables")

    def __init__(self, tables: Tables, parsed: Parsed) -> None:
        self._tables = tables
        self._parsed = parsed

    def put(self, container: Any, key: str | int, expression: Any, depth: int) -> None:  # noqa: ANN401  # JSON
        """Set `container[key]` to the value of an expression that stands in `depth` others."""
        kind = type(expression)
        self._parsed.values += 1
        if kind is not list and kind is not dict:
            container[key] = from_expression(expression) if kind is int else expression
            return
        if depth > VALUE_DEPTH_MAX:
            raise MalformedError(f"a value is nested deeper than {VALUE_DEPTH_MAX} levels")
        if kind is dict:
            made: dict[str, object] = {}
            container[key] = made
            for name, item in expression.items():
                self.put(made, name, item, depth + 1)
        elif len(expression) == 1 and type(expression[0]) is list:
            container[key] = self._items(expression[0], depth + 1)
        else:
            self._put_tagged(container, key, expression, depth + 1)

    def _items(self, expressions: list[object], depth: int) -> list[object]:
        made: list[object] = [None] * len(expressions)
        for place, item in enumerate(expressions):
            self.put(made, place, item, depth)
        return made

    def _put_tagged(self, container: Any, key: str | int, expression: list[Any], depth: int) -> None:  # noqa: ANN401
        tag = expression[0] if expression else None
        if isinstance(tag, str) and tag in _LEAVES:
            try:
                container[key] = from_expression(_padded(expression) if tag == "bytes" else expression)
            except ValueNotCloneableError as error:
                raise MalformedError(str(error)) from None
            return
        read = _READERS.get(tag) if isinstance(tag, str) else None
        if read is None:
            raise MalformedError(
                f"`{shown(tag)}` is no kind of value that Cap'n Web has: one of {', '.join([*_LEAVES, *_READERS])}"
            )
        try:
            value = read(self, expression, depth)
        except (LookupError, TypeError, ValueError, HttpMessageError) as error:
            if isinstance(error, MalformedError):
                raise
            raise MalformedError(f"a `{tag}` value is malformed: {error}") from None
        container[key] = value
        if isinstance(value, _REFERENCES):
            self._parsed.places.append(Place(container, key, value))

    # ── capabilities ──

    def introduced(self, expression: list[Any], depth: int) -> Introduced:
        tag, number = expression
        is_promise = tag == "promise"
        number = whole_number(number, "the id of an export")
        self._tables.introduce(number, is_promise=is_promise)
        return Introduced(number, is_promise)

    def own(self, expression: list[Any], depth: int) -> Own:
        if not 2 <= len(expression) <= 4:
            raise TypeError("it has an id, and perhaps a path and arguments")
        number = self._own_id(expression[1])
        path = _path(expression[2]) if len(expression) > 2 else ()
        arguments = self._arguments(expression[3], depth) if len(expression) > 3 else None
        return Own(number, path, arguments, is_promise=expression[0] == "pipeline")

    def _own_id(self, value: object) -> int:
        number = whole_number(value, "the id of an import")
        self._tables.check_own(number)
        return number

    def _arguments(self, expressions: object, depth: int) -> Parsed:
        if not isinstance(expressions, list):
            raise TypeError("its arguments are no list")
        if len(expressions) > CALL_ARGUMENTS_MAX:
            raise ValueError(f"it has {len(expressions)} arguments, the limit is {CALL_ARGUMENTS_MAX}")
        parsed = Parsed()
        parsed.root[0] = _Reader(self._tables, parsed)._items(expressions, depth)  # noqa: SLF001  # its own class
        return parsed

    def mapped(self, expression: list[Any], depth: int) -> Mapped:
        _, number, path, captures, instructions = expression
        if not isinstance(captures, list) or not isinstance(instructions, list) or not instructions:
            raise TypeError("its captures or its instructions are no list")
        own = self._own_id(number)
        return Mapped(own, _path(path), tuple(self._capture(each, depth) for each in captures), tuple(instructions))

    def _capture(self, expression: object, depth: int) -> Introduced | Own:
        if isinstance(expression, list) and len(expression) == 2:
            if expression[0] == "export":
                return self.introduced(expression, depth)
            if expression[0] == "import":
                return self.own(expression, depth)
        raise TypeError(f"it captures `{shown(expression)}`: captures are exports and imports")

    def writable(self, expression: list[Any], depth: int) -> WritableEnd:
        _, number = expression
        number = whole_number(number, "the id of a stream")
        self._tables.introduce(number, is_promise=False)
        return WritableEnd(number)

    def readable(self, expression: list[Any], depth: int) -> ReadableEnd:
        _, number = expression
        number = whole_number(number, "the id of a pipe")
        self._tables.take_readable(number)
        return ReadableEnd(number)

    # ── what is more than JSON ──

    def error(self, expression: list[Any], depth: int) -> GuestError:
        kind, text = expression[1], expression[2]
        if not isinstance(kind, str) or not isinstance(text, str):
            raise TypeError("its type or its text is no string")
        error = GuestError(text, type_name=kind)
        properties = expression[4] if len(expression) > 4 else {}  # the fourth is a stack
        if not isinstance(properties, dict) or len(properties) > ERROR_PROPERTIES_MAX:
            raise TypeError(f"its properties are no object of at most {ERROR_PROPERTIES_MAX}")
        for name, item in properties.items():
            self.put(error.properties, name, item, depth)
        cause = error.properties.pop("cause", None)
        if isinstance(cause, BaseException):
            error.__cause__ = cause
        elif cause is not None:
            error.properties["cause"] = cause
        return error

    def url(self, expression: list[Any], depth: int) -> str:
        _, href = expression
        if not isinstance(href, str):
            raise TypeError("it is no string")
        return href

    def headers(self, expression: list[Any], depth: int) -> Headers:
        _, pairs = expression
        return _headers(pairs)

    def request(self, expression: list[Any], depth: int) -> Request | Streamed:
        _, url, init = expression
        method, headers = init.get("method", "GET"), _headers(init.get("headers"))
        return self._with_body(
            init.get("body"), depth, lambda body: Request(url, method, headers, body if body != b"" else None)
        )

    def response(self, expression: list[Any], depth: int) -> Response | Streamed:
        _, body, init = expression
        if init.get("webSocket") is not None:
            raise TypeError("a response with a WebSocket cannot be sent")
        status, text, headers = init.get("status", 200), init.get("statusText", ""), _headers(init.get("headers"))
        return self._with_body(body, depth, lambda body: Response(body, status, headers, text))

    def blob(self, expression: list[Any], depth: int) -> Collected:
        _, kind, content = expression
        if not isinstance(kind, str) or not isinstance(content, list) or content[:1] != ["readable"]:
            raise TypeError("it is a type and a stream")
        return Collected(self.readable(content, depth), partial(File, name="", content_type=kind))

    def _with_body(self, expression: object, depth: int, make: Callable[[Any], M]) -> M | Streamed:
        """A message with the body that an expression stands for."""
        if isinstance(expression, list) and expression[:1] == ["readable"]:
            source = self.readable(expression, depth)
            make(None)  # What is wrong besides the body is said now.
            return Streamed(source, make)
        holder: list[object] = [None]
        self.put(holder, 0, expression, depth)
        body = holder[0]
        if body is not None and not isinstance(body, str | bytes):
            raise TypeError(f"its body is a `{type(body).__name__}`")
        if body is not None and len(body) > BODY_BYTES_MAX:
            raise ValueError(f"its body has {len(body)} bytes, the limit is {BODY_BYTES_MAX}")
        return make(body)


def _padded(expression: list[Any]) -> list[Any]:
    """Peers leave the padding of base64 away."""
    text = expression[1] if len(expression) > 1 else None
    if not isinstance(text, str):
        raise MalformedError("a `bytes` value is malformed: it is no string")
    return [expression[0], text + "=" * (-len(text) % 4), *expression[2:]]


def _path(names: object) -> Path:
    if not isinstance(names, list) or not all(type(name) is str or type(name) is int for name in names):
        raise TypeError("its path is no list of names")
    if len(names) > RPC_PATH_STEPS_MAX:
        raise ValueError(f"property path is too deep: it has {len(names)} names, max {RPC_PATH_STEPS_MAX}")
    return tuple(names)


def _headers(pairs: object) -> Headers:
    headers = Headers()
    if pairs is None:
        return headers
    if not isinstance(pairs, list) or len(pairs) > HEADERS_MAX:
        raise TypeError(f"its headers are no list of at most {HEADERS_MAX} pairs")
    size = 0
    for pair in pairs:
        name, value = pair
        if not isinstance(name, str) or not isinstance(value, str):
            raise TypeError("a header is no pair of strings")
        size += len(name) + len(value)
        if size > HEADERS_BYTES_MAX:
            raise ValueError(f"its headers have more than {HEADERS_BYTES_MAX} bytes")
        headers.append(name, value)
    return headers


_LEAVES: Final = ("undefined", "inf", "-inf", "nan", "bigint", "date", "bytes")
_READERS: Final[dict[str, Callable[[_Reader, list[Any], int], object]]] = {
    "error": _Reader.error,
    "url": _Reader.url,
    "headers": _Reader.headers,
    "request": _Reader.request,
    "response": _Reader.response,
    "blob": _Reader.blob,
    "import": _Reader.own,
    "pipeline": _Reader.own,
    "remap": _Reader.mapped,
    "export": _Reader.introduced,
    "promise": _Reader.introduced,
    "writable": _Reader.writable,
    "readable": _Reader.readable,
}
_REFERENCES: Final = (Introduced, Own, Mapped, ReadableEnd, WritableEnd, Collected, Streamed)
