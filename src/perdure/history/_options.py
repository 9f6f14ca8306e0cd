"""HistoryOptions: how much of the past is kept. Effects: none."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from perdure.errors import ConfigurationError
from perdure.limits import HISTORY_AGE_DAYS_DEFAULT, HISTORY_BYTES_DEFAULT


@dataclass(frozen=True, slots=True)
class HistoryOptions:
    """What is kept of each object's past: records not older than `max_age`, and not more than `max_bytes` of them.

    Beside them lies one image of the object, as it was before the oldest record kept.
    """

    max_age: timedelta = timedelta(days=HISTORY_AGE_DAYS_DEFAULT)
    max_bytes: int = HISTORY_BYTES_DEFAULT

    def __post_init__(self) -> None:
        if self.max_age <= timedelta(0):
            raise ConfigurationError(f"history: max_age is `{self.max_age}`: give a positive time, or history=None")
        if self.max_bytes <= 0:
            raise ConfigurationError(f"history: max_bytes is `{self.max_bytes}`: give a size, or history=None")
