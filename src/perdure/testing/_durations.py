"""Spans of time as people write them: `90`, `"1h"`, `"2d12h"`, `"250ms"`. Effects: none."""

from __future__ import annotations

import re
from typing import Final

from perdure.errors import UsageError

_UNITS_S: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_PART: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")


def seconds(span: float | str) -> float:
    """How many seconds `span` is. Raises UsageError."""
    if isinstance(span, str):
        parts = _PART.findall(span.replace(" ", ""))
        if not parts or "".join(number + unit for number, unit in parts) != span.replace(" ", ""):
            raise UsageError(f"`{span}` is no span of time: write seconds as a number, or such as '90s', '1h', '2d12h'")
        span = sum(float(number) * _UNITS_S[unit] for number, unit in parts)
    if span < 0:
        raise UsageError(f"time cannot be moved by `{span}` seconds: it never goes back")
    return float(span)
