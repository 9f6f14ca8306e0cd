"""The tables of the journal's file, and how a file of an earlier format becomes one of today's.

An object's log rows up to `archived` are deleted, those up to `forgotten` are history only, the rest is what its files
may lack. An alarm is looked at when `look_ms` has come, which is `at_ms` unless it was postponed. A format is never
changed, only followed by another; each step runs in one transaction. Effects: disk.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import apsw

from perdure.errors import DamagedDataError
from perdure.storage._layout import Lineage

JOURNAL_PAGE_SIZE: Final = 4096
JOURNAL_FORMAT: Final = 2
JOURNAL_APPLICATION_ID: Final = 0x7064_7572  # "pdur", for people who ask `file`

FIND_OBJECT: Final = (
    "SELECT n, epoch, head, head_digest, forgotten, forgotten_digest, archived, name FROM object "
    "WHERE namespace = ? AND object_id = ?"
)
"""An object's row, by its key."""

_SCHEMA: Final = """
CREATE TABLE node(n INTEGER PRIMARY KEY, incarnation_id TEXT NOT NULL UNIQUE, address TEXT NOT NULL) STRICT;
CREATE TABLE object(
    n INTEGER PRIMARY KEY, namespace TEXT NOT NULL, object_id BLOB NOT NULL,
    epoch INTEGER NOT NULL, claim TEXT NOT NULL,
    head INTEGER NOT NULL, head_digest BLOB NOT NULL, forgotten INTEGER NOT NULL, forgotten_digest BLOB NOT NULL,
    name TEXT, archived INTEGER NOT NULL DEFAULT 0, created_ms INTEGER,
    UNIQUE (namespace, object_id)) STRICT;
CREATE TABLE log(n INTEGER PRIMARY KEY, object INTEGER NOT NULL, sequence INTEGER NOT NULL, data BLOB NOT NULL) STRICT;
CREATE UNIQUE INDEX log_chain ON log(object, sequence);
CREATE TABLE file(
    object INTEGER NOT NULL, lineage TEXT NOT NULL, size_bytes INTEGER NOT NULL, modified_ns INTEGER NOT NULL,
    PRIMARY KEY (object, lineage)) STRICT, WITHOUT ROWID;
CREATE TABLE alarm(
    object INTEGER NOT NULL, number INTEGER NOT NULL, at_ms INTEGER NOT NULL, look_ms INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (object, number)) STRICT, WITHOUT ROWID;
CREATE INDEX alarm_due ON alarm(look_ms);
CREATE INDEX alarm_postponed ON alarm(object) WHERE look_ms <> at_ms;
"""

_MIGRATIONS: Final = {
    1: """
    ALTER TABLE object ADD COLUMN name TEXT;
    ALTER TABLE object ADD COLUMN archived INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE object ADD COLUMN created_ms INTEGER;
    UPDATE object SET archived = forgotten;
    ALTER TABLE alarm ADD COLUMN look_ms INTEGER NOT NULL DEFAULT 0;
    UPDATE alarm SET look_ms = at_ms;
    DROP INDEX alarm_due;
    CREATE INDEX alarm_due ON alarm(look_ms);
    CREATE INDEX alarm_postponed ON alarm(object) WHERE look_ms <> at_ms;
    """,
}
"""What makes a journal of the format after out of one of this format."""


def prepare(connection: apsw.Connection, path: Path) -> None:
    """Make the tables of a new journal, or bring those of an earlier format up to date.

    Raises DamagedDataError for a file that is no journal, or of a format that is not known yet.
    """
    made_by, version = connection.pragma("application_id"), connection.pragma("user_version")
    is_new = not connection.execute("SELECT count(*) FROM sqlite_schema").get
    if is_new:
        connection.pragma("page_size", JOURNAL_PAGE_SIZE)
    elif made_by != JOURNAL_APPLICATION_ID or not 1 <= version <= JOURNAL_FORMAT:
        raise DamagedDataError(
            f"`{path}` is no journal of this program: application id {made_by}, format {version} "
            f"(expected {JOURNAL_APPLICATION_ID}, format 1 to {JOURNAL_FORMAT})"
        )
    connection.pragma("journal_mode", "wal")
    if is_new:
        with connection:
            connection.execute(_SCHEMA)
            connection.pragma("application_id", JOURNAL_APPLICATION_ID)
            connection.pragma("user_version", JOURNAL_FORMAT)
        return
    for former in range(version, JOURNAL_FORMAT):
        with connection:
            connection.execute(_MIGRATIONS[former])
            connection.pragma("user_version", former + 1)


def lineage_text(lineage: Lineage) -> str:
    """A lineage as a column holds it."""
    return ".".join(map(str, lineage))


def lineage_of(text: str) -> Lineage:
    """The lineage that a column holds."""
    return tuple(map(int, text.split("."))) if text else ()
