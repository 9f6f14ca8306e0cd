"""What the files of the past need before an object goes on with them: its numbers, its alarms, what its facets used.

Effects: disk.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import apsw

from perdure.storage import USAGE_TABLE, WRITE_USAGE, AlarmChange, Lineage, UsageRow, number_of

RESTORE_TABLE: Final = "_cf_RESTORE"
"""Where a database keeps which bookmark it is to be brought back to at its next start."""

_FACETS: Final = (
    "CREATE TABLE IF NOT EXISTS _cf_FACETS("
    "number INTEGER PRIMARY KEY, parent INTEGER NOT NULL, name TEXT, UNIQUE (parent, name))"
)


def keep_numbers(root: Path, highest: int) -> None:
    """Let the root remember that facet numbers up to `highest` were given out, whatever it knew then."""
    connection = _opened(root)
    try:
        if not highest:
            return
        connection.execute(_FACETS)
        known = connection.execute("SELECT ifnull(max(number), 0) FROM _cf_FACETS").get
        if known < highest:
            connection.execute("INSERT INTO _cf_FACETS(number, parent, name) VALUES (?, 0, NULL)", (highest,))
    finally:
        connection.close()


def keep_usage(root: Path, rows: Sequence[UsageRow]) -> None:
    """Let the root have these totals and no others, whatever it had then: to go back in time gives nothing back.

    A new object has none.
    """
    connection = _opened(root)
    try:
        connection.execute("DROP TABLE IF EXISTS _cf_USAGE")
        if rows:
            connection.execute(USAGE_TABLE)
            connection.executemany(WRITE_USAGE, rows)
    finally:
        connection.close()


def forget_restores(files: Mapping[Lineage, Path]) -> None:
    """A restore that was asked for in the past is not to happen again."""
    for path in files.values():
        if _has_table(path, RESTORE_TABLE):
            connection = _opened(path)
            try:
                connection.execute(f"DROP TABLE {RESTORE_TABLE}")
            finally:
                connection.close()


def alarms_of(files: Mapping[Lineage, Path]) -> dict[int, AlarmChange]:
    """The alarm of each database, by its number, as the index is to have it."""
    found: dict[int, AlarmChange] = {}
    for lineage, path in files.items():
        at_ms = None
        if _has_table(path, "_cf_ALARM"):
            connection = reading(path)
            try:
                row: tuple[int] | None = connection.execute("SELECT attempt_ms FROM _cf_ALARM").fetchone()
                at_ms = row[0] if row is not None else None
            finally:
                connection.close()
        found[number_of(lineage)] = AlarmChange(at_ms)
    return found


def reading(path: Path) -> apsw.Connection:
    """A database of the past, for reading: nothing is written beside it, and its schema is not trusted."""
    connection = apsw.Connection(f"{path.as_uri()}?immutable=1", flags=apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI)
    connection.config(apsw.SQLITE_DBCONFIG_DEFENSIVE, 1)
    connection.config(apsw.SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0)
    return connection


def _has_table(path: Path, name: str) -> bool:
    connection = reading(path)
    try:
        return bool(connection.execute("SELECT count(*) FROM sqlite_schema WHERE name = ?", (name,)).get)
    finally:
        connection.close()


def _opened(path: Path) -> apsw.Connection:
    """For writing. Closing it leaves one plain file in WAL mode, as all databases of ours are."""
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE, vfs="unix-none")
    connection.config(apsw.SQLITE_DBCONFIG_DEFENSIVE, 1)
    connection.config(apsw.SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0)
    connection.config(apsw.SQLITE_DBCONFIG_ENABLE_TRIGGER, 0)
    connection.pragma("locking_mode", "exclusive")
    connection.pragma("synchronous", "off")
    return connection
