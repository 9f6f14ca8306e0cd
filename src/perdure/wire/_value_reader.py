"""The Python values of trees of Cap'n Web expressions, which a stranger may have made. Effects: none."""

from __future__ import annotations

import base64
import binascii
import math
import re
from collections import Counter
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NoReturn

from perdure.errors import GuestError, PerdureError, ValueNotCloneableError
from perdure.limits import BIGINT_DIGITS_MAX, COLLISIONS_MAX, SPARSE_ITEMS_MAX, VALUE_DEPTH_MAX
from perdure.wire._capabilities import Resolver
from perdure.wire._foreign import (
    DATE_MS_MAX,
    SAFE_INTEGER_MAX,
    SAFE_INTEGER_MIN,
    BigInt,
    DateNumber,
    MapDict,
    MapItems,
    RegExp,
    SetItems,
    TypedBytes,
)
from perdure.wire._sharing import check_copies, holds_references, reference

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_SAME_IN_JSON: Final = frozenset({str, bool, type(None)})
_STRINGS_ONLY: Final = {str}


def from_expression(expression: object, capabilities: Resolver | None = None) -> object:
    """The value of a JSON tree; see `decode`. `capabilities` reads what was passed by reference."""
    kind = type(expression)
    if kind in _SAME_IN_JSON:
        return expression
    if kind is list and expression and expression[0] == "graph":  # type: ignore[index]  # kind is list
        return _read_graph(expression, capabilities)
    return _read_plain(expression, 0) if capabilities is None else _Reader(capabilities).value(expression, 0)


class ReferenceMetError(ValueNotCloneableError):
    """Something that is passed by reference stands in a value that is read without anybody who knows it."""


def _malformed(what: str, why: object) -> NoReturn:
    raise ValueNotCloneableError(f"a `{what}` value is malformed: {why}") from None


_MALFORMED: Final = (LookupError, ValueError, TypeError, AttributeError, OverflowError, binascii.Error)


def _read_graph(expression: object, capabilities: Resolver | None) -> object:
    try:
        _, root, entries = _items(expression)
        check_copies(root, _items(entries))
    except _MALFORMED as error:
        _malformed("graph", error)
    return _GraphReader(_items(entries), capabilities).value(root, 0)


