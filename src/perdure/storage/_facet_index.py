"""FacetIndex: (parent, name) → number, in a host table of the root's own database.

The table commits with the root's other writes. A number names a file, so it is never used twice: a facet that is
deleted and made again under its name gets a new one. Effects: disk.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

from perdure.errors import FacetError
from perdure.limits import FACET_DEPTH_MAX, FACET_NAME_BYTES_MAX, FACETS_PER_ROOT_MAX
from perdure.storage._layout import Lineage
from perdure.wire import SqlValue

# A deleted facet leaves its row without a name: the highest number must be remembered.
_TABLE: Final = """
CREATE TABLE IF NOT EXISTS _cf_FACETS(
    number INTEGER PRIMARY KEY, parent INTEGER NOT NULL, name TEXT, UNIQUE (parent, name))
"""


class HostTables(Protocol):
    """Host statements on the root's database, inside its open unit."""

    def host_exec(self, query: str, bindings: Sequence[SqlValue] = ()) -> list[tuple[SqlValue, ...]]: ...


class FacetIndex:
    """The facets of one root object. `number_floor`: numbers up to it were given out already."""

    def __init__(self, tables: HostTables, *, number_floor: int = 0) -> None:
        self._tables = tables
        self.number_last = number_floor

    def number(self, parent: int, name: str) -> int:
        """The number of a facet, given out now if it has none. Raises FacetError when a rule of facets forbids it."""
        found = self._number_or_none(parent, name)
        return self._add(parent, name) if found is None else found

    def numbers(self, parent: int) -> dict[str, int]:
        """The live facets of one parent, by name."""
        rows = self._rows("SELECT name, number FROM _cf_FACETS WHERE parent = ? AND name IS NOT NULL", parent)
        return {str(name): _whole(number) for name, number in rows}

    def lineage(self, number: int) -> Lineage:
        """The numbers from the root's child down to `number`."""
        lineage: tuple[int, ...] = ()
        while number:
            rows = self._rows("SELECT parent FROM _cf_FACETS WHERE number = ? AND name IS NOT NULL", number)
            if not rows or len(lineage) >= FACET_DEPTH_MAX:
                raise FacetError(f"facet number {number} does not exist: ask `facet_number` for one")
            lineage = (number, *lineage)
            number = _whole(rows[0][0])
        return lineage

    def remove(self, number: int) -> list[Lineage]:
        """Forget a facet and all below it; returns them, parents first."""
        tree = [self.lineage(number)]
        for lineage in tree:
            tree += [(*lineage, child) for child in self.numbers(lineage[-1]).values()]
        for lineage in tree:
            self._tables.host_exec("UPDATE _cf_FACETS SET name = NULL WHERE number = ?", (lineage[-1],))
        return tree

    def _add(self, parent: int, name: str) -> int:
        size = len(name.encode())
        if size > FACET_NAME_BYTES_MAX:
            raise FacetError(
                f"facet name `{name[:32]}…` is {size} bytes, the limit is {FACET_NAME_BYTES_MAX}: use a hash of it"
            )
        if len(self.lineage(parent)) + 2 > FACET_DEPTH_MAX:
            raise FacetError(
                f"facet `{name}` would lie deeper than {FACET_DEPTH_MAX} levels, its root included: "
                "make it a sibling instead"
            )
        self._tables.host_exec(_TABLE)
        ((highest,),) = self._rows("SELECT ifnull(max(number), 0) FROM _cf_FACETS")
        number = max(_whole(highest), self.number_last) + 1
        if number > FACETS_PER_ROOT_MAX:
            raise FacetError(
                f"facet `{name}` would be number {number} of its root, the limit is {FACETS_PER_ROOT_MAX} ever made: "
                "keep facets instead of deleting and making them again, or use another object"
            )
        self._tables.host_exec("INSERT INTO _cf_FACETS(number, parent, name) VALUES (?, ?, ?)", (number, parent, name))
        self.number_last = number
        return number

    def _number_or_none(self, parent: int, name: str) -> int | None:
        rows = self._rows("SELECT number FROM _cf_FACETS WHERE parent = ? AND name = ?", parent, name)
        return _whole(rows[0][0]) if rows else None

    def _rows(self, query: str, *bindings: SqlValue) -> list[tuple[SqlValue, ...]]:
        # Asked each time: a turn that is rolled back takes the table with it.
        has_table = self._tables.host_exec("SELECT 1 FROM sqlite_schema WHERE name = '_cf_FACETS'")
        return self._tables.host_exec(query, bindings) if has_table else []


def _whole(value: SqlValue) -> int:
    assert isinstance(value, int), f"the facet table holds {value!r} where a number belongs"
    return value
