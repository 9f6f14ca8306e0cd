"""A facet that becomes a copy of another, with all below it: one record, so a crash leaves all of it or nothing.

The copies get numbers of their own, as files of facets always do. Their bytes count before they are made: nothing is
copied that no quota has room for. Effects: disk, tasks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from perdure.errors import OverloadedError, UsageError
from perdure.limits import REWRITE_BYTES_MAX
from perdure.storage._capture import Captured
from perdure.storage._database_quota import tree_is_full
from perdure.storage._journal import AlarmChange
from perdure.storage._layout import Lineage, number_of
from perdure.storage._page_ledger import TreeBound
from perdure.storage._root_store import RootStore
from perdure.storage._template import PAGE_SIZE


class FacetCopy(NamedTuple):
    """One database to be put below `path`, names from the new facet down; `()` is the facet itself.

    `file` None: the facet has a name and nothing stored. `alarm_at_ms`: when it wants to be woken.
    """

    path: tuple[str, ...]
    file: Path | None
    alarm_at_ms: int | None


class CloneRoom:
    """Room for a clone of facet `source` of database `parent` as `target`, kept until `close`.

    `bounds`: of the parent's tree and those it is in; they may change. Whoever makes it holds the index. Raises
    UsageError when the clone is larger than a record may be, QuotaExceededError when a bound has no room for it.
    """

    def __init__(
        self, root: RootStore, parent: int, source: str, target: str, bounds: Callable[[], Sequence[TreeBound]]
    ) -> None:
        index = root.facets
        self._ledger = root.log.ledger
        self._above = index.lineage(parent)
        self._bounds = bounds
        numbers = [index.number_or_none(parent, name) for name in (source, target)]
        wanted, former = (0 if number is None else self._ledger.total(number) for number in numbers)
        if wanted * PAGE_SIZE > REWRITE_BYTES_MAX:
            raise UsageError(
                f"facet `{source[:32]}` and all below it have {wanted * PAGE_SIZE} bytes, a clone may have "
                f"{REWRITE_BYTES_MAX}, the limit: delete what is not needed, or copy it in parts"
            )
        self._held = max(0, wanted - former)
        exceeded = self._ledger.hold(self._above, self._held, bounds())
        if exceeded is not None:
            raise tree_is_full(self._ledger, exceeded)

    def take(self, changes: Mapping[Lineage, int]) -> Mapping[Lineage, int]:
        """Have databases count with these pages instead; what they counted with before. Raises QuotaExceededError."""
        before = {lineage: self._ledger.pages(number_of(lineage)) for lineage in changes}
        exceeded = self._ledger.claim_all(changes, self._bounds(), above=self._above, held=self._held)
        if exceeded is not None:
            raise tree_is_full(self._ledger, exceeded)
        self._held = 0
        return before

    def put_back(self, before: Mapping[Lineage, int]) -> None:
        """What `take` gave counts again: there was no clone."""
        for lineage, pages in before.items():
            self._ledger.record(lineage, pages)

    def close(self) -> None:
        """Give back what was not taken."""
        self._ledger.let_go(self._above, self._held)
        self._held = 0


async def replace_facet(
    root: RootStore,
    parent: int,
    name: str,
    copies: Sequence[FacetCopy],
    *,
    room: CloneRoom,
    end_turn: Callable[[], None],
) -> None:
    """Facet `name` of database `parent` becomes what `copies` hold, parents first; without any it is no more.

    Nothing may run on it or below it. `end_turn` commits what the root's own code has written. Raises as
    `RootStore.rewrite`, QuotaExceededError, and OverloadedError while a transaction of the root is open.
    """
    index = root.facets
    former = index.number_or_none(parent, name)
    doomed = [] if former is None else index.tree(former)
    numbers = dict(zip([copy.path for copy in copies], index.reserve(len(copies)), strict=True))
    above = index.lineage(parent)
    files: dict[Lineage, Path | None] = {lineage: None for lineage in doomed if root.log.chain.is_born(lineage[-1])}
    for copy in copies:
        if copy.file is not None:
            files[(*above, *(numbers[copy.path[:end]] for end in range(len(copy.path) + 1)))] = copy.file
    pages = {line: 0 if file is None else file.stat().st_size // PAGE_SIZE for line, file in files.items()}

    def change_names() -> Captured | None:
        end_turn()
        database = root.open_database(0)
        if database.in_unit:
            raise OverloadedError("a facet cannot be cloned while a transaction of its root object is open")
        before = room.take(pages)  # In the same step: what others write meanwhile, on threads too, finds it counted.
        try:
            if former is not None:
                index.remove(former)
            for copy in copies:
                place = numbers[copy.path[:-1]] if copy.path else parent
                index.place(numbers[copy.path], place, copy.path[-1] if copy.path else name)
            return database.commit()
        except BaseException:
            room.put_back(before)
            raise

    alarms = {numbers[copy.path]: AlarmChange(copy.alarm_at_ms) for copy in copies if copy.alarm_at_ms is not None}
    await root.rewrite(files, cause="facet cloned", alarms=alarms, before=change_names)
