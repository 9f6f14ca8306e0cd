"""RootFacets: the facet index of a root object, for as long as the root's own database is open.

What it remembers longer: the highest number given out, and that a number must be committed with its name before a
database of that number is opened. Effects: none.
"""

from __future__ import annotations

from collections.abc import Callable

from perdure.errors import InternalError
from perdure.storage._facet_index import FacetIndex, HostTables
from perdure.storage._layout import Lineage


class RootFacets:
    """See the module. `root_tables` opens the root's database, `commit_count` says how often it committed."""

    def __init__(self, root_tables: Callable[[], HostTables], commit_count: Callable[[], int]) -> None:
        self._root_tables = root_tables
        self._commit_count = commit_count
        self._index: FacetIndex | None = None
        self._number_last = 0
        self._given_out: dict[int, int] = {}  # facet number → commits of the root before it was given out
        self._looked_up: dict[int, Lineage] = {}  # by facet number, until it is opened

    @property
    def index(self) -> FacetIndex:
        """The index; the first use opens the root's database."""
        if self._index is None:
            self._index = FacetIndex(self._root_tables(), number_floor=self._number_last)
        return self._index

    def forget(self) -> None:
        """The root's database is being closed."""
        if self._index is not None:
            self._number_last = self._index.number_last
            self._index = None

    def number(self, parent: int, name: str) -> int:
        """See `RootStore.facet_number`."""
        index = self.index
        last = index.number_last
        number = index.number(parent, name)
        if index.number_last > last:
            self._given_out[number] = self._commit_count()
        return number

    def look_up(self, number: int) -> None:
        """Have `lineage_of_new` know where a facet belongs: it comes while the root's code may use its database."""
        self._looked_up[number] = self.index.lineage(number)

    def remove(self, number: int) -> list[Lineage]:
        """Forget a facet and all below it; returns them, parents first."""
        removed = self.index.remove(number)
        for lineage in removed:
            self._looked_up.pop(lineage[-1], None)
        return removed

    def lineage_of_new(self, number: int) -> Lineage:
        """Where a facet belongs to which nothing was ever committed; called once, when it is first opened."""
        if self._given_out.pop(number, -1) == self._commit_count():
            # Its first commit would be in an earlier record than its name, and a crash could part the two.
            raise InternalError(f"facet {number} was opened before the root committed its number")
        known = self._looked_up.pop(number, None)
        return self.index.lineage(number) if known is None else known
