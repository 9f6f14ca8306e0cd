"""JournalQueries: what is asked of the journal's tables beside its writer, over one connection that only reads.

For any thread, one at a time. An error says what was being read. Effects: disk, threads.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import apsw

from perdure.errors import DamagedDataError, StorageFailedError
from perdure.storage._disk import FileState
from perdure.storage._journal import DueAlarm, History, ListedObject
from perdure.storage._journal_alarms import read_due_alarms
from perdure.storage._journal_schema import FIND_OBJECT, lineage_of, lineage_text
from perdure.storage._layout import Lineage, ObjectKey
from perdure.storage._record import NO_DIGEST

_LISTED: Final = (
    "SELECT namespace, object_id, name, head, created_ms, (SELECT min(at_ms) FROM alarm WHERE object = object.n), "
    "head = forgotten AND NOT EXISTS (SELECT 1 FROM file WHERE object = object.n) FROM object "
    "WHERE {} ORDER BY namespace, object_id LIMIT ?"
)
# One statement for both would walk to the end of all namespaces.
_LIST_ALL: Final = _LISTED.format("(namespace, object_id) > (?, ?)")
_LIST_NAMESPACE: Final = _LISTED.format("namespace = ? AND object_id > ?")
_COUNT_EXISTING: Final = (
    "SELECT count(*) FROM object WHERE namespace = ? "
    "AND (head > forgotten OR EXISTS (SELECT 1 FROM file WHERE object = object.n))"
)
NO_HISTORY: Final = History(0, NO_DIGEST, 0, NO_DIGEST, (), {})
"""Of an object that never committed."""


class JournalQueries:
    """See the module. `check` raises when the journal has failed and must not be read."""

    def __init__(self, connection: apsw.Connection, path: Path, check: Callable[[], None]) -> None:
        self._connection = connection
        self._path = path
        self._check = check
        self._lock = threading.Lock()

    def close(self) -> None:
        """Close the connection. Raises apsw.Error."""
        self._connection.close()

    # ── one object ───────────────────────────────────────────────────────────────────────────────────────────

    def epoch_or_none(self, key: ObjectKey) -> int | None:
        """The epoch of the grant under which the object last appended; None: it never did."""
        with self._reading(f"object `{key.object_id.hex()}`") as reader:
            row = reader.execute(FIND_OBJECT, key).fetchone()
            return None if row is None else row[1]

    def history(self, key: ObjectKey) -> History:
        """See `Journal.load`."""
        with self._reading(f"object `{key.object_id.hex()}`") as reader:
            row = reader.execute(FIND_OBJECT, key).fetchone()
            if row is None:
                return NO_HISTORY
            number, _, head, head_digest, forgotten, forgotten_digest, archived, name = row
            records = reader.execute(
                "SELECT data FROM log WHERE object = ? AND sequence > ? ORDER BY sequence", (number, forgotten)
            )
            files = reader.execute("SELECT lineage, size_bytes, modified_ns FROM file WHERE object = ?", (number,))
            return History(
                forgotten,
                forgotten_digest,
                head,
                head_digest,
                tuple([data for (data,) in records]),
                {lineage_of(text): FileState(size, modified) for text, size, modified in files},
                archived,
                name,
            )

    def records(self, key: ObjectKey, *, after: int, bytes_max: int) -> list[bytes]:
        """See `Journal.records`."""
        taken: list[bytes] = []
        with self._reading(f"object `{key.object_id.hex()}`") as reader:
            rows = reader.execute(
                "SELECT data FROM log WHERE object = (SELECT n FROM object WHERE namespace = ? AND object_id = ?) "
                "AND sequence > ? ORDER BY sequence",
                (*key, after),
            )
            for (data,) in rows:
                if taken and len(data) > bytes_max:
                    break
                taken.append(data)
                bytes_max -= len(data)
        return taken

    def has_file(self, key: ObjectKey, lineage: Lineage) -> bool:
        """Whether the database was ever made durable as a file, and not deleted since."""
        with self._reading("files") as reader:
            return bool(
                reader.execute(
                    "SELECT count(*) FROM object JOIN file ON file.object = object.n "
                    "WHERE namespace = ? AND object_id = ? AND lineage = ?",
                    (*key, lineage_text(lineage)),
                ).get
            )

    # ── many objects ─────────────────────────────────────────────────────────────────────────────────────────

    def due_alarms(self, *, until_ms: int, limit: int, after: DueAlarm | None) -> list[DueAlarm]:
        """See `Journal.due_alarms`."""
        with self._reading("alarms") as reader:
            return read_due_alarms(reader, until_ms=until_ms, limit=limit, after=after)

    def objects(self, *, namespace: str | None, after: ObjectKey | None, limit: int) -> list[ListedObject]:
        """See `Journal.objects`."""
        with self._reading("objects") as reader:
            if namespace is None:
                rows = reader.execute(_LIST_ALL, (*(after or ("", b"")), limit))
            else:
                rows = reader.execute(_LIST_NAMESPACE, (namespace, after.object_id if after else b"", limit))
            return [
                ListedObject(ObjectKey(namespace, object_id), name, head, created_ms, alarm_at_ms, bool(is_deleted))
                for namespace, object_id, name, head, created_ms, alarm_at_ms, is_deleted in rows
            ]

    def keys_with_records(self) -> list[ObjectKey]:
        """The objects whose files are not all durable, those that waited longest first."""
        with self._reading("objects") as reader:
            rows = reader.execute(
                "SELECT namespace, object_id FROM object WHERE head > forgotten "
                "ORDER BY (SELECT min(n) FROM log WHERE log.object = object.n)"
            )
            return [ObjectKey(namespace, object_id) for namespace, object_id in rows]

    def keys_with_history(self, *, limit: int) -> list[ObjectKey]:
        """The objects that have most forgotten records here, waiting for `archive`."""
        with self._reading("objects") as reader:
            rows = reader.execute(
                "SELECT namespace, object_id FROM log JOIN object ON object.n = log.object WHERE sequence <= forgotten "
                "GROUP BY object.n ORDER BY sum(length(data)) DESC LIMIT ?",
                (limit,),
            )
            return [ObjectKey(namespace, object_id) for namespace, object_id in rows]

    def count_objects(self, namespace: str) -> int:
        """How many objects of a namespace exist; one just deleted counts until its files are known to be gone."""
        with self._reading("objects") as reader:
            return int(reader.execute(_COUNT_EXISTING, (namespace,)).get)

    @contextmanager
    def _reading(self, what: str) -> Iterator[apsw.Connection]:
        self._check()
        try:
            with self._lock, self._connection:
                yield self._connection
        except (apsw.CorruptError, apsw.NotADBError) as error:
            raise DamagedDataError(
                f"the journal `{self._path}` is damaged where it holds {what}: {error}. "
                "Restore it from a backup together with the objects"
            ) from error
        except apsw.Error as error:
            raise StorageFailedError(f"the journal `{self._path}` cannot be read for {what}: {error}") from error
