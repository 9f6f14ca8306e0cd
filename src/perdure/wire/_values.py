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
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final

from perdure.errors import GuestError, ValueNotCloneableError
from perdure.limits import BIGINT_DIGITS_MAX, VALUE_DEPTH_MAX

SAFE_INTEGER_MAX: Final = 2**53 - 1
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_SPACELESS: Final = json.JSONEncoder(separators=(",", ":"), allow_nan=False)


def encode(value: object) -> str:
    """The expression for `value`, as JSON text in ASCII.

    Raises ValueNotCloneableError for what cannot be copied: functions, class instances, naive datetimes, values
    nested deeper than `VALUE_DEPTH_MAX` (a cycle ends there too).
    """
    return _SPACELESS.encode(to_expression(value))


def decode(text: str) -> object:
    """The value that `encode`, or the JavaScript guest's encoder, wrote. Raises ValueNotCloneableError if it is none."""
    try:
        expression = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueNotCloneableError(f"a value crossed a boundary as malformed JSON: {error}") from None
    return from_expression(expression)


def to_expression(value: object, depth: int = 0) -> object:
    """The JSON-able tree for `value`; see `encode`."""
    kind = type(value)
    if value is None or kind is str or kind is bool:
        return value
    if kind is int:
        return value if -SAFE_INTEGER_MAX <= value <= SAFE_INTEGER_MAX else ["bigint", _decimal(value)]  # type: ignore[operator, arg-type]  # kind is int
    if kind is float:
        return value if math.isfinite(value) else [_non_finite(value)]  # type: ignore[arg-type]  # kind is float
    if depth >= VALUE_DEPTH_MAX:
        raise ValueNotCloneableError(
            f"a value is nested deeper than {VALUE_DEPTH_MAX} levels, or contains itself: flatten it before it is stored or sent"
        )
    return _compound(value, depth + 1)


def _decimal(value: int) -> str:
    if value.bit_length() > BIGINT_DIGITS_MAX * 3:
        raise ValueNotCloneableError(
            f"an integer of {value.bit_length()} bits is too large to store or send: keep it as text or bytes"
        )
    return str(value)


def _non_finite(value: float) -> str:
    return "nan" if math.isnan(value) else "inf" if value > 0 else "-inf"


def _compound(value: object, depth: int) -> object:
    match value:
        case dict():
            if all(type(key) is str for key in value):
                return {key: to_expression(item, depth) for key, item in value.items()}
            return ["map", [[to_expression(key, depth), to_expression(item, depth)] for key, item in value.items()]]
        case list() | tuple():
            return [[to_expression(item, depth) for item in value]]
        case bytes() | bytearray() | memoryview():
            return ["bytes", base64.b64encode(value).decode("ascii")]
        case datetime():
            return ["date", _milliseconds(value)]
        case set() | frozenset():
            return ["set", [to_expression(item, depth) for item in value]]
        case re.Pattern():
            return [
                "regexp",
                value.pattern,
                "".join(letter for letter, flag in _REGEXP_FLAGS.items() if value.flags & flag),
            ]
        case BaseException():
            return ["error", type(value).__name__, str(value)]
        case str():
            return str(value)
        case int():
            return to_expression(int(value), depth)
        case float():
            return to_expression(float(value), depth)
        case _:
            raise ValueNotCloneableError(_not_cloneable(value))


def _milliseconds(value: datetime) -> float | int:
    if value.tzinfo is None:
        raise ValueNotCloneableError(f"datetime `{value.isoformat()}` has no time zone: use datetime.now(timezone.utc)")
    since = value - _EPOCH
    whole, rest = divmod(since, timedelta(milliseconds=1))
    return whole + rest.microseconds / 1000 if rest else whole


def _not_cloneable(value: object) -> str:
    kind = type(value)
    hint = "send plain data: None, bool, int, float, str, bytes, list, tuple, dict, set, aware datetime"
    if callable(value):
        hint = "functions cannot be stored or sent yet; " + hint
    elif hasattr(value, "__dataclass_fields__"):
        hint = "use dataclasses.asdict(value)"
    return f"could not serialize object of type `{kind.__module__}.{kind.__qualname__}`, it does not support serialization: {hint}"


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
        raise ValueNotCloneableError(f"`{str(tag)[:40]}` is no kind of value we know: one of {', '.join(_READERS)}")
    try:
        return reader(expression, depth + 1)
    except (LookupError, ValueError, TypeError, OverflowError, binascii.Error, re.error) as error:
        raise ValueNotCloneableError(f"a `{tag}` value is malformed: {error}") from None


def _read_bigint(expression: list[object], depth: int) -> object:
    digits = _text(expression[1])
    if len(digits) > BIGINT_DIGITS_MAX:
        raise ValueError(f"it has {len(digits)} digits, the limit is {BIGINT_DIGITS_MAX}")
    if not re.fullmatch(r"-?[0-9]+", digits):
        raise ValueError("its digits are not decimal")
    return int(digits)


def _read_date(expression: list[object], depth: int) -> object:
    milliseconds = expression[1]
    if not isinstance(milliseconds, int | float):
        raise TypeError("its time is no number")
    return _EPOCH + timedelta(milliseconds=milliseconds)


def _read_map(expression: list[object], depth: int) -> object:
    return {from_expression(key, depth): from_expression(item, depth) for key, item in _pairs(expression[1])}


def _read_error(expression: list[object], depth: int) -> object:
    return GuestError(_text(expression[2]), type_name=_text(expression[1]))


def _read_regexp(expression: list[object], depth: int) -> object:
    flags = re.RegexFlag(0)
    for letter in _text(expression[2]):
        flags |= _REGEXP_FLAGS.get(letter, 0)
    return re.compile(_text(expression[1]), flags)


def _pairs(value: object) -> list[tuple[object, object]]:
    return [(key, item) for key, item in _items(value)]  # type: ignore[misc]  # unpacking checks the shape


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
    "set": lambda expression, depth: {from_expression(item, depth) for item in _items(expression[1])},
    "regexp": _read_regexp,
    "error": _read_error,
    "url": lambda expression, depth: _text(expression[1]),
}
