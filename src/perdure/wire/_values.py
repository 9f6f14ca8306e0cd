"""The value codec: Python values ⇄ Cap'n Web expressions, as JSON text.

The same text is stored by kv, crosses between host and guest, and between objects. Plain JSON stands for itself,
except that an array is wrapped in one more array; `["tag", …]` is whatever JSON lacks. Beyond Cap'n Web we use
`map`, `set` and `regexp` (never sent to a foreign peer). Reading is defensive: a guest may have written the text.
Effects: none.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from perdure.errors import GuestError, ValueNotCloneableError
from perdure.limits import BIGINT_DIGITS_MAX, COLLISIONS_MAX, INLINE_VALUES_MAX, VALUE_DEPTH_MAX

SAFE_INTEGER_MAX: Final = 2**53 - 1
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_BIGINT_END: Final = 10**BIGINT_DIGITS_MAX
_TEXT_LIKE_A_VALUE: Final = 64  # so many characters are converted in the time of one value
_SPACELESS: Final = json.JSONEncoder(separators=(",", ":"), allow_nan=False)


@dataclass(frozen=True, slots=True)
class RegExp:
    """A regular expression that came from elsewhere: JavaScript's `source` and `flags`.

    It is only text until its receiver compiles it: a pattern can be made to compile for minutes, and to match for ever.
    """

    source: str
    flags: str = ""

    def compile(self) -> re.Pattern[str]:
        """The pattern, read as one of Python's. Raises re.error."""
        flags = re.RegexFlag(0)
        for letter in self.flags:
            flags |= _REGEXP_FLAGS.get(letter, 0)
        return re.compile(self.source, flags)


def encode(value: object) -> str:
    """The expression for `value`, as JSON text in ASCII.

    Raises ValueNotCloneableError for what cannot be copied: functions, class instances, naive datetimes, values that
    contain themselves or are nested deeper than `VALUE_DEPTH_MAX`.
    """
    return _SPACELESS.encode(to_expression(value))


def decode(text: str) -> object:
    """The value that `encode` wrote, here or in a guest. Raises ValueNotCloneableError if it is none."""
    try:
        expression = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueNotCloneableError(f"a value crossed a boundary as malformed JSON: {error}") from None
    return from_expression(expression)


def to_expression(value: object, around: set[int] | None = None) -> object:
    """The JSON-able tree for `value`; see `encode`. `around` holds the ids of the values that `value` is nested in."""
    kind = type(value)
    if value is None or kind is str or kind is bool:
        return value
    if kind is int:
        return value if -SAFE_INTEGER_MAX <= value <= SAFE_INTEGER_MAX else ["bigint", _decimal(value)]  # type: ignore[operator, arg-type]  # kind is int
    if kind is float:
        return value if math.isfinite(value) else [_non_finite(value)]  # type: ignore[arg-type]  # kind is float
    around = set() if around is None else around
    mark = id(value)
    if mark in around:
        raise ValueNotCloneableError(f"a `{kind.__name__}` contains itself: only trees of values are stored or sent")
    if len(around) >= VALUE_DEPTH_MAX:
        raise ValueNotCloneableError(
            f"a value is nested deeper than {VALUE_DEPTH_MAX} levels: flatten it before it is stored or sent"
        )
    around.add(mark)
    tree = _compound(value, around)
    around.discard(mark)
    return tree


def _decimal(value: int) -> str:
    if abs(value) >= _BIGINT_END:
        raise ValueNotCloneableError(
            f"an integer of {value.bit_length()} bits is too large to store or send: keep it as text or bytes"
        )
    return str(value)


def _non_finite(value: float) -> str:
    return "nan" if math.isnan(value) else "inf" if value > 0 else "-inf"


def _compound(value: object, around: set[int]) -> object:
    match value:
        case dict():
            if all(type(key) is str for key in value):
                return {key: to_expression(item, around) for key, item in value.items()}
            return ["map", [[to_expression(key, around), to_expression(item, around)] for key, item in value.items()]]
        case list() | tuple():
            return [[to_expression(item, around) for item in value]]
        case bytes() | bytearray() | memoryview():
            return ["bytes", base64.b64encode(bytes(value)).decode("ascii")]
        case datetime():
            return ["date", _milliseconds(value)]
        case set() | frozenset():
            return ["set", [to_expression(item, around) for item in value]]
        case RegExp():
            return ["regexp", value.source, value.flags]
        case re.Pattern():
            return _pattern(value)
        case GuestError():
            return ["error", value.type_name, str(value)]
        case BaseException():
            return ["error", type(value).__name__, str(value)]
        case str():
            return str.__str__(value)  # A member of `class Color(str, Enum)` says something else about itself.
        case int():
            return to_expression(int(value), around)
        case float():
            return to_expression(float(value), around)
        case _:
            raise ValueNotCloneableError(_not_cloneable(value))


def _pattern(value: re.Pattern[str] | re.Pattern[bytes]) -> object:
    if not isinstance(value.pattern, str) or value.flags & (re.VERBOSE | re.ASCII):
        raise ValueNotCloneableError(
            f"a pattern of bytes, or with re.VERBOSE or re.ASCII, cannot be stored or sent: `{value.pattern[:80]!r}`"
        )
    return ["regexp", value.pattern, "".join(letter for letter, flag in _REGEXP_FLAGS.items() if value.flags & flag)]


def _milliseconds(value: datetime) -> float | int:
    if value.tzinfo is None:
        raise ValueNotCloneableError(f"datetime `{value.isoformat()}` has no time zone: use datetime.now(timezone.utc)")
    since = value - _EPOCH
    whole, rest = divmod(since, timedelta(milliseconds=1))
    return whole + rest.microseconds / 1000 if rest else whole


