"""What JavaScript has and Python lacks: Python's next type, in a subclass that remembers what it was.

Code that does not care reads plain bytes, ints, lists and dicts; what is sent on arrives in JavaScript as what it was.
Effects: none.
"""

from __future__ import annotations

import math
import re
import struct
from dataclasses import dataclass
from typing import Final, Self

# Bytes of one element, and its letter for `struct`; those without a letter have no elements in Python.
_ELEMENTS: Final = {
    "ArrayBuffer": (1, ""), "DataView": (1, ""), "Uint8Array": (1, "B"), "Uint8ClampedArray": (1, "B"),
    "Int8Array": (1, "b"),
    "Int16Array": (2, "h"), "Uint16Array": (2, "H"), "Float16Array": (2, "e"), "Int32Array": (4, "i"),
    "Uint32Array": (4, "I"), "Float32Array": (4, "f"), "Float64Array": (8, "d"), "BigInt64Array": (8, "q"),
    "BigUint64Array": (8, "Q"),
}  # fmt: skip
BUFFER_KINDS: Final = frozenset(_ELEMENTS)
SAFE_INTEGER_MAX: Final = 2**53 - 1  # of the numbers of JavaScript that are surely whole
SAFE_INTEGER_MIN: Final = -SAFE_INTEGER_MAX
DATE_MS_MAX: Final = 8.64e15  # what a Date of JavaScript can be


class TypedBytes(bytes):
    """The bytes of an `ArrayBuffer`, a `DataView` or a typed array; `kind` says of which. A `Uint8Array` is `bytes`."""

    kind: str

    def __new__(cls, content: bytes, kind: str) -> Self:
        """Raises ValueError for a kind that is none, or whose elements do not fit."""
        if kind not in _ELEMENTS:
            raise ValueError(f"`{kind[:40]}` is no kind of buffer: one of {', '.join(sorted(_ELEMENTS))}")
        size = _ELEMENTS[kind][0]
        if len(content) % size:
            raise ValueError(f"{len(content)} bytes are no whole number of elements of a `{kind}`: each has {size}")
        made = super().__new__(cls, content)
        made.kind = kind
        return made

    def elements(self) -> list[int] | list[float]:
        """The numbers of a typed array. Raises TypeError for an `ArrayBuffer` or a `DataView`, which have none."""
        size, letter = _ELEMENTS[self.kind]
        if not letter:
            raise TypeError(f"a `{self.kind}` has no elements: use the bytes")
        return [*struct.unpack(f"<{len(self) // size}{letter}", self)]

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (bytes(self), self.kind)


class BigInt(int):
    """A `bigint` that would fit a number: it stays one for JavaScript. What is computed with it is an `int`."""

    __slots__ = ()


class DateNumber(float):
    """A `Date` that no `datetime` can hold, in milliseconds since 1970: an invalid one is `nan`."""

    __slots__ = ()


class MapDict(dict[object, object]):
    """A `Map` whose keys are all strings, or that is empty: a `dict` would become a plain object."""

    __slots__ = ()


class MapItems(list[tuple[object, object]]):
    """The entries of a `Map` whose keys no `dict` can hold: such as objects, or `1` and `true`."""

    __slots__ = ()


class SetItems(list[object]):
    """The members of a `Set` that no `set` can hold: such as objects, or `1` and `true`."""

    __slots__ = ()


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
            flags |= REGEXP_FLAGS.get(letter, 0)
        return re.compile(self.source, flags)


REGEXP_FLAGS: Final = {"i": re.IGNORECASE, "m": re.MULTILINE, "s": re.DOTALL}


def milliseconds_or_null(date: DateNumber) -> float | int | None:
    """What stands for the date in an expression."""
    if math.isnan(date):
        return None
    return int(date) if date.is_integer() else float(date)
