"""Rows as JSON: what JSON lacks is an object that says what it is, `{"blob": base64}` or `{"real": "inf"}`.

Effects: none.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Sequence


def cells(rows: Sequence[tuple[object, ...]]) -> list[object]:
    """Rows of SQLite's values as JSON."""
    return [[_cell(value) for value in row] for row in rows]


def _cell(value: object) -> object:
    """A value of SQLite's as JSON: what JSON lacks is an object that says what it is."""
    if isinstance(value, bytes):
        return {"blob": base64.b64encode(value).decode("ascii")}
    if isinstance(value, float) and not math.isfinite(value):
        return {"real": "inf" if value > 0 else "-inf"}
    return value
