"""A facet that becomes a copy of another, with all below it: one record, so a crash leaves all of it or nothing.

The copies get numbers of their own, as files of facets always do. Effects: disk, tasks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from perdure.errors import OverloadedError
from perdure.storage._capture import Captured
from perdure.storage._journal import AlarmChange
from perdure.storage._layout import Lineage
from perdure.storage._root_store import RootStore


class FacetCopy(NamedTuple):
    """One database to be put below `path`, names from the new facet down; `()` is the facet itself.

    `file` None: the facet has a name and nothing stored. `alarm_at_ms`: when it wants to be woken.
    """

    path: tuple[str, ...]
    file: Path | None
    alarm_at_ms: int | None


async def replace_facet(
    root: RootStore, parent: int, name: str, copies: Sequence[FacetCopy], *, end_turn: Callable[[], None]
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

    def change_names() -> Captured | None:
        end_turn()
        database = root.open_database(0)
        if database.in_unit:
            raise OverloadedError("a facet cannot be cloned while a transaction of its root object is open")
        if former is not None:
            index.remove(former)
        for copy in copies:
            place = numbers[copy.path[:-1]] if copy.path else parent
            index.place(numbers[copy.path], place, copy.path[-1] if copy.path else name)
        return database.commit()

    alarms = {numbers[copy.path]: AlarmChange(copy.alarm_at_ms) for copy in copies if copy.alarm_at_ms is not None}
    await root.rewrite(files, cause="facet cloned", alarms=alarms, before=change_names)
