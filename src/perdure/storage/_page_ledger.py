"""PageLedger: how many pages each database of a root object has, and each of its subtrees.

Told by the event loop what was committed, asked by the threads on which guests write; so it has a lock.
Effects: threads (a lock).
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from perdure.storage._layout import ROOT, Lineage, number_of


class TreeBound(NamedTuple):
    """How many pages database `number` and all below it may have together; `scope` says whose bound it is."""

    number: int
    pages_max: int
    scope: str


class PageLedger:
    """Pages by database number; see the module."""

    __slots__ = ("_lock", "_pages", "_totals")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pages: dict[int, int] = {}
        self._totals: dict[int, int] = {}

    def pages(self, number: int) -> int:
        """The pages of one database, as last committed."""
        return self._pages.get(number, 0)

    def total(self, number: int) -> int:
        """The pages of a database and all below it."""
        return self._totals.get(number, 0)

    def record(self, lineage: Lineage, pages: int) -> None:
        """A database has this many pages now; 0: it is no more."""
        with self._lock:
            self._record(lineage, pages)

    def room(self, lineage: Lineage, bounds: Iterable[TreeBound]) -> tuple[int, TreeBound] | None:
        """The most pages the database may have now, and the bound that says so; None when there is none."""
        own = self.pages(number_of(lineage))
        rooms = [(max(0, bound.pages_max - self.total(bound.number) + own), bound) for bound in bounds]
        return min(rooms, default=None, key=lambda room: room[0])

    def claim(self, lineage: Lineage, pages: int, bounds: Sequence[TreeBound]) -> TreeBound | None:
        """Record `pages`, unless a bound forbids it; then returns that. Shrinking is never forbidden."""
        with self._lock:
            grown = pages - self.pages(number_of(lineage))
            for bound in bounds:
                if grown > 0 and self.total(bound.number) + grown > bound.pages_max:
                    return bound
            self._record(lineage, pages)
        return None

    def _record(self, lineage: Lineage, pages: int) -> None:
        number = number_of(lineage)
        grown = pages - self._pages.get(number, 0)
        if pages:
            self._pages[number] = pages
        else:
            self._pages.pop(number, None)
        if not grown:
            return
        for above in (number_of(ROOT), *lineage):
            total = self._totals.get(above, 0) + grown
            if total:
                self._totals[above] = total
            else:
                self._totals.pop(above, None)
