"""Python values as trees of Cap'n Web expressions; `_values.py` says what these are. Effects: none."""

from __future__ import annotations

import base64
import math
import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from perdure.errors import GuestError, ValueNotCloneableError
from perdure.limits import BIGINT_DIGITS_MAX, VALUE_COPIES_MAX, VALUE_DEPTH_MAX, VALUE_SHARED_DEPTH_MAX
from perdure.wire._capabilities import Introducer
from perdure.wire._foreign import (
    REGEXP_FLAGS,
    SAFE_INTEGER_MAX,
    SAFE_INTEGER_MIN,
    BigInt,
    DateNumber,
    MapDict,
    MapItems,
    RegExp,
    SetItems,
    TypedBytes,
    milliseconds_or_null,
)
from perdure.wire._refusals import hint_for, path_to
from perdure.wire._sharing import check_copies

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_BIGINT_END: Final = 10**BIGINT_DIGITS_MAX
_SHARED_BYTES_MIN: Final = 64  # fewer are copied: many are one and the same object in Python, by chance
_SAME_IN_JSON: Final = frozenset({str, bool, type(None)})
_ATOMS: Final = _SAME_IN_JSON | {int, float}
_STRINGS_ONLY: Final = {str}
_IMMUTABLE: Final = (tuple, frozenset, datetime, str, int, float)


def to_expression(value: object, capabilities: Introducer | None = None) -> object:
    """The JSON-able tree for `value`; see `encode`. `capabilities` writes what is passed by reference."""
    if type(value) in _SAME_IN_JSON:
        return value
    mark = 0 if capabilities is None else capabilities.mark()
    try:
        try:
            writer = _Writer()
            writer.capabilities = capabilities
            return writer.tree(value, 0)
        except _SharedError:
            return _GraphWriter(capabilities, mark).graph(value)
    except _RefusedError as refusal:
        path = path_to(value, refusal.culprit)
        raise ValueNotCloneableError(f"{refusal} (it is the value's `{path}`)" if path else str(refusal)) from None


class _SharedError(Exception):
    """A value was met a second time."""


class _RefusedError(Exception):
    """`culprit` cannot be copied; the text says why."""

    def __init__(self, message: str, culprit: object) -> None:
        super().__init__(message)
        self.culprit = culprit


