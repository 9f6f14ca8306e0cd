"""JSON that a stranger wrote, read only when that is quick.

Python's parser lets no other thread run until it is done, and makes a gigabyte of 33 MiB of `[],`. So the values are
counted first, in steps between which others may run. Effects: none.
"""

from __future__ import annotations

import json
from json.decoder import scanstring  # type: ignore[attr-defined]  # typeshed leaves it out
from typing import Any, Final

from perdure.limits import JSON_VALUES_MAX, MIB

_BEFORE_A_VALUE: Final = ",[{"


class TooManyValuesError(ValueError):
    """A text holds more values than may be read at once."""


def read_json(text: str, *, values_max: int = JSON_VALUES_MAX) -> Any:  # noqa: ANN401  # JSON
    """The tree of `text`. Raises TooManyValuesError, or ValueError when it is no JSON."""
    if len(text) > values_max and _counted_quickly(text) > values_max and _counted(text, values_max) > values_max:
        raise TooManyValuesError(f"more than {values_max} values at once")
    return json.loads(text)


def _counted_quickly(text: str) -> int:
    """No fewer than there are: what looks like a value inside a string counts."""
    return sum(_between(text, start, start + MIB) for start in range(0, len(text), MIB))


def _counted(text: str, values_max: int) -> int:
    """How many there are, or some number above `values_max`. Raises ValueError for a string that does not end."""
    count = place = 0
    while count <= values_max:
        quote = text.find('"', place)
        if quote < 0:
            return count + _between(text, place, len(text))
        count += _between(text, place, quote)
        _, place = scanstring(text, quote + 1, True)  # noqa: FBT003  # a function of C, without keywords
    return count


def _between(text: str, start: int, end: int) -> int:
    return sum(text.count(sign, start, end) for sign in _BEFORE_A_VALUE)
