"""Times as people write them: ISO 8601, or a distance from now such as `-30s`, `-2h`, `now+1d`. Effects: none."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Final

from perdure.errors import UsageError

_UNITS_MS: Final = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_DISTANCE: Final = re.compile(r"(?:now)?([+-])(\d{1,12})(ms|s|m|h|d)")


def is_moment(text: str) -> bool:
    """Whether `text` is a time, or means to be one."""
    return _DISTANCE.fullmatch(text) is not None or re.match(r"\d{4}-\d\d-\d\d", text) is not None


def milliseconds(text: str, *, now_ms: int) -> int:
    """The time in `text` since 1970. Raises UsageError."""
    if match := _DISTANCE.fullmatch(text):
        sign, count, unit = match.groups()
        return now_ms + (1 if sign == "+" else -1) * int(count) * _UNITS_MS[unit]
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(
            f"`{text[:80]}` is no time: write one such as `2026-01-31T12:00:00Z`, `-30s`, `-2h` or `+1d`"
        ) from None
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)
