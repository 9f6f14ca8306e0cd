"""SqliteJournal: the journal of one process, in one SQLite file that syncs at every commit.

A thread of its own takes whatever queued up during the last flush as one transaction, so one flush serves many
objects; the event loop is woken once per batch. A batch is four statements however large it is, because the thread gives
up the GIL at each and may wait for it afterwards. The fence is the data directory's lock, the table of grants, and the
head of each object's chain: known in memory, and compared in the transaction once more, against other programs.
Layout and batch follow docs/decisions/0002-journal-engine.md.
Effects: disk, threads.
"""

from __future__ import annotations

import asyncio
import itertools
import math
import queue
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple

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
    AlarmChange,
    Append,
    DueAlarm,
    Elsewhere,
    Grant,
    History,
    Incarnation,
    Lease,
    Outcome,
    Snapshot,
    Verdict,
)
from perdure.storage._layout import Lineage, ObjectKey
from perdure.storage._record import NO_DIGEST, digest_of, encode_record

_FORMAT: Final = 1
_APPLICATION_ID: Final = 0x7064_7572  # "pdur", for people who ask `file`
_PAGE_SIZE: Final = 4096
_SYNCHRONOUS: Final = "FULL"
_BUSY_TIMEOUT_MS: Final = 5_000  # only a command line that reads the journal beside us can hold it

_SCHEMA: Final = """
CREATE TABLE node(n INTEGER PRIMARY KEY, incarnation_id TEXT NOT NULL UNIQUE, address TEXT NOT NULL) STRICT;
CREATE TABLE object(
    n INTEGER PRIMARY KEY, namespace TEXT NOT NULL, object_id BLOB NOT NULL,
    epoch INTEGER NOT NULL, claim TEXT NOT NULL,
    head INTEGER NOT NULL, head_digest BLOB NOT NULL, forgotten INTEGER NOT NULL, forgotten_digest BLOB NOT NULL,
    UNIQUE (namespace, object_id)) STRICT;
CREATE TABLE log(n INTEGER PRIMARY KEY, object INTEGER NOT NULL, sequence INTEGER NOT NULL, data BLOB NOT NULL) STRICT;
CREATE UNIQUE INDEX log_chain ON log(object, sequence);
CREATE TABLE file(
    object INTEGER NOT NULL, lineage TEXT NOT NULL, size_bytes INTEGER NOT NULL, modified_ns INTEGER NOT NULL,
    PRIMARY KEY (object, lineage)) STRICT, WITHOUT ROWID;
CREATE TABLE alarm(
    object INTEGER NOT NULL, number INTEGER NOT NULL, at_ms INTEGER NOT NULL,
    PRIMARY KEY (object, number)) STRICT, WITHOUT ROWID;
CREATE INDEX alarm_due ON alarm(at_ms);
"""

_FIND_OBJECT: Final = (
    "SELECT n, epoch, head, head_digest, forgotten, forgotten_digest FROM object WHERE namespace = ? AND object_id = ?"
)
_MOVE_HEADS: Final = (
    "INSERT INTO object(n, namespace, object_id, epoch, claim, head, head_digest, forgotten, forgotten_digest) "
    "VALUES {rows} ON CONFLICT (n) DO UPDATE SET "
    "epoch = excluded.epoch, claim = excluded.claim, head = excluded.head, head_digest = excluded.head_digest "
    "WHERE head = excluded.head - 1 AND epoch <= excluded.epoch"
)
_ADD_RECORDS: Final = "INSERT INTO log(object, sequence, data) VALUES {rows}"
_SET_ALARM: Final = (
    "INSERT INTO alarm(object, number, at_ms) VALUES (?, ?, ?) "
    "ON CONFLICT (object, number) DO UPDATE SET at_ms = excluded.at_ms"
)


class _Head(NamedTuple):
    """The last record of an object's chain."""

    sequence: int
    digest: bytes


_NO_HEAD: Final = _Head(0, NO_DIGEST)
_NO_HISTORY: Final = History(0, NO_DIGEST, 0, NO_DIGEST, (), {})


@dataclass(slots=True)
class _Owned:
    """An object under a grant that has not ended. `number` is its row's, which its first record makes."""

    grant: Grant
    number: int
    head: _Head
    appends_in_flight: int = 0


@dataclass(slots=True)
class _Batch:
    """What one transaction writes: values in the order of the statements, and the heads to be known when it is done."""

    objects: list[int | str | bytes] = field(default_factory=list)
    records: list[int | bytes] = field(default_factory=list)
    count: int = 0
    alarms: list[tuple[int, int, AlarmChange]] = field(default_factory=list)
    heads: dict[int, tuple[_Owned, _Head]] = field(default_factory=dict)

    def head(self, owned: _Owned) -> _Head:
        moved = self.heads.get(owned.number)
        return owned.head if moved is None else moved[1]

    def add(self, owned: _Owned, append: Append, head: _Head, data: bytes) -> None:
        grant, number = append.grant, owned.number
        self.objects += (number, *grant.key, grant.epoch, grant.claim, *head, 0, NO_DIGEST)
        self.records += (number, head.sequence, data)
        self.count += 1
        self.alarms += [(number, database, alarm) for database, alarm in append.alarms.items()]
        self.heads[number] = (owned, head)


