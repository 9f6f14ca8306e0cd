"""The totals that facets have used, in a host table of the root's own database; row 0 is that of the root.

They are what hard budgets are measured by, so they outlive every instance. A row says totals, not what was added: to
write one twice does no harm. Effects: disk.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple, Protocol

from perdure.wire import SqlValue

USAGE_TABLE: Final = """
CREATE TABLE IF NOT EXISTS _cf_USAGE(
    number INTEGER PRIMARY KEY, requests INTEGER NOT NULL, cpu_us INTEGER NOT NULL, rows_read INTEGER NOT NULL,
    rows_written INTEGER NOT NULL, last_used_ms INTEGER NOT NULL)
"""
WRITE_USAGE: Final = (
    "INSERT OR REPLACE INTO _cf_USAGE(number, requests, cpu_us, rows_read, rows_written, last_used_ms) "
    "VALUES (?, ?, ?, ?, ?, ?)"
)
READ_USAGE: Final = "SELECT number, requests, cpu_us, rows_read, rows_written, last_used_ms FROM _cf_USAGE"
_HAS_TABLE: Final = "SELECT 1 FROM sqlite_schema WHERE name = '_cf_USAGE'"
_HAS_FACETS: Final = "SELECT 1 FROM sqlite_schema WHERE name = '_cf_FACETS'"
_EXISTS: Final = "SELECT 1 FROM _cf_FACETS WHERE number = ? AND name IS NOT NULL"


class UsageRow(NamedTuple):
    """What the facet of this number, and all below it, have used since it was made."""

    number: int
    requests: int
    cpu_us: int
    rows_read: int
    rows_written: int
    last_used_ms: int


class HostTables(Protocol):
    """Host statements on the root's database, inside its open unit if they write."""

    def host_exec(self, query: str, bindings: Sequence[SqlValue] = ()) -> list[tuple[SqlValue, ...]]: ...


def usage_or_none(tables: HostTables, number: int) -> UsageRow | None:
    """The totals that were written of one facet."""
    # Asked each time: a turn that is rolled back takes the table with it.
    rows = tables.host_exec(f"{READ_USAGE} WHERE number = ?", (number,)) if tables.host_exec(_HAS_TABLE) else []
    return usage_row(rows[0]) if rows else None


def all_usage(tables: HostTables) -> list[UsageRow]:
    """Everything that was written."""
    return [usage_row(row) for row in tables.host_exec(READ_USAGE)] if tables.host_exec(_HAS_TABLE) else []


def write_usage(tables: HostTables, rows: Iterable[UsageRow]) -> None:
    """Write totals. What is said of a facet that was deleted meanwhile is left out."""
    has_facets = bool(tables.host_exec(_HAS_FACETS))
    tables.host_exec(USAGE_TABLE)
    for row in rows:
        if row.number == 0 or (has_facets and tables.host_exec(_EXISTS, (row.number,))):
            tables.host_exec(WRITE_USAGE, row)


def forget_usage(tables: HostTables, numbers: Iterable[int]) -> None:
    """These facets are deleted."""
    if tables.host_exec(_HAS_TABLE):
        for number in numbers:
            tables.host_exec("DELETE FROM _cf_USAGE WHERE number = ?", (number,))


def usage_row(row: Sequence[SqlValue]) -> UsageRow:
    """A row as it was read."""
    numbers = [value for value in row if isinstance(value, int)]
    assert len(numbers) == len(UsageRow._fields), f"the table of usage holds {row!r} where numbers belong"
    return UsageRow(*numbers)
