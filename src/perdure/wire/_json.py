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
    if len(text) > values_max and _count(text, 0, len(text), values_max) > values_max:
        _check(text, values_max)
    return json.loads(text)


def _check(text: str, values_max: int) -> None:
    """Count again without what only looks like a value, inside strings."""
    count = place = 0
    while place < len(text):
        quote = text.find('"', place)
        count += _count(text, place, len(text) if quote < 0 else quote, values_max)
        if count > values_max:
            raise TooManyValuesError(f"more than {values_max} values at once")
        if quote < 0:
            return
        _, place = scanstring(text, quote + 1, True)  # noqa: FBT003  # a function of C, without keywords


def _count(text: str, start: int, end: int, enough: int) -> int:
    """How many values begin in a part of the text, or some number above `enough`. In steps of a millisecond."""
    count = 0
    while start < end and count <= enough:
        step = min(start + MIB, end)
        count += sum(text.count(sign, start, step) for sign in _BEFORE_A_VALUE)
        start = step
    return count
