"""How an object is entered into the journal's tables that begins with files of its own. Effects: disk."""

from __future__ import annotations

from typing import Final

import apsw

from perdure.storage._journal import Adoption
from perdure.storage._journal_schema import lineage_text
from perdure.storage._record import NO_DIGEST, digest_of, encode_record

_ADD: Final = (
    "INSERT INTO object"
    "(namespace, object_id, epoch, claim, head, head_digest, forgotten, forgotten_digest, created_ms) "
    "VALUES (?1, ?2, 0, '', 0, ?3, 0, ?3, ?4) ON CONFLICT DO NOTHING"
)
_FIND: Final = (
    "SELECT n, head, head_digest, head = forgotten AND NOT EXISTS (SELECT 1 FROM file WHERE object = object.n) "
    "FROM object WHERE namespace = ? AND object_id = ?"
)
_MOVE_HEAD: Final = (
    "UPDATE object SET head = ?1, head_digest = ?2, forgotten = ?1, forgotten_digest = ?2, name = ifnull(?3, name), "
    "epoch = epoch + 1, claim = '' WHERE n = ?4"
)


def write_adoption(writer: apsw.Connection, adoption: Adoption) -> int | None:
    """Enter it, inside the transaction that is open; how many bytes of records it keeps. None: the object exists."""
    record = adoption.record
    writer.execute(_ADD, (*adoption.key, NO_DIGEST, record.committed_at_ms))
    row: tuple[int, int, bytes, int] = writer.execute(_FIND, adoption.key).get
    number, head, head_digest, is_free = row
    if not is_free or (record.sequence, record.previous_digest) != (head + 1, head_digest):
        if not head:  # It was added just now, and must not be there.
            writer.execute("DELETE FROM object WHERE n = ?", (number,))
        return None
    data = encode_record(record)
    writer.execute(_MOVE_HEAD, (record.sequence, digest_of(data), adoption.name, number))
    if adoption.keeps_history:
        writer.execute("INSERT INTO log(object, sequence, data) VALUES (?, ?, ?)", (number, record.sequence, data))
    else:
        writer.execute("DELETE FROM log WHERE object = ?", (number,))
        writer.execute("UPDATE object SET archived = head WHERE n = ?", (number,))
    writer.executemany(
        "INSERT INTO file(object, lineage, size_bytes, modified_ns) VALUES (?, ?, ?, ?)",
        [(number, lineage_text(lineage), *state) for lineage, state in adoption.files.items()],
    )
    writer.execute("DELETE FROM alarm WHERE object = ?", (number,))
    writer.executemany(
        "INSERT INTO alarm(object, number, at_ms, look_ms) VALUES (?1, ?2, ?3, ?3)",
        [(number, database, at_ms) for database, at_ms in adoption.alarms.items()],
    )
    return len(data) if adoption.keeps_history else 0
