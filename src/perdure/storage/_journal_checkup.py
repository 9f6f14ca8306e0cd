"""A look at the journal's file from outside: is it whole, and what does it say of each object.

For a directory whose lock the caller holds, or a reader beside a running process; nothing is changed. Effects: disk.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import apsw

from perdure.errors import DamagedDataError
from perdure.storage._disk import FileState
from perdure.storage._findings import Finding, Repair, note, problem
from perdure.storage._journal import History
from perdure.storage._journal_schema import JOURNAL_APPLICATION_ID, JOURNAL_FORMAT, lineage_of
from perdure.storage._layout import ObjectKey
from perdure.storage._record import decode_header, digest_of


class JournaledObject(NamedTuple):
    """What the journal holds of one object. `alarms`: when each database's is due, by number."""

    key: ObjectKey
    history: History
    alarms: dict[int, int]


class JournalReader:
    """One consistent state of the journal, however long it is read. Raises apsw.Error when it cannot be."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)
        # Evidence stays as it is: what lies in the -wal is read from there.
        self._connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
        self._connection.pragma("query_only", 1)
        self._connection.execute("BEGIN")

    def close(self) -> None:
        self._connection.close()

    @property
    def format(self) -> int:
        return int(self._connection.pragma("user_version"))

    @property
    def was_stopped_cleanly(self) -> bool:
        """Whether the last process unregistered; False also while one runs."""
        return not self._connection.execute("SELECT count(*) FROM node").get

    def findings(self, *, is_running: bool) -> Iterator[Finding]:
        """What is wrong with the file itself. After a problem nothing else can be read from it."""
        path = self._path
        if self._connection.pragma("application_id") != JOURNAL_APPLICATION_ID:
            yield problem(f"`{path}` is no journal of perdure: it was replaced by another database", path=path)
            return
        if self.format > JOURNAL_FORMAT:
            yield problem(
                f"the journal has format {self.format}, this version reads up to {JOURNAL_FORMAT}: use a newer perdure"
            )
            return
        for (said,) in self._connection.execute("PRAGMA quick_check(20)"):
            if said != "ok":
                yield problem(
                    f"the journal `{path}` is damaged: {said}. Restore it together with the objects", path=path
                )
        if self.format < JOURNAL_FORMAT:
            yield note(f"the journal has format {self.format}: the next start makes it {JOURNAL_FORMAT}")
        elif not is_running and not self.was_stopped_cleanly:
            yield note(
                "the last process did not stop in order: its objects are recovered at the next start",
                repair=Repair.RECOVER,
            )

    def objects(self) -> Iterator[JournaledObject]:
        """Every object, with the records that its files may lack."""
        rows = self._connection.execute(
            "SELECT n, namespace, object_id, head, head_digest, forgotten, forgotten_digest, archived FROM object "
            "ORDER BY namespace, object_id"
        )
        for n, namespace, object_id, head, head_digest, forgotten, forgotten_digest, archived in rows:
            records = self._connection.execute(
                "SELECT data FROM log WHERE object = ? AND sequence > ? ORDER BY sequence", (n, forgotten)
            )
            files = self._connection.execute("SELECT lineage, size_bytes, modified_ns FROM file WHERE object = ?", (n,))
            history = History(
                forgotten,
                forgotten_digest,
                head,
                head_digest,
                tuple([data for (data,) in records]),
                {lineage_of(text): FileState(size, modified) for text, size, modified in files},
                archived,
            )
            alarms = self._connection.execute("SELECT number, at_ms FROM alarm WHERE object = ?", (n,))
            yield JournaledObject(ObjectKey(namespace, object_id), history, dict(alarms))

    def archived_or_none(self, key: ObjectKey) -> int | None:
        """The last record that the journal gave to the object's history; None for an object it does not know."""
        row = self._connection.execute(
            "SELECT archived FROM object WHERE namespace = ? AND object_id = ?", key
        ).fetchone()
        return None if row is None else int(row[0])

    def digest_or_none(self, key: ObjectKey, sequence: int) -> bytes | None:
        """What the digest of a record is; empty when it was never written, None when nobody can tell any more."""
        row = self._connection.execute(
            "SELECT n, head, head_digest, forgotten, forgotten_digest FROM object "
            "WHERE namespace = ? AND object_id = ?",
            key,
        ).fetchone()
        if row is None or sequence > row[1]:
            return b""
        n, head, head_digest, forgotten, forgotten_digest = row
        following = self._connection.execute(
            "SELECT data FROM log WHERE object = ? AND sequence = ?", (n, sequence + 1)
        ).fetchone()
        if following is not None:
            return decode_header(following[0]).previous_digest
        return {forgotten: bytes(forgotten_digest), head: bytes(head_digest)}.get(sequence)

    def history_findings(self, key: ObjectKey, history: History) -> Iterator[Finding]:
        """What is wrong with the records that are kept as history only."""
        rows = self._connection.execute(
            "SELECT sequence, data FROM log JOIN object ON object.n = log.object "
            "WHERE namespace = ? AND object_id = ? AND sequence <= ? ORDER BY sequence",
            (*key, history.forgotten),
        )
        expected, digest = history.archived + 1, None
        for sequence, data in rows:
            try:
                header = decode_header(data)
            except DamagedDataError as error:
                yield problem(f"record {sequence} of `{_name(key)}` in the journal: {error}", key=key)
                return
            if sequence != expected or digest not in {None, header.previous_digest}:
                yield problem(f"the history of `{_name(key)}` in the journal is broken at record {expected}", key=key)
                return
            expected, digest = sequence + 1, digest_of(data)
        if expected != history.forgotten + 1:
            yield problem(f"the journal lacks the records of `{_name(key)}` from {expected} on", key=key)


def _name(key: ObjectKey) -> str:
    return f"{key.namespace}/{key.object_id.hex()}"
