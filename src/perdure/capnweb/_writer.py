"""Expressions of values, for a foreign peer.

It gets what the protocol defines and nothing of ours: what JavaScript clones and Cap'n Web lacks (maps, sets, patterns)
is refused with what to send instead, and so is a value that contains itself. Effects: none.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable
from datetime import datetime
from typing import Any, Final, Protocol

from perdure.errors import GuestError, ValueNotCloneableError
from perdure.limits import ERROR_PROPERTIES_BYTES_MAX, ERROR_PROPERTIES_MAX, JSON_VALUES_MAX, VALUE_DEPTH_MAX
from perdure.web import Headers, ReadableStream, Request, Response
from perdure.wire import DateNumber, MapDict, MapItems, RegExp, SetItems, TypedBytes, to_expression

_SAME_IN_JSON: Final = frozenset({str, bool, type(None)})
_PROTOCOLS_OWN: Final = frozenset(
    {"name", "message", "stack", "cause"} | {"remote", "retryable", "overloaded", "durable_object_reset"}
    | {"properties", "type_name", "guest_traceback"}
)  # fmt: skip


class Introducer(Protocol):
    """The session, as the writer sees it."""

    def introduce(self, value: object) -> list[object] | None:
        """The expression for a capability or a stream; None when `value` is none."""
        ...


def write_expression(value: object, introducer: Introducer) -> object:
    """The JSON tree of a value. Raises ValueNotCloneableError for what a foreign peer cannot be sent."""
    return _Writer(introducer).tree(value, 0)


def write_error(error: BaseException, introducer: Introducer) -> list[object]:
    """The expression of an error, without its stack. Always succeeds: properties that cannot be sent are left out."""
    return _Writer(introducer).error(error, 0)


class _Writer:
    """Writes one value, and counts what it writes."""

    __slots__ = ("_introducer", "_left")

    def __init__(self, introducer: Introducer) -> None:
        self._introducer = introducer
        self._left = JSON_VALUES_MAX

    def tree(self, value: Any, depth: int) -> object:  # noqa: ANN401  # its type is looked at
        kind = type(value)
        self._left -= 1
        if self._left < 0:
            raise ValueNotCloneableError(f"a message holds more than {JSON_VALUES_MAX} values: send it in parts")
        if kind in _SAME_IN_JSON:
            return value
        if kind is int or kind is float:
            return to_expression(value)
        if depth >= VALUE_DEPTH_MAX:
            raise ValueNotCloneableError(
                f"a value is nested deeper than {VALUE_DEPTH_MAX} levels, or contains itself: flatten it"
            )
        if kind is dict:
            return self._object(value, depth + 1)
        if kind is list or kind is tuple:
            return [[self.tree(item, depth + 1) for item in value]]
        introduced = self._introducer.introduce(value)
        return self._special(value, depth + 1) if introduced is None else introduced

    def _object(self, value: dict[object, object], depth: int) -> object:
        made: dict[str, object] = {}
        for key, item in value.items():
            if not isinstance(key, str):
                raise ValueNotCloneableError(
                    f"a dict with the key `{key!r:.40}` cannot be sent to a Cap'n Web peer: use strings, or pairs"
                )
            made[key] = self.tree(item, depth)
        return made

    def _special(self, value: object, depth: int) -> object:
        match value:
            case TypedBytes():
                return ["bytes", base64.b64encode(value).decode("ascii"), value.kind]
            case bytes() | bytearray() | memoryview():
                return ["bytes", base64.b64encode(value).decode("ascii")]
            case datetime() | DateNumber():
                return to_expression(value)
            case Headers():
                return ["headers", _pairs(value)]
            case Request():
                return self._request(value)
            case Response():
                return self._response(value)
            case BaseException():
                return self.error(value, depth)
            case MapDict() | MapItems() | SetItems() | set() | frozenset() | RegExp() | re.Pattern():
                raise ValueNotCloneableError(
                    f"a `{type(value).__name__}` cannot be sent to a Cap'n Web peer, which has none: "
                    "send a list, a dict with strings as keys, or text"
                )
            case dict():
                return self._object(value, depth)
            case list() | tuple():
                return [[self.tree(item, depth) for item in value]]
            case _:
                return to_expression(value)  # A subclass of something plain, or the refusal with its advice.

    def _request(self, request: Request) -> object:
        init: dict[str, object] = {}
        if request.method != "GET":
            init["method"] = request.method
        if pairs := _pairs(request.headers):
            init["headers"] = pairs
        if request.body is not None:
            init["body"] = self._body(request.body)
            init["duplex"] = "half"
        return ["request", request.url, init]

    def _response(self, response: Response) -> object:
        init: dict[str, object] = {}
        if response.status != 200:
            init["status"] = response.status
        if response.status_text:
            init["statusText"] = response.status_text
        if pairs := _pairs(response.headers):
            init["headers"] = pairs
        return ["response", self._body(response.body), init]

    def _body(self, body: bytes | ReadableStream | None) -> object:
        if body is None or isinstance(body, ReadableStream):
            return body and self._introducer.introduce(body)
        return ["bytes", base64.b64encode(body).decode("ascii")]

    def error(self, error: BaseException, depth: int) -> list[object]:
        kind = error.type_name if isinstance(error, GuestError) else type(error).__name__
        trees: dict[str, object] = {}
        size = 0
        for name, item in _properties(error):
            for tree in self._plain_tree_if_any(item, depth):
                with_it = size + len(name) + len(repr(tree))
                if with_it <= ERROR_PROPERTIES_BYTES_MAX and len(trees) < ERROR_PROPERTIES_MAX:
                    trees[name], size = tree, with_it
        return ["error", kind, str(error), None, trees] if trees else ["error", kind, str(error)]

    def _plain_tree_if_any(self, value: object, depth: int) -> Iterable[object]:
        writer = _Writer(_NOTHING)
        writer._left = self._left  # its own class
        try:
            return [writer.tree(value, depth)]
        except ValueNotCloneableError:
            return []


class _Nothing:
    """An error takes no capability along: who holds it never releases it."""

    def introduce(self, value: object) -> None:
        return None


_NOTHING: Final = _Nothing()


def _properties(error: BaseException) -> Iterable[tuple[str, object]]:
    given = error.properties if isinstance(error, GuestError) else vars(error)
    yield from ((name, item) for name, item in given.items() if not name.startswith("_") and name not in _PROTOCOLS_OWN)
    if error.__cause__ is not None:
        yield "cause", error.__cause__


def _pairs(headers: Headers) -> list[list[str]]:
    return [[name, value] for name, value in headers.multi_items()]