class _Reader:
    """Reads trees of values in which each stands in one place. Has no state of its own."""

    __slots__ = ("_capabilities",)

    def __init__(self, capabilities: Resolver | None = None) -> None:
        self._capabilities = capabilities

    def value(self, expression: Any, depth: int) -> object:  # noqa: ANN401  # JSON
        """The value of an expression that stands in `depth` others."""
        kind = type(expression)
        if kind is int:
            return expression if SAFE_INTEGER_MIN <= expression <= SAFE_INTEGER_MAX else _large_number(expression)
        if kind is not list and kind is not dict:
            return expression
        if depth > VALUE_DEPTH_MAX:
            raise ValueNotCloneableError(f"a value is nested deeper than {VALUE_DEPTH_MAX} levels")
        depth += 1
        if kind is dict:
            return self.read_object(expression, depth)
        if len(expression) == 1 and type(expression[0]) is list:
            return self.read_array(expression[0], depth)
        return self._tagged(expression, depth)

    # Most items are strings and integers: these are not worth a call each.

    def read_object(self, expression: dict[str, object], depth: int) -> dict[str, object]:
        """A plain object."""
        value, least, most = self.value, SAFE_INTEGER_MIN, SAFE_INTEGER_MAX
        return {
            key: item
            if type(item) in _SAME_IN_JSON or (type(item) is int and least <= item <= most)
            else value(item, depth)
            for key, item in expression.items()
        }

    def read_array(self, items: list[object], depth: int) -> list[object]:
        """An array without holes."""
        value, least, most = self.value, SAFE_INTEGER_MIN, SAFE_INTEGER_MAX
        return [
            item if type(item) in _SAME_IN_JSON or (type(item) is int and least <= item <= most) else value(item, depth)
            for item in items
        ]

    def _tagged(self, expression: list[object], depth: int) -> object:
        tag = expression[0] if expression else None
        read = _READERS.get(tag) if isinstance(tag, str) else None
        if read is None:
            named = tag[:40] if isinstance(tag, str) else type(tag).__name__
            raise ValueNotCloneableError(f"`{named}` is no kind of value we know: one of {', '.join(_READERS)}")
        try:
            return read(self, expression, depth)
        except PerdureError:
            raise
        except _MALFORMED as error:
            _malformed(str(tag), error)

    def reference(self, expression: list[object]) -> object:
        """What was passed by reference."""
        if self._capabilities is None:
            raise ReferenceMetError(
                "a function, a target or a stub stands where only copies can: send it as an argument, or return it"
            )
        return self._capabilities.resolve(expression)

    # What contains others is made in two steps, so that these may refer to it.

    def claim(self) -> Callable[[object], None]:
        """Where a value is to be noted as soon as it is there, still empty."""
        return _noted_nowhere

    def holds_references(self, trees: Iterable[object]) -> bool:
        """Whether some of these may be contained in themselves."""
        return False

    def read_map(self, expression: list[object], depth: int) -> object:
        note = self.claim()
        pairs = [_pair(pair) for pair in _items(expression[1])]
        keys = self._keys([key for key, _ in pairs], depth)
        if keys is None:
            entries = MapItems()
            note(entries)
            entries.extend((self.value(key, depth), self.value(item, depth)) for key, item in pairs)
            return entries
        made: dict[object, object] = MapDict() if {*map(type, keys)} <= _STRINGS_ONLY else {}
        note(made)
        for key, (_, item) in zip(keys, pairs, strict=True):
            made[key] = self.value(item, depth)
        return made

    def read_set(self, expression: list[object], depth: int) -> object:
        note = self.claim()
        expressions = _items(expression[1])
        keys = self._keys(expressions, depth)
        members: object
        if keys is not None:
            members = set(keys)
            note(members)
            return members
        members = SetItems()
        note(members)
        members.extend(self.value(item, depth) for item in expressions)
        return members

    def _keys(self, expressions: list[object], depth: int) -> list[object] | None:
        """Keys of a dict, or members of a set; None when Python cannot tell them apart, or not hash them.

        Hashes of numbers are known to all: many equal ones are an attack.
        """
        if self.holds_references(expressions):
            return None
        keys = [_key(self.value(expression, depth)) for expression in expressions]
        try:
            hashes = [hash(key) for key in keys]
        except TypeError:
            return None
        if len(keys) > COLLISIONS_MAX and Counter(hashes).most_common(1)[0][1] > COLLISIONS_MAX:
            raise ValueError("too many of its keys have the same hash")
        return keys if len(set(keys)) == len(keys) else None

    def read_error(self, expression: list[object], depth: int) -> object:
        note = self.claim()
        error = GuestError(_text(expression[2]), type_name=_text(expression[1]))
        note(error)
        properties = expression[4] if len(expression) > 4 else {}  # the fifth are its properties
        if not isinstance(properties, dict):
            raise TypeError("its properties are no object")
        error.properties.update((name, self.value(item, depth)) for name, item in properties.items())
        cause = error.properties.pop("cause", None)
        if isinstance(cause, BaseException):
            error.__cause__ = cause
        elif cause is not None:
            error.properties["cause"] = cause
        return error

    def read_sparse(self, expression: list[object], depth: int) -> object:
        """An array with holes. It is written as a graph, whose reader counts what all of them need."""
        raise ValueError("it stands in no graph")


class _GraphReader(_Reader):
    """Reads values that stand in several places: entry by entry, each when it is first referred to."""

    __slots__ = ("_claimed", "_entries", "_sparse_items_left", "_values")

    def __init__(self, entries: list[object], capabilities: Resolver | None) -> None:
        super().__init__(capabilities)
        self._entries = entries
        self._sparse_items_left = SPARSE_ITEMS_MAX
        self._values: dict[int, object] = {}
        self._claimed: int | None = None  # the entry that is read next

    def value(self, expression: object, depth: int) -> object:
        if type(expression) is list and expression[:1] == ["ref"]:
            return self._referred(reference(expression, len(self._entries)), depth)
        return super().value(expression, depth)

    def claim(self) -> Callable[[object], None]:
        number, self._claimed = self._claimed, None
        return _noted_nowhere if number is None else lambda value: self._values.__setitem__(number, value)

    def holds_references(self, trees: Iterable[object]) -> bool:
        return holds_references(trees)

    def _referred(self, number: int, depth: int) -> object:
        if number not in self._values:
            if number == self._claimed:
                _malformed("ref", "it refers to itself")
            self._claimed = number
            value = self.value(self._entries[number], depth)
            self._claimed = None
            self._values.setdefault(number, value)
        return self._values[number]

    # Loops: a comprehension is one more frame.

    def read_object(self, expression: dict[str, object], depth: int) -> dict[str, object]:
        made: dict[str, object] = {}
        self.claim()(made)
        for key, item in expression.items():
            made[key] = self.value(item, depth)
        return made

    def read_array(self, items: list[object], depth: int) -> list[object]:
        made: list[object] = []
        self.claim()(made)
        for item in items:
            made.append(self.value(item, depth))  # noqa: PERF401  # see above
        return made

    def read_sparse(self, expression: list[object], depth: int) -> object:
        note = self.claim()
        length = expression[1]
        if type(length) is not int or length < 0:
            raise TypeError("its length is none")
        self._sparse_items_left -= length
        if self._sparse_items_left < 0:
            raise ValueError(f"arrays with holes may have {SPARSE_ITEMS_MAX} items in one value, for Python")
        items: list[object] = [None] * length
        note(items)
        for place, item in map(_pair, _items(expression[2])):
            if type(place) is not int or not 0 <= place < length:
                raise ValueError("the place of an item is none")
            items[place] = self.value(item, depth)
        return items


