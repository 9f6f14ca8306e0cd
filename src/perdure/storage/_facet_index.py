"""FacetIndex: (parent, name) → number, in a host table of the root's own database.

The table commits with the root's other writes. A number names a file, so it is never used twice: a facet that is
deleted and made again under its name gets a new one. How many facets there are below a database is counted once, then
kept. Effects: disk.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple, Protocol

from perdure.errors import FacetError, QuotaExceededError
from perdure.limits import FACET_DEPTH_MAX, FACET_NAME_BYTES_MAX, FACETS_PER_ROOT_MAX
from perdure.storage._layout import Lineage
from perdure.storage._usage import forget_usage
from perdure.wire import SqlValue

# A deleted facet leaves its row without a name: the highest number must be remembered.
_TABLE: Final = """
CREATE TABLE IF NOT EXISTS _cf_FACETS(
    number INTEGER PRIMARY KEY, parent INTEGER NOT NULL, name TEXT, UNIQUE (parent, name))
"""
# The rows one, two and three levels below ?1. Joins, because the authorizer takes a named subquery for a guest's view.
_LEVELS: Final = (
    "_cf_FACETS AS a WHERE a.parent = ?1",
    "_cf_FACETS AS a JOIN _cf_FACETS AS b ON b.parent = a.number WHERE a.parent = ?1",
    (
        "_cf_FACETS AS a JOIN _cf_FACETS AS b ON b.parent = a.number JOIN _cf_FACETS AS c ON c.parent = b.number "
        "WHERE a.parent = ?1"
    ),
)
_LINEAGES: Final = ("a.number", "a.number, b.number", "a.number, b.number, c.number")
_DEEPEST: Final = "abc"
assert len(_LEVELS) == FACET_DEPTH_MAX - 1


class HostTables(Protocol):
    """Host statements on the root's database, inside its open unit."""

    def host_exec(self, query: str, bindings: Sequence[SqlValue] = ()) -> list[tuple[SqlValue, ...]]: ...


class FacetCount(NamedTuple):
    """How many facets lie below a database: `live` ones, and those `ever` made."""

    live: int
    ever: int


