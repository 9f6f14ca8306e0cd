"""SqliteJournal: the journal of one process, in one SQLite file that syncs at every commit.

A thread of its own takes whatever queued up during the last flush as one transaction, so one flush serves many
objects; the writer is woken once per step of the event loop, and the loop once per batch. The fence is the data
directory's lock, the table of grants, and the head of each object's chain, compared in the transaction. Layout and
batch follow docs/decisions/0002-journal-engine.md.
Effects: disk, threads.
"""

from __future__ import annotations

import asyncio
import math
import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import apsw

from perdure.clock import Entropy, new_uuid
from perdure.errors import DamagedDataError, StorageFailedError
from perdure.limits import (
    JOURNAL_BATCH_RECORDS_MAX,
    JOURNAL_CHECKPOINT_BYTES,
    JOURNAL_RECORD_BYTES_MAX,
)
from perdure.storage._aside_checkpoint import AsideCheckpoint
from perdure.storage._disk import FileState
from perdure.storage._journal import (
    Adoption,
    Append,
    DueAlarm,
    Elsewhere,
    Grant,
    History,
    Incarnation,
    Lease,
    ListedObject,
    Outcome,
    Snapshot,
    Verdict,
)
from perdure.storage._journal_adoption import write_adoption
from perdure.storage._journal_schema import JOURNAL_PAGE_SIZE, prepare
from perdure.storage._layout import Lineage, ObjectKey
from perdure.storage._record import NO_DIGEST, digest_of, encode_record

_SYNCHRONOUS: Final = "FULL"
_BUSY_TIMEOUT_MS: Final = 5_000  # only a command line that reads the journal beside us can hold it

_FIND_OBJECT: Final = (
    "SELECT n, epoch, head, head_digest, forgotten, forgotten_digest, archived, name FROM object "
    "WHERE namespace = ? AND object_id = ?"
)
_ADD_OBJECT: Final = (
    "INSERT INTO object"
    "(namespace, object_id, epoch, claim, head, head_digest, forgotten, forgotten_digest, created_ms) "
    "VALUES (?, ?, ?, ?, 0, ?, 0, ?, ?) ON CONFLICT DO NOTHING"
)
_MOVE_HEAD: Final = (
    "UPDATE object SET head = ?1, head_digest = ?2, epoch = ?3, claim = ?4 "
    "WHERE namespace = ?5 AND object_id = ?6 AND head = ?1 - 1 AND epoch <= ?3 RETURNING n"
)
_LISTED: Final = (
    "SELECT namespace, object_id, name, head, created_ms, (SELECT min(at_ms) FROM alarm WHERE object = object.n), "
    "head = forgotten AND NOT EXISTS (SELECT 1 FROM file WHERE object = object.n) FROM object "
    "WHERE {} ORDER BY namespace, object_id LIMIT ?"
)
# One statement for both would walk to the end of all namespaces.
_LIST_ALL: Final = _LISTED.format("(namespace, object_id) > (?, ?)")
_LIST_NAMESPACE: Final = _LISTED.format("namespace = ? AND object_id > ?")
_ADD_RECORD: Final = "INSERT INTO log(object, sequence, data) VALUES (?, ?, ?)"
_SET_ALARM: Final = (
    "INSERT INTO alarm(object, number, at_ms, look_ms) VALUES (?1, ?2, ?3, ?3) "
    "ON CONFLICT (object, number) DO UPDATE SET at_ms = excluded.at_ms, look_ms = excluded.look_ms"
)
_DUE_ALARMS: Final = (
    "SELECT at_ms, namespace, object_id, number, name, look_ms FROM alarm JOIN object ON object.n = alarm.object "
    "WHERE look_ms <= ?1 AND (look_ms, object, number) > "
    "(?2, ifnull((SELECT n FROM object WHERE namespace = ?3 AND object_id = ?4), 0), ?5) "
    "ORDER BY look_ms, object, number LIMIT ?6"
)
_POSTPONE_ALARM: Final = (
    "UPDATE alarm SET look_ms = ?1 WHERE object = (SELECT n FROM object WHERE namespace = ?2 AND object_id = ?3) "
    "AND number = ?4 AND at_ms = ?5 AND look_ms = ?6"
)
_HURRY_ALARMS: Final = (
    "UPDATE alarm SET look_ms = at_ms WHERE look_ms <> at_ms "
    "AND (?1 IS NULL OR (SELECT namespace FROM object WHERE n = alarm.object) = ?1)"
)
_NO_HISTORY: Final = History(0, NO_DIGEST, 0, NO_DIGEST, (), {})