class _Writer(set[int]):
    """Writes trees of values: a set of the ids that it has met. What it meets twice stops it."""

    __slots__ = ("capabilities",)
    capabilities: Introducer | None
    depth_max = VALUE_DEPTH_MAX

    def tree(self, value: Any, depth: int) -> object:  # noqa: ANN401  # its type is looked at
        """The tree for a value that stands in `depth` others."""
        kind = type(value)
        if kind in _SAME_IN_JSON:
            return value
        if kind is int:
            return value if SAFE_INTEGER_MIN <= value <= SAFE_INTEGER_MAX else ["bigint", _decimal(value)]
        if kind is float:
            return value if math.isfinite(value) else [_non_finite(value)]
        mark = id(value)
        if mark in self:
            raise _SharedError
        self.add(mark)
        return self._contents(value, depth)

    def _contents(self, value: Any, depth: int) -> object:  # noqa: ANN401  # its type is looked at
        if depth >= self.depth_max:
            raise ValueNotCloneableError(
                f"a value is nested deeper than {self.depth_max} levels: flatten it before it is stored or sent"
            )
        depth += 1
        tree = self.tree
        kind = type(value)
        # Most items are strings and integers: these are not worth a call each.
        least, most = SAFE_INTEGER_MIN, SAFE_INTEGER_MAX
        if kind is dict and {*map(type, value)} <= _STRINGS_ONLY:
            return {
                key: item
                if type(item) in _SAME_IN_JSON or (type(item) is int and least <= item <= most)
                else tree(item, depth)
                for key, item in value.items()
            }
        if kind is list or kind is tuple:
            items = [
                item
                if type(item) in _SAME_IN_JSON or (type(item) is int and least <= item <= most)
                else tree(item, depth)
                for item in value
            ]
            return [items]
        return self._special(value, depth)

    def _special(self, value: object, depth: int) -> object:
        match value:
            case TypedBytes():
                return ["bytes", _base64(value), value.kind]
            case bytes() | bytearray() | memoryview():
                return ["bytes", _base64(value)]
            case datetime():
                return ["date", _milliseconds(value)]
            case DateNumber():
                return ["date", milliseconds_or_null(value)]
            case MapItems():
                return ["map", [[self.tree(key, depth), self.tree(item, depth)] for key, item in value]]
            case SetItems():
                return ["set", [self.tree(item, depth) for item in value]]
            case dict():
                if {*map(type, value)} <= _STRINGS_ONLY and not isinstance(value, MapDict):
                    return {key: self.tree(item, depth) for key, item in value.items()}
                return ["map", [[self.key(key, depth), self.tree(item, depth)] for key, item in value.items()]]
            case list() | tuple():
                return [[self.tree(item, depth) for item in value]]
            case set() | frozenset():
                return ["set", [self.key(item, depth) for item in value]]
            case RegExp():
                return ["regexp", value.source, value.flags]
            case re.Pattern():
                return _pattern(value)
            case BaseException():
                return self._error(value, depth)
            case _:
                return self._reference(value)

    def _reference(self, value: object) -> object:
        """What is passed by reference, if somebody here can; else what it is a subclass of."""
        tag = None if self.capabilities is None else self.capabilities.introduce(value)
        return _plainer(value) if tag is None else tag

    def key(self, value: object, depth: int) -> object:
        """What is a key, or a member of a set."""
        return self.tree(value, depth)

    def _error(self, error: BaseException, depth: int) -> object:
        properties = error.properties if isinstance(error, GuestError) else _properties(error)
        kind = error.type_name if isinstance(error, GuestError) else type(error).__name__
        if error.__cause__ is not None:
            properties = {**properties, "cause": error.__cause__}
        trees = {name: tree for name, item in properties.items() for tree in self._tree_if_any(item, depth)}
        return ["error", kind, str(error), None, trees] if trees else ["error", kind, str(error)]

    def _tree_if_any(self, value: object, depth: int) -> Iterable[object]:
        """An error arrives in any case: without those of its properties that cannot be copied."""
        mark = 0 if self.capabilities is None else self.capabilities.mark()
        try:
            return [self.tree(value, depth)]
        except (_RefusedError, ValueNotCloneableError):
            if self.capabilities is not None:
                self.capabilities.rewind(mark)
            return []


class _GraphWriter(_Writer):
    """Writes values that are met more than once: twice, once to learn which these are."""

    __slots__ = ("_copies_left", "_entries", "_first", "_is_key", "_mark", "_numbers", "_shared")
    depth_max = VALUE_SHARED_DEPTH_MAX

    def __init__(self, capabilities: Introducer | None, mark: int) -> None:
        super().__init__()
        self.capabilities = capabilities
        self._mark = mark  # of what was introduced before this value
        self._first: dict[int, object] = {}  # kept alive, so that no id is used twice
        self._shared: set[int] = set()
        self._numbers: dict[int, int] | None = None
        self._entries: list[object] = []
        self._copies_left = VALUE_COPIES_MAX
        self._is_key = False

    def graph(self, value: object) -> object:
        self._start_over()  # Whoever met something twice has introduced what stood before.
        self.tree(value, 0)
        self._start_over()
        self._numbers = {}
        root = self.tree(value, 0)
        if not self._entries:
            return root
        try:
            check_copies(root, self._entries)
        except ValueError as error:
            raise ValueNotCloneableError(f"a value cannot be stored or sent: {error}") from None
        return ["graph", root, self._entries]

    def _start_over(self) -> None:
        if self.capabilities is not None:
            self.capabilities.rewind(self._mark)

    def key(self, value: object, depth: int) -> object:
        was_key, self._is_key = self._is_key, True
        tree = self.tree(value, depth)
        self._is_key = was_key
        return tree

    def tree(self, value: object, depth: int) -> object:
        if type(value) in _ATOMS:
            return super().tree(value, depth)
        mark = id(value)
        if self._is_key or _is_copied(value):
            if self._is_key or mark in self._first:
                self._count_copy()
            self._first[mark] = value
            return self._contents(value, depth)
        if self._numbers is None:
            if mark in self._first:
                self._shared.add(mark)
                return None
            self._first[mark] = value
            return self._contents(value, depth)
        if mark not in self._shared:
            return self._contents(value, depth)
        if mark not in self._numbers:
            number = self._numbers[mark] = len(self._entries)
            self._entries.append(None)
            self._entries[number] = self._contents(value, depth)
        return ["ref", self._numbers[mark]]

    def _count_copy(self) -> None:
        self._copies_left -= 1
        if self._copies_left < 0:
            raise ValueNotCloneableError(
                f"tuples that stand in several places make more than {VALUE_COPIES_MAX} copies: use lists, or fewer"
            )

    def _tree_if_any(self, value: object, depth: int) -> Iterable[object]:
        entries, was_key = len(self._entries), self._is_key
        trees = super()._tree_if_any(value, depth)
        if not trees and self._numbers is not None:
            del self._entries[entries:]
            self._numbers = {mark: number for mark, number in self._numbers.items() if number < entries}
        self._is_key = was_key
        return trees


