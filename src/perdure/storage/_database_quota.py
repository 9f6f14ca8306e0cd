"""DatabaseQuota: how large one database may become, by a bound of its own and by bounds of the trees it is in.

SQLite itself holds the bound while statements run (`max_page_count`), so that no statement oversteps it. Databases of
one tree that write at the same moment could overstep it together: the commit of the last of them fails.
Effects: threads (a lock).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from perdure.errors import QuotaExceededError
from perdure.limits import DATABASE_BYTES_MAX
from perdure.storage._layout import Lineage, number_of
from perdure.storage._page_ledger import PageLedger, TreeBound
from perdure.storage._template import PAGE_SIZE

PAGES_MAX: Final = DATABASE_BYTES_MAX // PAGE_SIZE


class DatabaseQuota:
    """The bounds of one database; they may change while it is open."""

    __slots__ = ("_ledger", "_lineage", "_own_pages_max", "_scope", "_tree_bounds")

    def __init__(
        self,
        ledger: PageLedger,
        lineage: Lineage,
        *,
        scope: str,
        own_bytes_max: Callable[[], int | None],
        tree_bounds: Callable[[], Sequence[TreeBound]],
    ) -> None:
        self._ledger = ledger
        self._lineage = lineage
        self._scope = scope
        self._own_pages_max = own_bytes_max
        self._tree_bounds = tree_bounds

    def pages_max(self) -> int:
        """How many pages it may have, for a unit that begins now."""
        own = self._own_bound()
        room = self._ledger.room(self._lineage, self._tree_bounds())
        return own if room is None else min(own, room[0])

    def claim(self, pages: int) -> None:
        """A unit is about to be committed that leaves the database with `pages`. Raises QuotaExceededError."""
        bound = self._ledger.claim(self._lineage, pages, self._tree_bounds())
        if bound is not None:
            raise tree_is_full(self._ledger, bound)

    def exceeded(self) -> QuotaExceededError:
        """The error for a statement that found no page left."""
        own = self._own_bound()
        room = self._ledger.room(self._lineage, self._tree_bounds())
        if room is not None and room[0] < own:
            return tree_is_full(self._ledger, room[1])
        used = self._ledger.pages(number_of(self._lineage)) * PAGE_SIZE
        return QuotaExceededError(
            f"database of `{self._scope}` may have {own * PAGE_SIZE} bytes (`database_bytes`), it had {used} before "
            "this: delete what is not needed, or raise the quota",
            quota="database_bytes",
            scope=self._scope,
            used=used,
            bound=own * PAGE_SIZE,
        )

    def _own_bound(self) -> int:
        own_bytes = self._own_pages_max()
        return PAGES_MAX if own_bytes is None else min(own_bytes // PAGE_SIZE, PAGES_MAX)


def tree_is_full(ledger: PageLedger, bound: TreeBound) -> QuotaExceededError:
    """The error for what would overstep the bound of a tree."""
    used, allowed = ledger.total(bound.number) * PAGE_SIZE, bound.pages_max * PAGE_SIZE
    return QuotaExceededError(
        f"`{bound.scope}` and the facets below it may have {allowed} bytes together (`tree_bytes`), they have "
        f"{used}: delete what is not needed, or raise the quota",
        quota="tree_bytes",
        scope=bound.scope,
        used=used,
        bound=allowed,
    )