@dataclass(slots=True)
class _Owned:
    """An object under a grant that has not ended. `is_new`: the journal holds nothing of it yet."""

    grant: Grant
    is_new: bool
    appends_in_flight: int = 0


_Done = Callable[[Outcome], None]
_Sent = tuple[Append, _Done]
_Deliver = Callable[[Callable[[], None]], object]


class SqliteJournal:
    """See the module and `Journal`. `deliver` runs a function where answers belong; the default is the event loop
    that appended last.
    """

    def __init__(
        self,
        path: Path,
        *,
        entropy: Entropy,
        vfs: str | None = None,
        deliver: _Deliver | None = None,
        checkpoint_bytes: int = JOURNAL_CHECKPOINT_BYTES,
    ) -> None:
        self._path = path
        self._entropy = entropy
        self._vfs = vfs
        self._deliver = deliver
        self._deliver_is_fixed = deliver is not None
        self._owned: dict[ObjectKey, _Owned] = {}
        self._failure: str | None = None
        self._emptied: set[ObjectKey] = set()
        self._outbox: list[_Sent] = []
        self._queue: queue.SimpleQueue[list[_Sent] | Callable[[], None] | None] = queue.SimpleQueue()
        self._reader_lock = threading.Lock()
        try:
            self._writer = self._connect()
            prepare(self._writer, path)
            self._reader = self._connect()
            self.was_stopped_cleanly: bool = not self._writer.execute("SELECT count(*) FROM node").get
            """Whether the process before this one unregistered, or there was none."""
            self._bytes_kept: int
            self._history_bytes: int
            self._bytes_kept, self._history_bytes = self._writer.execute(
                "SELECT ifnull(sum(length(data)) FILTER (WHERE sequence > forgotten), 0), "
                "ifnull(sum(length(data)) FILTER (WHERE sequence <= forgotten), 0) "
                "FROM log JOIN object ON object.n = log.object"
            ).get
            self._aside = AsideCheckpoint(self._connect, wal_bytes=checkpoint_bytes, page_size=JOURNAL_PAGE_SIZE)
        except (apsw.CorruptError, apsw.NotADBError, apsw.SQLError) as error:
            raise DamagedDataError(
                f"the journal `{path}` cannot be read: {error}. Restore it from a backup together with the objects"
            ) from error
        except apsw.Error as error:
            raise StorageFailedError(f"the journal `{path}` cannot be opened: {error}") from error
        self._aside.watch(self._writer)
        self._thread = threading.Thread(target=self._write_batches, name="perdure-journal", daemon=True)
        self._thread.start()

    @property
    def bytes_kept(self) -> int:
        """The records of all objects that are not forgotten."""
        return self._bytes_kept

    @property
    def history_bytes(self) -> int:
        """The forgotten records of all objects that wait for `archive`."""
        return self._history_bytes

    # ── the port ─────────────────────────────────────────────────────────────────────────────────────────────

    def register(self, incarnation: Incarnation) -> Lease:
        # Whoever holds the directory's lock knows that all earlier incarnations ended.
        def add() -> None:
            self._owned.clear()
            with self._writer:
                self._writer.execute("DELETE FROM node")
                self._writer.execute(
                    "INSERT INTO node(incarnation_id, address) VALUES (?, ?)",
                    (incarnation.incarnation_id, incarnation.address),
                )

        self._run_on_writer(add)
        return Lease(incarnation, math.inf)

    def acquire(self, lease: Lease, key: ObjectKey) -> Grant | Elsewhere:
        owned = self._owned.get(key)
        if owned is not None and owned.appends_in_flight:
            # What the former grant has under way must not land between our load and our first append.
            self._send()
            self._run_on_writer(lambda: None)
        row = self._find_or_none(key)
        epoch = max(row[1] if row else 0, owned.grant.epoch if owned else 0) + 1
        grant = Grant(key, epoch, new_uuid(self._entropy))
        self._owned[key] = _Owned(grant, is_new=row is None)
        return grant

    def load(self, grant: Grant) -> History:
        owned = self._owned.get(grant.key)
        if owned is not None and owned.is_new:
            return _NO_HISTORY
        with self._reading(f"object `{grant.key.object_id.hex()}`") as reader:
            row = reader.execute(_FIND_OBJECT, grant.key).fetchone()
            if row is None:
                return _NO_HISTORY
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
                {_lineage(text): FileState(size, modified) for text, size, modified in files},
                archived,
                name,
            )

    def append(self, append: Append, done: Callable[[Outcome], None]) -> None:
        owned = self._owned.get(append.grant.key)
        if owned is not None and owned.grant.claim == append.grant.claim:
            owned.is_new = False
            owned.appends_in_flight += 1
        self._outbox.append((append, done))
        if self._deliver_is_fixed:
            self._send()
        elif len(self._outbox) == 1:
            loop = asyncio.get_running_loop()
            self._deliver = loop.call_soon_threadsafe
            loop.call_soon(self._send)

    def _send(self) -> None:
        """Hand over what one step of the loop appended: waking the writer for each would cost more than its work."""
        if self._outbox:
            sent, self._outbox = self._outbox, []
            self._queue.put(sent)

    def snapshot(self, snapshot: Snapshot) -> None:
        self._run_on_writer(lambda: self._forget(snapshot))

    def adopt(self, adoption: Adoption) -> bool:
        kept_bytes: list[int | None] = []

        def adopt() -> None:
            with self._writer:
                kept_bytes.append(write_adoption(self._writer, adoption))

        self._send()
        self._run_on_writer(adopt)
        if kept_bytes[0] is None:
            return False
        self._history_bytes += kept_bytes[0]
        self._owned.pop(adoption.key, None)
        return True

    def records(self, key: ObjectKey, *, after: int, bytes_max: int) -> list[bytes]:
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

    def archive(self, key: ObjectKey, *, until: int) -> None:
        self._run_on_writer(lambda: self._archive(key, until))

    def release(self, grant: Grant) -> None:
        owned = self._owned.get(grant.key)
        if owned is None or owned.grant.claim != grant.claim:
            return
        del self._owned[grant.key]

    def due_alarms(self, *, until_ms: int, limit: int, after: DueAlarm | None = None) -> list[DueAlarm]:
        last = (-1, "", b"", 0) if after is None else (after.look_ms, *after.key, after.number)
        with self._reading("alarms") as reader:
            return [
                DueAlarm(at_ms, ObjectKey(namespace, object_id), number, name, look_ms)
                for at_ms, namespace, object_id, number, name, look_ms in reader.execute(
                    _DUE_ALARMS, (until_ms, *last, limit)
                )
            ]

    def postpone_alarms(self, alarms: Sequence[tuple[DueAlarm, int]]) -> None:
        def postpone() -> None:
            with self._writer:
                self._writer.executemany(
                    _POSTPONE_ALARM,
                    [(until_ms, *alarm.key, alarm.number, alarm.at_ms, alarm.look_ms) for alarm, until_ms in alarms],
                )

        self._run_on_writer(postpone)

    def hurry_alarms(self, *, namespace: str | None = None) -> None:
        def hurry() -> None:
            with self._writer:
                self._writer.execute(_HURRY_ALARMS, (namespace,))

        self._run_on_writer(hurry)

    def objects(
        self, *, namespace: str | None = None, after: ObjectKey | None = None, limit: int
    ) -> list[ListedObject]:
        with self._reading("objects") as reader:
            if namespace is None:
                rows = reader.execute(_LIST_ALL, (*(after or ("", b"")), limit))
            else:
                rows = reader.execute(_LIST_NAMESPACE, (namespace, after.object_id if after else b"", limit))
            return [
                ListedObject(ObjectKey(namespace, object_id), name, head, created_ms, alarm_at_ms, bool(is_deleted))
                for namespace, object_id, name, head, created_ms, alarm_at_ms, is_deleted in rows
            ]

    # ── beyond the port: one process's whole journal ─────────────────────────────────────────────────────────

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
        """How many objects of a namespace were ever committed to; deleted ones count until the next clean stop."""
        with self._reading("objects") as reader:
            return int(reader.execute("SELECT count(*) FROM object WHERE namespace = ?", (namespace,)).get)

    def has_file(self, key: ObjectKey, lineage: Lineage) -> bool:
        """Whether the database was ever made durable as a file, and not deleted since."""
        with self._reading("files") as reader:
            return bool(
                reader.execute(
                    "SELECT count(*) FROM object JOIN file ON file.object = object.n "
                    "WHERE namespace = ? AND object_id = ? AND lineage = ?",
                    (*key, _lineage_text(lineage)),
                ).get
            )

    def unregister(self) -> None:
        """Note that this process stops cleanly: no file lacks anything, and no file is unknown."""

        def remove() -> None:
            with self._writer:
                self._writer.execute("DELETE FROM node")

        self._run_on_writer(remove)

    def close(self) -> None:
        """Finish what is queued, and leave one plain file. On a disk that fails a `-wal` stays, for the next start."""
        self._send()
        if self._emptied and self._failure is None:
            with suppress(StorageFailedError):  # Rows of objects that are gone: in nobody's way.
                self._run_on_writer(self._sweep)
        self._queue.put(None)
        self._thread.join()
        self._aside.close()
        for connection in (self._reader, self._writer):
            with suppress(apsw.Error):
                connection.close()

    # ── the writer thread ────────────────────────────────────────────────────────────────────────────────────

    def _write_batches(self) -> None:
        is_open = True
        while is_open:
            appends: list[_Sent] = []
            jobs: list[Callable[[], None]] = []
            item = self._queue.get()
            while item is not None:
                if isinstance(item, list):
                    appends += item
                else:
                    jobs.append(item)
                if len(appends) >= JOURNAL_BATCH_RECORDS_MAX or self._queue.empty():
                    break
                item = self._queue.get()
            is_open = item is not None
            if appends:
                self._answer(appends, self._write(appends))
            for job in jobs:
                job()
            self._keep_wal_short()

    def _write(self, appends: list[_Sent]) -> list[Outcome]:
        """One transaction for all. A fenced append does not fail its neighbours."""
        if self._failure is not None:
            return [Outcome(Verdict.FAILED, reason=self._failure)] * len(appends)
        try:
            with self._writer:
                return [self._write_one(append) for append, _ in appends]
        except apsw.FullError as error:
            # Rolled back, and the disk may have room again later.
            reason = f"the disk that holds `{self._path}` is full: {error}"
        except apsw.Error as error:
            # After a failed write or sync nobody can say what the disk holds: only a fresh start reads it anew.
            reason = self._failure = f"the journal `{self._path}` failed and needs a restart: {_reason(error)}"
        return [Outcome(Verdict.FAILED, reason=reason)] * len(appends)

    def _write_one(self, append: Append) -> Outcome:
        grant, record = append.grant, append.record
        namespace, object_id = grant.key
        owned = self._owned.get(grant.key)
        if owned is None or owned.grant.claim != grant.claim:
            return Outcome(Verdict.FENCED, reason=f"grant {grant.epoch} has ended")
        data = encode_record(record)
        if len(data) > JOURNAL_RECORD_BYTES_MAX:
            return Outcome(
                Verdict.FAILED,
                reason=f"one commit became a record of {len(data)} bytes, the limit is {JOURNAL_RECORD_BYTES_MAX}",
            )
        digest = digest_of(data)
        if record.sequence == 1:
            claimed = (namespace, object_id, grant.epoch, grant.claim)
            self._writer.execute(_ADD_OBJECT, (*claimed, NO_DIGEST, NO_DIGEST, record.committed_at_ms))
        moved = self._writer.execute(
            _MOVE_HEAD, (record.sequence, digest, grant.epoch, grant.claim, namespace, object_id)
        ).fetchone()
        if moved is None:
            return self._refusal(append, digest, len(data))
        self._writer.execute(_ADD_RECORD, (moved[0], record.sequence, data))
        if append.name is not None:
            self._writer.execute("UPDATE object SET name = ? WHERE n = ?", (append.name, moved[0]))
        for number, alarm in append.alarms.items():
            if alarm.at_ms is None:
                self._writer.execute("DELETE FROM alarm WHERE object = ? AND number = ?", (moved[0], number))
            else:
                self._writer.execute(_SET_ALARM, (moved[0], number, alarm.at_ms))
        return Outcome(Verdict.ACKNOWLEDGED, digest, len(data))

    def _refusal(self, append: Append, digest: bytes, size_bytes: int) -> Outcome:
        """Why the head did not move: the record is there already, or it is not the next one."""
        row = self._writer.execute(_FIND_OBJECT, append.grant.key).fetchone()
        head = row[2] if row else 0
        if row is not None and head == append.record.sequence and row[3] == digest:
            return Outcome(Verdict.ACKNOWLEDGED, digest, size_bytes)
        return Outcome(
            Verdict.FENCED, reason=f"record {append.record.sequence} does not follow the journal's head {head}"
        )

    def _answer(self, appends: list[_Sent], outcomes: list[Outcome]) -> None:
        for append, outcome in zip((append for append, _ in appends), outcomes, strict=True):
            owned = self._owned.get(append.grant.key)
            if owned is not None and owned.grant.claim == append.grant.claim:
                owned.appends_in_flight -= 1
            if outcome.verdict is Verdict.ACKNOWLEDGED:
                self._bytes_kept += outcome.size_bytes

        def tell() -> None:
            errors = []
            for (_, done), outcome in zip(appends, outcomes, strict=True):
                try:
                    done(outcome)
                except Exception as error:  # noqa: BLE001 - raised below; the others must hear their answer first
                    errors.append(error)
            if errors:
                raise ExceptionGroup("whoever waited for the journal failed", errors)

        assert self._deliver is not None, "an append was queued, so the loop is known"
        try:
            self._deliver(tell)
        except RuntimeError:
            # The loop is closed: nobody waits any more. The records are as durable as they would be.
            return

    def _forget(self, snapshot: Snapshot) -> None:
        with self._writer:
            row = self._writer.execute(_FIND_OBJECT, snapshot.key).fetchone()
            if row is None:
                return
            number, _, head, _, forgotten, *_ = row
            for lineage, state in snapshot.files.items():
                text = _lineage_text(lineage)
                if state is None:
                    self._writer.execute("DELETE FROM file WHERE object = ? AND lineage = ?", (number, text))
                else:
                    self._writer.execute(
                        "INSERT INTO file(object, lineage, size_bytes, modified_ns) VALUES (?, ?, ?, ?) "
                        "ON CONFLICT (object, lineage) DO UPDATE SET size_bytes = excluded.size_bytes, "
                        "modified_ns = excluded.modified_ns",
                        (number, text, *state),
                    )
            if not forgotten < snapshot.forget_until <= head:
                return
            forgets = self._log_bytes(number, forgotten, snapshot.forget_until)
            self._writer.execute(
                "UPDATE object SET forgotten = ?, forgotten_digest = ? WHERE n = ?",
                (snapshot.forget_until, snapshot.digest, number),
            )
            archives = 0 if snapshot.keeps_history else self._drop_history(number, snapshot.forget_until)
        self._bytes_kept -= forgets
        self._history_bytes += forgets - archives
        if snapshot.forget_until == head and None in snapshot.files.values() and not snapshot.keeps_history:
            self._emptied.add(snapshot.key)

    def _archive(self, key: ObjectKey, until: int) -> None:
        with self._writer:
            row = self._writer.execute(_FIND_OBJECT, key).fetchone()
            if row is None:
                return
            number, _, _, _, forgotten, _, archived, _ = row
            if not archived < min(until, forgotten):
                return
            gone = self._drop_history(number, min(until, forgotten))
        self._history_bytes -= gone

    def _drop_history(self, number: int, until: int) -> int:
        """Delete an object's log rows up to `until`; how many bytes they had."""
        gone = self._log_bytes(number, 0, until)
        self._writer.execute("DELETE FROM log WHERE object = ? AND sequence <= ?", (number, until))
        self._writer.execute("UPDATE object SET archived = ? WHERE n = ?", (until, number))
        return gone

    def _log_bytes(self, number: int, after: int, until: int) -> int:
        size: int = self._writer.execute(
            "SELECT ifnull(sum(length(data)), 0) FROM log WHERE object = ? AND sequence > ? AND sequence <= ?",
            (number, after, until),
        ).get
        return size

    def _sweep(self) -> None:
        """Take away the rows of objects of which nothing is left. Only at the end: nobody may own them."""
        with self._writer:
            for key in self._emptied:
                self._writer.execute(
                    "DELETE FROM object WHERE namespace = ? AND object_id = ? AND head = forgotten "
                    "AND n NOT IN (SELECT object FROM file) AND n NOT IN (SELECT object FROM alarm)",
                    key,
                )

    def _keep_wal_short(self) -> None:
        if self._failure is not None:
            return
        try:
            self._aside.go_on(self._writer)
        except apsw.FullError:
            return  # The -wal keeps everything until there is room.
        except apsw.Error as error:
            self._failure = f"the journal `{self._path}` failed and needs a restart: {error}"

    # ── connections ──────────────────────────────────────────────────────────────────────────────────────────

    def _connect(self) -> apsw.Connection:
        connection = apsw.Connection(str(self._path), vfs=self._vfs)
        connection.set_busy_timeout(_BUSY_TIMEOUT_MS)
        connection.pragma("synchronous", _SYNCHRONOUS)
        connection.pragma("wal_autocheckpoint", 0)
        return connection

    def _find_or_none(self, key: ObjectKey) -> tuple[int, ...] | None:
        with self._reading(f"object `{key.object_id.hex()}`") as reader:
            row: tuple[int, ...] | None = reader.execute(_FIND_OBJECT, key).fetchone()
            return row

    @contextmanager
    def _reading(self, what: str) -> Iterator[apsw.Connection]:
        """The reading connection, for one caller at a time; an error says what was being read."""
        self._raise_failure()
        try:
            with self._reader_lock, self._reader:
                yield self._reader
        except (apsw.CorruptError, apsw.NotADBError) as error:
            raise DamagedDataError(
                f"the journal `{self._path}` is damaged where it holds {what}: {error}. "
                "Restore it from a backup together with the objects"
            ) from error
        except apsw.Error as error:
            raise StorageFailedError(f"the journal `{self._path}` cannot be read for {what}: {error}") from error

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise StorageFailedError(self._failure)

    def _run_on_writer(self, run: Callable[[], None]) -> None:
        """Run in the writer's thread, in the order of the queue, and wait for it."""
        self._raise_failure()
        finished: Future[None] = Future()

        def job() -> None:
            try:
                run()
            except apsw.Error as error:
                finished.set_exception(StorageFailedError(f"the journal `{self._path}` failed: {_reason(error)}"))
            else:
                finished.set_result(None)

        self._queue.put(job)
        finished.result()


def _reason(error: apsw.Error) -> BaseException:
    """Why a transaction failed. SQLite may have rolled back by itself: to do it again fails too, and says nothing."""
    return error.__context__ if isinstance(error.__context__, apsw.Error) else error


def _lineage_text(lineage: Lineage) -> str:
    return ".".join(map(str, lineage))


def _lineage(text: str) -> Lineage:
    return tuple(int(number) for number in text.split(".")) if text else ()