def _not_cloneable(value: object) -> str:
    kind = type(value)
    reason = getattr(kind, "cannot_be_serialized", None)  # What belongs to its owner says so itself.
    if isinstance(reason, str):
        return reason
    hint = "send plain data: None, bool, int, float, str, bytes, list, tuple, dict, set, aware datetime"
    if callable(value):
        hint = "functions cannot be stored or sent yet; " + hint
    elif hasattr(value, "__dataclass_fields__"):
        hint = "use dataclasses.asdict(value)"
    name = f"{kind.__module__}.{kind.__qualname__}"
    return f"could not serialize object of type `{name}`, it does not support serialization: {hint}"


_REGEXP_FLAGS: Final = {"i": re.IGNORECASE, "m": re.MULTILINE, "s": re.DOTALL}


def from_expression(expression: object, depth: int = 0) -> object:
    """The value of a JSON tree; see `decode`."""
    if depth > VALUE_DEPTH_MAX:
        raise ValueNotCloneableError(f"a value is nested deeper than {VALUE_DEPTH_MAX} levels")
    if isinstance(expression, dict):
        return {key: from_expression(item, depth + 1) for key, item in expression.items()}
    if not isinstance(expression, list):
        return expression
    if len(expression) == 1 and isinstance(expression[0], list):
        return [from_expression(item, depth + 1) for item in expression[0]]
    tag = expression[0] if expression else None
    reader = _READERS.get(tag) if isinstance(tag, str) else None
    if reader is None:
        named = tag[:40] if isinstance(tag, str) else type(tag).__name__
        raise ValueNotCloneableError(f"`{named}` is no kind of value we know: one of {', '.join(_READERS)}")
    try:
        return reader(expression, depth + 1)
    except ValueNotCloneableError:
        raise
    except (LookupError, ValueError, TypeError, OverflowError, binascii.Error) as error:
        raise ValueNotCloneableError(f"a `{tag}` value is malformed: {error}") from None


def is_large(value: object) -> bool:
    """True when converting this value, or this JSON tree, takes milliseconds. Quick for both kinds."""
    left = INLINE_VALUES_MAX
    waiting: list[object] = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, str | bytes):
            left -= len(item) // _TEXT_LIKE_A_VALUE
        elif isinstance(item, dict | list | tuple | set | frozenset):
            left -= len(item)
            if left >= 0:
                waiting.extend(item.values() if isinstance(item, dict) else item)
        if left < 0:
            return True
    return False


def _read_bigint(expression: list[object], depth: int) -> object:
    digits = _text(expression[1])
    if len(digits.removeprefix("-")) > BIGINT_DIGITS_MAX:
        raise ValueError(f"it has {len(digits)} digits, the limit is {BIGINT_DIGITS_MAX}")
    if not re.fullmatch(r"-?[0-9]+", digits):
        raise ValueError("its digits are not decimal")
    return int(digits)


def _read_date(expression: list[object], depth: int) -> object:
    milliseconds = expression[1]
    if isinstance(milliseconds, bool) or not isinstance(milliseconds, int | float):
        raise TypeError("its time is no number")
    return _EPOCH + timedelta(milliseconds=milliseconds)


def _read_map(expression: list[object], depth: int) -> object:
    pairs = _pairs(expression[1])
    keys = _keys([key for key, _ in pairs], depth)
    return dict(zip(keys, [from_expression(item, depth) for _, item in pairs], strict=True))


def _read_set(expression: list[object], depth: int) -> object:
    return set(_keys(_items(expression[1]), depth))


def _keys(expressions: list[object], depth: int) -> list[object]:
    """Keys of a map, or members of a set. Hashes of numbers are known to all: many equal ones are an attack."""
    keys = [_key(from_expression(expression, depth)) for expression in expressions]
    if len(keys) > COLLISIONS_MAX and Counter(map(hash, keys)).most_common(1)[0][1] > COLLISIONS_MAX:
        raise ValueError("too many of its keys have the same hash")
    return keys


def _key(value: object) -> object:
    """What may be a key or a member of a set: tuples and frozensets were written as lists and sets."""
    if isinstance(value, list):
        return tuple(_key(item) for item in value)
    return frozenset(value) if isinstance(value, set) else value


def _read_error(expression: list[object], depth: int) -> object:
    return GuestError(_text(expression[2]), type_name=_text(expression[1]))


def _read_regexp(expression: list[object], depth: int) -> object:
    return RegExp(_text(expression[1]), _text(expression[2]))


def _pairs(value: object) -> list[tuple[object, object]]:
    pairs = [_items(pair) for pair in _items(value)]
    return [(key, item) for key, item in pairs]


def _items(value: object) -> list[object]:
    if not isinstance(value, list):
        raise TypeError("a list was expected")
    return value


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("a string was expected")
    return value


_READERS: Final[dict[str, Callable[[list[object], int], object]]] = {
    "undefined": lambda expression, depth: None,
    "inf": lambda expression, depth: math.inf,
    "-inf": lambda expression, depth: -math.inf,
    "nan": lambda expression, depth: math.nan,
    "bigint": _read_bigint,
    "date": _read_date,
    "bytes": lambda expression, depth: base64.b64decode(_text(expression[1]), validate=True),
    "map": _read_map,
    "set": _read_set,
    "regexp": _read_regexp,
    "error": _read_error,
    "url": lambda expression, depth: _text(expression[1]),
}
