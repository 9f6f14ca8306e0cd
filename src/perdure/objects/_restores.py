"""What a database remembers of a restore that its object's code asked for, until the next start. Effects: disk."""

from __future__ import annotations

from typing import Final, NamedTuple

from perdure.history import RESTORE_TABLE
from perdure.storage import Database

_HAS_TABLE: Final = f"SELECT 1 FROM sqlite_schema WHERE name = '{RESTORE_TABLE}'"  # noqa: S608 - a constant
_TABLE: Final = (
    f"CREATE TABLE IF NOT EXISTS {RESTORE_TABLE}"
    "(one INTEGER PRIMARY KEY CHECK (one = 1), bookmark TEXT NOT NULL, undo TEXT NOT NULL)"
)
_READ: Final = f"SELECT bookmark, undo FROM {RESTORE_TABLE}"  # noqa: S608 - a constant
_WRITE: Final = f"INSERT OR REPLACE INTO {RESTORE_TABLE}(one, bookmark, undo) VALUES (1, ?, ?)"  # noqa: S608


class Restore(NamedTuple):
    """To which bookmark, and what the state just before is to be called."""

    to: str
    undo: str


def remember(database: Database, restore: Restore) -> None:
    """Restore at the next start; what was asked for before is forgotten."""
    database.host_exec(_TABLE)
    database.host_exec(_WRITE, restore)


def remembered(database: Database) -> Restore | None:
    """What is to be restored."""
    rows = database.host_exec(_READ) if database.host_exec(_HAS_TABLE) else []
    return Restore(str(rows[0][0]), str(rows[0][1])) if rows else None


def forget(database: Database) -> None:
    """Restore nothing."""
    database.host_exec(f"DROP TABLE IF EXISTS {RESTORE_TABLE}")
