"""Times as people write them."""

from __future__ import annotations

import pytest

from perdure.cli._moments import is_moment, milliseconds
from perdure.errors import UsageError

NOW_MS = 1_000_000_000_000


@pytest.mark.parametrize(
    ("text", "at_ms"),
    [
        ("-30s", NOW_MS - 30_000),
        ("-2h", NOW_MS - 7_200_000),
        ("+1d", NOW_MS + 86_400_000),
        ("+250ms", NOW_MS + 250),
        ("now-2h", NOW_MS - 7_200_000),
        ("1970-01-01T00:00:01.250Z", 1_250),
        ("1970-01-01 01:00:01+01:00", 1_000),
        ("1970-01-02", 86_400_000),
    ],
)
def test_times(text: str, at_ms: int) -> None:
    assert is_moment(text)
    assert milliseconds(text, now_ms=NOW_MS) == at_ms


@pytest.mark.parametrize("text", ["", "now", "30s", "-2", "-2 weeks", "0001-0002", "2026-13-01"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is no time"):
        milliseconds(text, now_ms=NOW_MS)