_Done = Callable[[Outcome], None]
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
        self._queue: queue.SimpleQueue[tuple[Append, _Done] | Callable[[], None] | None] = queue.SimpleQueue()
        self._reader_lock = threading.Lock()
        try:
            self._writer = self._connect()
            _prepare(self._writer, path)
            self._reader = self._connect()
            self.was_stopped_cleanly: bool = not self._writer.execute("SELECT count(*) FROM node").get
            """Whether the process before this one unregistered, or there was none."""
            self._numbers = itertools.count(self._writer.execute("SELECT ifnull(max(n), 0) + 1 FROM object").get)
            """For the rows of new objects."""
            self._bytes_kept: int = self._writer.execute("SELECT ifnull(sum(length(data)), 0) FROM log").get
        except (apsw.CorruptError, apsw.NotADBError, apsw.SQLError) as error:
            raise DamagedDataError(
                f"the journal `{path}` cannot be read: {error}. Restore it from a backup together with the objects"
            ) from error
        except apsw.Error as error:
            raise StorageFailedError(f"the journal `{path}` cannot be opened: {error}") from error
        self._aside = AsideCheckpoint(self._connect, wal_bytes=checkpoint_bytes, page_size=_PAGE_SIZE)
        self._aside.watch(self._writer)
        self._thread = threading.Thread(target=self._write_batches, name="perdure-journal", daemon=True)
        self._thread.start()

    @property
    def bytes_kept(self) -> int:
        """The records of all objects that are not forgotten."""
        return self._bytes_kept

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
            self._run_on_writer(lambda: None)
        row = self._find_or_none(key)
        number, epoch, head = (row[0], row[1], _Head(row[2], row[3])) if row else (next(self._numbers), 0, _NO_HEAD)
        epoch = max(epoch, owned.grant.epoch if owned else 0) + 1
        grant = Grant(key, epoch, new_uuid(self._entropy))
        self._owned[key] = _Owned(grant, number, head)
        return grant

    def load(self, grant: Grant) -> History:
        owned = self._owned.get(grant.key)
        if owned is not None and owned.head is _NO_HEAD and not owned.appends_in_flight:
            return _NO_HISTORY  # A new object: `acquire` found no row, and there is none since.
        with self._reading(f"object `{grant.key.object_id.hex()}`") as reader:
            row = reader.execute(_FIND_OBJECT, grant.key).fetchone()
            if row is None:
                return _NO_HISTORY
            number, _, head, head_digest, forgotten, forgotten_digest = row
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
            )

    def append(self, append: Append, done: Callable[[Outcome], None]) -> None:
        if not self._deliver_is_fixed:
            self._deliver = asyncio.get_running_loop().call_soon_threadsafe
        owned = self._owned.get(append.grant.key)
        if owned is not None and owned.grant.claim == append.grant.claim:
            owned.appends_in_flight += 1
        self._queue.put((append, done))

    def snapshot(self, snapshot: Snapshot) -> None:
        self._run_on_writer(lambda: self._forget(snapshot))

    def release(self, grant: Grant) -> None:
        owned = self._owned.get(grant.key)
        if owned is None or owned.grant.claim != grant.claim:
            return
        del self._owned[grant.key]
        if owned.appends_in_flight and self._failure is None:
            self._run_on_writer(lambda: None)  # What it has under way must not land after the next `acquire`.

    def due_alarms(self, *, until_ms: int, limit: int) -> list[DueAlarm]:
        with self._reading("alarms") as reader:
            rows = reader.execute(
                "SELECT at_ms, namespace, object_id, number FROM alarm JOIN object ON object.n = alarm.object "
                "WHERE at_ms <= ? ORDER BY at_ms, object.n, number LIMIT ?",
                (until_ms, limit),
            )
            return [
                DueAlarm(at_ms, ObjectKey(namespace, object_id), number) for at_ms, namespace, object_id, number in rows
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
        """Finish what is queued, and leave one plain file."""
        if self._emptied and self._failure is None:
            self._run_on_writer(self._sweep)
        self._queue.put(None)
        self._thread.join()
        self._aside.close()
        self._reader.close()
        self._writer.close()

    # ── the writer thread ────────────────────────────────────────────────────────────────────────────────────

    def _write_batches(self) -> None:
        is_open = True
        while is_open:
            appends: list[tuple[Append, _Done]] = []
            jobs: list[Callable[[], None]] = []
            item = self._queue.get()
            while item is not None:
                if isinstance(item, tuple):
                    appends.append(item)
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

    def _write(self, appends: list[tuple[Append, _Done]]) -> list[Outcome]:
        """One transaction for all. A fenced append does not fail its neighbours."""
        if self._failure is not None:
            return [Outcome(Verdict.FAILED, reason=self._failure)] * len(appends)
        batch = _Batch()
        outcomes = [self._judge(append, batch) for append, _ in appends]
        try:
            self._write_batch(batch)
        except apsw.FullError as error:
            # Rolled back, and the disk may have room again later.
            reason = f"the disk that holds `{self._path}` is full: {error}"
        except apsw.Error as error:
            # After a failed write or sync nobody can say what the disk holds: only a fresh start reads it anew.
            reason = self._failure = f"the journal `{self._path}` failed and needs a restart: {error}"
        else:
            for owned, head in batch.heads.values():
                owned.head = head
            return outcomes
        return [Outcome(Verdict.FAILED, reason=reason)] * len(appends)

    def _judge(self, append: Append, batch: _Batch) -> Outcome:
        """The answer if `batch` becomes durable, to which it adds the record when it is the next of its chain."""
        grant, record = append.grant, append.record
        owned = self._owned.get(grant.key)
        if owned is None or owned.grant.claim != grant.claim:
            return Outcome(Verdict.FENCED, reason=f"grant {grant.epoch} has ended")
        data = encode_record(record)
        if len(data) > JOURNAL_RECORD_BYTES_MAX:
            return Outcome(
                Verdict.FAILED,
                reason=f"one commit became a record of {len(data)} bytes, the limit is {JOURNAL_RECORD_BYTES_MAX}",
            )
        head, following = batch.head(owned), _Head(record.sequence, digest_of(data))
        if record.sequence == head.sequence + 1:
            batch.add(owned, append, following, data)
        elif following != head:  # Else it is there already.
            return Outcome(
                Verdict.FENCED, reason=f"record {record.sequence} does not follow the journal's head {head.sequence}"
            )
        return Outcome(Verdict.ACKNOWLEDGED, following.digest, len(data))

    def _write_batch(self, batch: _Batch) -> None:
        if not batch.count:
            return
        with self._writer:
            self._writer.execute(_with_rows(_MOVE_HEADS, batch.count, columns=9), batch.objects)
            if self._writer.changes() != batch.count:
                raise apsw.AbortError("another program moved the head of an object's chain")
            self._writer.execute(_with_rows(_ADD_RECORDS, batch.count, columns=3), batch.records)
            for number, database, alarm in batch.alarms:
                if alarm.at_ms is None:
                    self._writer.execute("DELETE FROM alarm WHERE object = ? AND number = ?", (number, database))
                else:
                    self._writer.execute(_SET_ALARM, (number, database, alarm.at_ms))

    def _answer(self, appends: list[tuple[Append, _Done]], outcomes: list[Outcome]) -> None:
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
            number, _, head, _, forgotten, _ = row
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
            gone = self._writer.execute(
                "SELECT ifnull(sum(length(data)), 0) FROM log WHERE object = ? AND sequence <= ?",
                (number, snapshot.forget_until),
            ).get
            self._writer.execute("DELETE FROM log WHERE object = ? AND sequence <= ?", (number, snapshot.forget_until))
            self._writer.execute(
                "UPDATE object SET forgotten = ?, forgotten_digest = ? WHERE n = ?",
                (snapshot.forget_until, snapshot.digest, number),
            )
        self._bytes_kept -= gone
        if snapshot.forget_until == head and None in snapshot.files.values():
            self._emptied.add(snapshot.key)

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
                finished.set_exception(StorageFailedError(f"the journal `{self._path}` failed: {error}"))
            else:
                finished.set_result(None)

        self._queue.put(job)
        finished.result()


def _prepare(connection: apsw.Connection, path: Path) -> None:
    """Make the tables of a new journal; refuse a file that is none, or one of a later version."""
    made_by, version = connection.pragma("application_id"), connection.pragma("user_version")
    is_new = not connection.execute("SELECT count(*) FROM sqlite_schema").get
    if is_new:
        connection.pragma("page_size", _PAGE_SIZE)
    elif made_by != _APPLICATION_ID or version != _FORMAT:
        raise DamagedDataError(
            f"`{path}` is no journal of this program: application id {made_by}, format {version} "
            f"(expected {_APPLICATION_ID}, format {_FORMAT})"
        )
    connection.pragma("journal_mode", "wal")
    if is_new:
        with connection:
            connection.execute(_SCHEMA)
            connection.pragma("application_id", _APPLICATION_ID)
            connection.pragma("user_version", _FORMAT)


@cache
def _with_rows(statement: str, count: int, *, columns: int) -> str:
    """`statement` for `count` rows: always the same text, so that it stays prepared."""
    row = f"({', '.join('?' * columns)})"
    return statement.format(rows=", ".join([row] * count))


def _lineage_text(lineage: Lineage) -> str:
    return ".".join(map(str, lineage))


def _lineage(text: str) -> Lineage:
    return tuple(int(number) for number in text.split(".")) if text else ()
