"""PageLedger: how many pages each database of a root object has, and each of its subtrees.

Told by the event loop what was committed, asked by the threads on which guests write; so it has a lock.
Effects: threads (a lock).
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
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
            exceeded = self._exceeded(pages - self.pages(number_of(lineage)), bounds)
            if exceeded is None:
                self._record(lineage, pages)
        return exceeded

    def hold(self, above: Lineage, pages: int, bounds: Sequence[TreeBound]) -> TreeBound | None:
        """Keep room for `pages` that are about to come below `above`, unless a bound forbids it; then returns that.

        Until `let_go`, or until `claim_all` takes it, the room counts as used.
        """
        with self._lock:
            exceeded = self._exceeded(pages, bounds)
            if exceeded is None:
                self._add(above, pages)
        return exceeded

    def let_go(self, above: Lineage, pages: int) -> None:
        """Give back room that `hold` kept."""
        with self._lock:
            self._add(above, -pages)

    def claim_all(
        self, changes: Mapping[Lineage, int], bounds: Sequence[TreeBound], *, above: Lineage, held: int
    ) -> TreeBound | None:
        """Record the pages of databases below `above` in place of the room held, unless a bound forbids it.

        Then it returns that, and the room is still held. `bounds`: of databases that are `above`, or over it.
        """
        with self._lock:
            grown = sum(pages - self.pages(number_of(lineage)) for lineage, pages in changes.items())
            exceeded = self._exceeded(grown, bounds, held=held)
            if exceeded is None:
                self._add(above, -held)
                for lineage, pages in changes.items():
                    self._record(lineage, pages)
        return exceeded

    def _exceeded(self, grown: int, bounds: Iterable[TreeBound], *, held: int = 0) -> TreeBound | None:
        if grown <= 0:
            return None
        return next((bound for bound in bounds if self.total(bound.number) - held + grown > bound.pages_max), None)

    def _record(self, lineage: Lineage, pages: int) -> None:
        number = number_of(lineage)
        grown = pages - self._pages.get(number, 0)
        if pages:
            self._pages[number] = pages
        else:
            self._pages.pop(number, None)
        if grown:
            self._add(lineage, grown)

    def _add(self, lineage: Lineage, grown: int) -> None:
        for above in (number_of(ROOT), *lineage):
            total = self._totals.get(above, 0) + grown
            if total:
                self._totals[above] = total
            else:
                self._totals.pop(above, None)