class FacetIndex:
    """The facets of one root object. `number_floor`: numbers up to it were given out already."""

    def __init__(self, tables: HostTables, *, number_floor: int = 0) -> None:
        self._tables = tables
        self._counts: dict[int, FacetCount] = {}
        self.number_last = number_floor

    def number(self, parent: int, name: str) -> int:
        """The number of a facet, given out now if it has none. Raises FacetError when a rule of facets forbids it."""
        found = self.number_or_none(parent, name)
        return self._add(parent, name) if found is None else found

    def number_or_none(self, parent: int, name: str) -> int | None:
        """The number of a facet that exists."""
        rows = self._rows("SELECT number FROM _cf_FACETS WHERE parent = ? AND name = ?", parent, name)
        return _whole(rows[0][0]) if rows else None

    def numbers(self, parent: int) -> dict[str, int]:
        """The live facets of one parent, by name."""
        rows = self._rows("SELECT name, number FROM _cf_FACETS WHERE parent = ? AND name IS NOT NULL", parent)
        return {str(name): _whole(number) for name, number in rows}

    def names(self, parent: int, *, start_after: str, limit: int) -> list[str]:
        """The names of a parent's live facets in their order, from behind `start_after`."""
        rows = self._rows(
            "SELECT name FROM _cf_FACETS WHERE parent = ? AND name > ? ORDER BY name LIMIT ?",
            parent,
            start_after,
            limit,
        )
        return [str(name) for (name,) in rows]

    def count(self, number: int) -> FacetCount:
        """How many facets lie below a database. Counted at the first call."""
        known = self._counts.get(number)
        if known is None:
            known = self._counts[number] = self._counted(number)
        return known

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

    def path(self, number: int) -> list[str]:
        """The names that lead from the root to facet `number`. Raises FacetError when it does not exist."""
        lineage = self.lineage(number)
        rows = [self._rows("SELECT name FROM _cf_FACETS WHERE number = ?", member) for member in lineage]
        return [str(name) for ((name,),) in rows]

    def tree(self, number: int) -> list[Lineage]:
        """A facet and all below it, parents first."""
        top = self.lineage(number)
        below: list[Lineage] = []
        for level, lineage, deepest in zip(_LEVELS, _LINEAGES, _DEEPEST, strict=True):
            rows = self._rows(f"SELECT {lineage} FROM {level} AND {deepest}.name IS NOT NULL", number)  # noqa: S608
            below += [(*top, *map(_whole, row)) for row in rows]
        return [top, *below]

    def remove(self, number: int) -> list[Lineage]:
        """Forget a facet and all below it; returns them, parents first."""
        top, *below = self.tree(number)
        for removed in (top, *below):
            self._tables.host_exec("UPDATE _cf_FACETS SET name = NULL WHERE number = ?", (removed[-1],))
        forget_usage(self._tables, [removed[-1] for removed in (top, *below)])
        for above in (0, *top[:-1]):
            self._count_changed(above, live=-1 - len(below))
        for removed in (top, *below):
            self._counts.pop(removed[-1], None)
        return [top, *below]

    def _add(self, parent: int, name: str) -> int:
        size = len(name.encode())
        if size > FACET_NAME_BYTES_MAX:
            raise FacetError(
                f"facet name `{name[:32]}…` is {size} bytes, the limit is {FACET_NAME_BYTES_MAX}: use a hash of it"
            )
        above = self.lineage(parent)
        if len(above) + 2 > FACET_DEPTH_MAX:
            raise FacetError(
                f"facet `{name}` would lie deeper than {FACET_DEPTH_MAX} levels, its root included: "
                "make it a sibling instead"
            )
        (number,) = self.reserve(1)
        self.place(number, parent, name)
        return number

    def reserve(self, count: int) -> list[int]:
        """Numbers that nobody has had, for `place`. Raises QuotaExceededError when there are no more."""
        rows = self._rows("SELECT ifnull(max(number), 0) FROM _cf_FACETS")
        first = max(_whole(rows[0][0]) if rows else 0, self.number_last) + 1
        if first + count - 1 > FACETS_PER_ROOT_MAX:
            raise QuotaExceededError(
                f"{count} more facets of an object that had {first - 1}: the limit is {FACETS_PER_ROOT_MAX} ever made; "
                "keep facets instead of deleting and making them again, or use another object",
                quota="facets_ever",
                used=first - 1,
                bound=FACETS_PER_ROOT_MAX,
            )
        self.number_last = first + count - 1
        return list(range(first, first + count))

    def place(self, number: int, parent: int, name: str) -> None:
        """Give a number that was reserved to facet `name` of `parent`, which has none."""
        above = self.lineage(parent)
        self._tables.host_exec(_TABLE)
        self._tables.host_exec("INSERT INTO _cf_FACETS(number, parent, name) VALUES (?, ?, ?)", (number, parent, name))
        for counted in (0, *above):
            self._count_changed(counted, live=1, ever=1)

    def _counted(self, number: int) -> FacetCount:
        if number == 0:
            rows = self._rows("SELECT count(name), count(*) FROM _cf_FACETS")
        else:
            queries = [
                f"SELECT count({deepest}.name), count(*) FROM {level}"  # noqa: S608  # both are constants
                for level, deepest in zip(_LEVELS, _DEEPEST, strict=True)
            ]
            rows = [row for query in queries for row in self._rows(query, number)]
        return FacetCount(sum(_whole(live) for live, _ in rows), sum(_whole(ever) for _, ever in rows))

    def _count_changed(self, number: int, *, live: int = 0, ever: int = 0) -> None:
        known = self._counts.get(number)
        if known is not None:
            self._counts[number] = FacetCount(known.live + live, known.ever + ever)

    def _rows(self, query: str, *bindings: SqlValue) -> list[tuple[SqlValue, ...]]:
        # Asked each time: a turn that is rolled back takes the table with it.
        has_table = self._tables.host_exec("SELECT 1 FROM sqlite_schema WHERE name = '_cf_FACETS'")
        return self._tables.host_exec(query, bindings) if has_table else []


def facet_names(tables: HostTables) -> dict[int, dict[str, int]]:
    """The live facets of a root's own database: by the number of their parent, by name, their numbers."""
    found: dict[int, dict[str, int]] = {}
    if tables.host_exec("SELECT 1 FROM sqlite_schema WHERE name = '_cf_FACETS'"):
        rows = tables.host_exec("SELECT parent, name, number FROM _cf_FACETS WHERE name IS NOT NULL ORDER BY number")
        for parent, name, number in rows:
            found.setdefault(_whole(parent), {})[str(name)] = _whole(number)
    return found


def _whole(value: SqlValue) -> int:
    assert isinstance(value, int), f"the facet table holds {value!r} where a number belongs"
    return value