def _noted_nowhere(value: object) -> None:
    """For what nothing refers to."""


def _large_number(number: int) -> float:
    """JavaScript writes whole numbers as their digits. An integer of Python's that is so large is tagged."""
    try:
        return float(number)
    except OverflowError as error:
        _malformed("number", error)


def _read_bigint(reader: _Reader, expression: list[object], depth: int) -> object:
    digits = _text(expression[1])
    if len(digits.removeprefix("-")) > BIGINT_DIGITS_MAX:
        raise ValueError(f"it has {len(digits)} digits, the limit is {BIGINT_DIGITS_MAX}")
    if not re.fullmatch(r"-?[0-9]+", digits):
        raise ValueError("its digits are not decimal")
    value = int(digits)
    return BigInt(value) if SAFE_INTEGER_MIN <= value <= SAFE_INTEGER_MAX else value


def _read_date(reader: _Reader, expression: list[object], depth: int) -> object:
    milliseconds = expression[1]
    if milliseconds is None:
        return DateNumber(math.nan)
    if isinstance(milliseconds, bool) or not isinstance(milliseconds, int | float):
        raise TypeError("its time is no number")
    if not abs(milliseconds) <= DATE_MS_MAX:
        raise ValueError("its time is out of range")
    try:
        return _EPOCH + timedelta(milliseconds=milliseconds)
    except OverflowError:
        return DateNumber(milliseconds)


def _read_bytes(reader: _Reader, expression: list[object], depth: int) -> object:
    content = base64.b64decode(_text(expression[1]), validate=True)
    kind = expression[2] if len(expression) > 2 else "Uint8Array"  # the third is the kind
    return content if kind == "Uint8Array" else TypedBytes(content, _text(kind))


def _key(value: object) -> object:
    """What may be a key or a member of a set: tuples and frozensets were written as lists and sets."""
    if type(value) is list:
        return tuple(_key(item) for item in value)
    return frozenset(value) if type(value) is set else value


def _pair(value: object) -> tuple[object, object]:
    key, item = _items(value)
    return key, item


def _items(value: object) -> list[object]:
    if not isinstance(value, list):
        raise TypeError("a list was expected")
    return value


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("a string was expected")
    return value


_READERS: Final[dict[str, Callable[[_Reader, list[object], int], object]]] = {
    "undefined": lambda reader, expression, depth: None,
    "inf": lambda reader, expression, depth: math.inf,
    "-inf": lambda reader, expression, depth: -math.inf,
    "nan": lambda reader, expression, depth: math.nan,
    "-0": lambda reader, expression, depth: -0.0,
    "bigint": _read_bigint,
    "date": _read_date,
    "bytes": _read_bytes,
    "map": lambda reader, expression, depth: reader.read_map(expression, depth),
    "set": lambda reader, expression, depth: reader.read_set(expression, depth),
    "regexp": lambda reader, expression, depth: RegExp(_text(expression[1]), _text(expression[2])),
    "error": lambda reader, expression, depth: reader.read_error(expression, depth),
    "url": lambda reader, expression, depth: _text(expression[1]),
    "sparse": lambda reader, expression, depth: reader.read_sparse(expression, depth),
    "boxed": lambda reader, expression, depth: reader.value(expression[1], depth),
    "export": lambda reader, expression, depth: reader.reference(expression),
    "import": lambda reader, expression, depth: reader.reference(expression),
    "channel": lambda reader, expression, depth: reader.reference(expression),
}

_read_plain: Final = _Reader().value