def _is_copied(value: object) -> bool:
    """Whether it does not matter, in Python, that it is one value in several places."""
    return isinstance(value, _IMMUTABLE) or (type(value) is bytes and len(value) < _SHARED_BYTES_MIN)


def _decimal(value: int) -> str:
    if abs(value) >= _BIGINT_END:
        raise _RefusedError(
            f"an integer of {value.bit_length()} bits is too large to store or send: keep it as text or bytes", value
        )
    return str(int(value))


def _non_finite(value: float) -> str:
    return "nan" if math.isnan(value) else "inf" if value > 0 else "-inf"


def _base64(value: bytes | bytearray | memoryview) -> str:
    return base64.b64encode(bytes(value)).decode("ascii")


def _plainer(value: object) -> object:
    """For subclasses of what JSON has: `class Color(str, Enum)` says something else about itself than its text."""
    match value:
        case str():
            return str.__str__(value)
        case BigInt():
            return ["bigint", _decimal(value)]
        case int() | float():
            return _plain_number(int(value) if isinstance(value, int) else float(value))
        case _:
            raise _RefusedError(hint_for(value), value)


def _plain_number(value: float) -> object:
    if isinstance(value, int):
        return value if SAFE_INTEGER_MIN <= value <= SAFE_INTEGER_MAX else ["bigint", _decimal(value)]
    return value if math.isfinite(value) else [_non_finite(value)]


def _pattern(value: re.Pattern[str] | re.Pattern[bytes]) -> object:
    if not isinstance(value.pattern, str) or value.flags & (re.VERBOSE | re.ASCII):
        raise _RefusedError(
            f"a pattern of bytes, or with re.VERBOSE or re.ASCII, cannot be stored or sent: `{value.pattern[:80]!r}`",
            value,
        )
    return ["regexp", value.pattern, "".join(letter for letter, flag in REGEXP_FLAGS.items() if value.flags & flag)]


def _milliseconds(value: datetime) -> float | int:
    if value.tzinfo is None:
        raise _RefusedError(f"datetime `{value.isoformat()}` has no time zone: use datetime.now(timezone.utc)", value)
    since = value - _EPOCH
    whole, rest = divmod(since, timedelta(milliseconds=1))
    return whole + rest.microseconds / 1000 if rest else whole


def _properties(error: BaseException) -> dict[str, object]:
    """What code of the user hung on an exception of its own."""
    properties = {name: item for name, item in vars(error).items() if not name.startswith("_")}
    return {**properties, "errors": [*error.exceptions]} if isinstance(error, BaseExceptionGroup) else properties
