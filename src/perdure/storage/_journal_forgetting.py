"""How the journal's tables forget: records that files hold, records that an archive holds, objects that are gone.

Functions over the writer's connection, inside the transaction that is open. Effects: disk.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import apsw

from perdure.storage._journal import Snapshot
from perdure.storage._journal_schema import FIND_OBJECT, lineage_text
from perdure.storage._layout import ObjectKey


class Forgotten(NamedTuple):
    """What a snapshot changed: `kept_bytes` less that files may lack, `history_bytes` more that wait for an archive."""

    kept_bytes: int = 0
    history_bytes: int = 0
    is_emptied: bool = False
    """Whether the object's row is all that is left of it, as far as this snapshot tells."""


def write_snapshot(writer: apsw.Connection, snapshot: Snapshot) -> Forgotten:
    """Enter which files are durable, and move on the record up to which nobody needs any."""
    row = writer.execute(FIND_OBJECT, snapshot.key).fetchone()
    if row is None:
        return Forgotten()
    number, _, head, _, forgotten, *_ = row
    _write_files(writer, number, snapshot)
    until, keeps_history = snapshot.forget_until, snapshot.keeps_history
    if not forgotten < until <= head:
        return Forgotten()
    forgets = _log_bytes(writer, number, forgotten, until)
    writer.execute(
        "UPDATE object SET forgotten = ?, forgotten_digest = ? WHERE n = ?", (until, snapshot.digest, number)
    )
    drops = 0 if keeps_history else _drop_history(writer, number, until)
    is_emptied = until == head and None in snapshot.files.values() and not keeps_history
    return Forgotten(forgets, forgets - drops, is_emptied)


def _write_files(writer: apsw.Connection, number: int, snapshot: Snapshot) -> None:
    for lineage, state in snapshot.files.items():
        text = lineage_text(lineage)
        if state is None:
            writer.execute("DELETE FROM file WHERE object = ? AND lineage = ?", (number, text))
        else:
            writer.execute(
                "INSERT INTO file(object, lineage, size_bytes, modified_ns) VALUES (?, ?, ?, ?) "
                "ON CONFLICT (object, lineage) DO UPDATE SET size_bytes = excluded.size_bytes, "
                "modified_ns = excluded.modified_ns",
                (number, text, *state),
            )


def drop_archived(writer: apsw.Connection, key: ObjectKey, *, until: int) -> int:
    """Delete an object's forgotten records up to `until`, which the archive has; how many bytes they had."""
    row = writer.execute(FIND_OBJECT, key).fetchone()
    if row is None:
        return 0
    number, _, _, _, forgotten, _, archived, _ = row
    until = min(until, forgotten)
    return _drop_history(writer, number, until) if archived < until else 0


def drop_emptied(writer: apsw.Connection, keys: Iterable[ObjectKey]) -> None:
    """Take away the rows of objects of which nothing is left. Only at the end: nobody may own them."""
    for key in keys:
        writer.execute(
            "DELETE FROM object WHERE namespace = ? AND object_id = ? AND head = forgotten "
            "AND n NOT IN (SELECT object FROM file) AND n NOT IN (SELECT object FROM alarm)",
            key,
        )


def _drop_history(writer: apsw.Connection, number: int, until: int) -> int:
    """Delete an object's log rows up to `until`; how many bytes they had."""
    gone = _log_bytes(writer, number, 0, until)
    writer.execute("DELETE FROM log WHERE object = ? AND sequence <= ?", (number, until))
    writer.execute("UPDATE object SET archived = ? WHERE n = ?", (until, number))
    return gone


def _log_bytes(writer: apsw.Connection, number: int, after: int, until: int) -> int:
    size: int = writer.execute(
        "SELECT ifnull(sum(length(data)), 0) FROM log WHERE object = ? AND sequence > ? AND sequence <= ?",
        (number, after, until),
    ).get
    return size
