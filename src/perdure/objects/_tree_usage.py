"""The meters of one root object and of all its facets, and which of them are still to be written down.

Meters that are *kept* are durable: those of facets with a budget, and those that somebody asked for. The others live in
memory, and cost no write. Meters are taken from the table when they are first wanted, and go on from there, whoever
of the tree is evicted or reset. Effects: none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import islice
from typing import Final

from perdure.storage import UsageRow

_NS_PER_MS: Final = 1_000_000
_NS_PER_US: Final = 1_000


@dataclass(slots=True)
class Meter:
    """Totals of one facet and all below it, ever since it was made."""

    requests: int = 0
    cpu_ns: int = 0
    rows_read: int = 0
    rows_written: int = 0
    last_used_ms: int = 0
    is_kept: bool = False

    def used(self, limit: str) -> int:
        """The amount that a budget of this name bounds."""
        return self.cpu_ns // _NS_PER_MS if limit == "cpu_ms" else int(getattr(self, limit))


def _nobody(tree: TreeUsage, *, is_urgent: bool) -> None:
    """Nobody writes it down."""


class TreeUsage:
    """Meters by the number of their database. `changed` hears whenever there is something new to write."""

    __slots__ = ("__weakref__", "_changed", "_meters", "_unwritten")

    def __init__(self, changed: Callable[..., None] = _nobody) -> None:
        self._changed = changed
        self._meters: dict[int, Meter] = {}
        self._unwritten: set[int] = set()

    def meter(self, number: int, read: Callable[[int], UsageRow | None]) -> Meter:
        """The meter of a database; `read` gives what was written of it, if it is not in memory."""
        meter = self._meters.get(number)
        if meter is None:
            row = read(number)
            meter = self._meters[number] = Meter() if row is None else _meter_of(row)
        return meter

    def begin(self, number: int) -> Meter:
        """The meter of a facet that was just made: nothing was ever written of it."""
        meter = self._meters[number] = Meter()
        return meter

    def keep(self, number: int) -> None:
        """From now on its totals are durable."""
        meter = self._meters.get(number)
        if meter is not None and not meter.is_kept:
            meter.is_kept = True
            self.count(number)

    def count(self, number: int) -> None:
        """A meter has moved."""
        meter = self._meters.get(number)
        if meter is not None and meter.is_kept:
            self._unwritten.add(number)
            self._changed(self, is_urgent=False)

    def overdrawn(self, number: int) -> None:
        """A budget is used up: what says so is written now, so that no crash gives any of it back."""
        if number in self._unwritten:
            self._changed(self, is_urgent=True)

    def forget(self, number: int) -> None:
        """A facet is deleted."""
        self._meters.pop(number, None)
        self._unwritten.discard(number)

    def clear(self) -> None:
        """The object is deleted with all its facets; it may be made again, with the same numbers."""
        self._meters.clear()
        self._unwritten.clear()

    @property
    def unwritten_count(self) -> int:
        """How many totals are newer than what is written."""
        return len(self._unwritten)

    def take(self, count: int) -> list[UsageRow]:
        """Up to `count` rows to write. Who cannot write them hands them to `give_back`."""
        numbers = list(islice(self._unwritten, count))
        self._unwritten.difference_update(numbers)
        return [_row_of(number, self._meters[number]) for number in numbers]

    def give_back(self, rows: Iterable[UsageRow]) -> None:
        """They were not written; those of facets deleted meanwhile are no longer wanted."""
        self._unwritten.update(row.number for row in rows if row.number in self._meters)


def _row_of(number: int, meter: Meter) -> UsageRow:
    cpu_us = -(-meter.cpu_ns // _NS_PER_US)  # Rounded up: no number of restarts makes CPU time free.
    return UsageRow(number, meter.requests, cpu_us, meter.rows_read, meter.rows_written, meter.last_used_ms)


def _meter_of(row: UsageRow) -> Meter:
    cpu_ns = row.cpu_us * _NS_PER_US
    return Meter(row.requests, cpu_ns, row.rows_read, row.rows_written, row.last_used_ms, is_kept=True)
