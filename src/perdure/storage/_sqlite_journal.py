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
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
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
from perdure.storage._journal_alarms import take_back_postponements, write_alarms, write_postponements
from perdure.storage._journal_forgetting import drop_archived, drop_emptied, write_snapshot
from perdure.storage._journal_queries import NO_HISTORY, JournalQueries
from perdure.storage._journal_schema import FIND_OBJECT, JOURNAL_PAGE_SIZE, prepare
from perdure.storage._layout import ObjectKey
from perdure.storage._record import NO_DIGEST, digest_of, encode_record

_SYNCHRONOUS: Final = "FULL"
_BUSY_TIMEOUT_MS: Final = 5_000  # only a command line that reads the journal beside us can hold it

_ADD_OBJECT: Final = (
    "INSERT INTO object"
    "(namespace, object_id, epoch, claim, head, head_digest, forgotten, forgotten_digest, created_ms) "
    "VALUES (?, ?, ?, ?, 0, ?, 0, ?, ?) ON CONFLICT DO NOTHING"
)
_MOVE_HEAD: Final = (
    "UPDATE object SET head = ?1, head_digest = ?2, epoch = ?3, claim = ?4 "
    "WHERE namespace = ?5 AND object_id = ?6 AND head = ?1 - 1 AND epoch <= ?3 RETURNING n"
)
_ADD_RECORD: Final = "INSERT INTO log(object, sequence, data) VALUES (?, ?, ?)"


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
        try:
            self._writer = self._connect()
            prepare(self._writer, path)
            self.queries: Final = JournalQueries(self._connect(), path, self._raise_failure)
            """What is asked of one process's whole journal, beyond the port."""
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
            raise StorageFailedError(
                f"the journal `{path}` cannot be opened: {error}. "
                "Check its disk: has it room, may it be read and written?"
            ) from error
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
        known = self.queries.epoch_or_none(key)
        epoch = max(known or 0, owned.grant.epoch if owned else 0) + 1
        grant = Grant(key, epoch, new_uuid(self._entropy))
        self._owned[key] = _Owned(grant, is_new=known is None)
        return grant

    def load(self, grant: Grant) -> History:
        owned = self._owned.get(grant.key)
        if owned is not None and owned.is_new:
            return NO_HISTORY
        return self.queries.history(grant.key)

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
        def forget() -> None:
            with self._writer:
                forgotten = write_snapshot(self._writer, snapshot)
            self._bytes_kept -= forgotten.kept_bytes
            self._history_bytes += forgotten.history_bytes
            if forgotten.is_emptied:
                self._emptied.add(snapshot.key)

        self._run_on_writer(forget)

    def adopt(self, adoption: Adoption) -> bool:
        kept_bytes: list[int | None] = []

        def adopt() -> None:
            with self._writer:
                kept = write_adoption(self._writer, adoption)
            kept_bytes.append(kept)
            self._history_bytes += kept or 0  # In this thread, which alone changes it.

        self._send()
        self._run_on_writer(adopt)
        if kept_bytes[0] is None:
            return False
        self._owned.pop(adoption.key, None)
        return True

    def records(self, key: ObjectKey, *, after: int, bytes_max: int) -> list[bytes]:
        return self.queries.records(key, after=after, bytes_max=bytes_max)

    def archive(self, key: ObjectKey, *, until: int) -> None:
        def drop() -> None:
            with self._writer:
                gone = drop_archived(self._writer, key, until=until)
            self._history_bytes -= gone

        self._run_on_writer(drop)

    def release(self, grant: Grant) -> None:
        owned = self._owned.get(grant.key)
        if owned is None or owned.grant.claim != grant.claim:
            return
        del self._owned[grant.key]

    def due_alarms(self, *, until_ms: int, limit: int, after: DueAlarm | None = None) -> list[DueAlarm]:
        return self.queries.due_alarms(until_ms=until_ms, limit=limit, after=after)

    def postpone_alarms(self, alarms: Sequence[tuple[DueAlarm, int]]) -> None:
        def postpone() -> None:
            with self._writer:
                write_postponements(self._writer, alarms)

        self._run_on_writer(postpone)

    def hurry_alarms(self, *, namespace: str | None = None) -> None:
        def hurry() -> None:
            with self._writer:
                take_back_postponements(self._writer, namespace)

        self._run_on_writer(hurry)

    def objects(
        self, *, namespace: str | None = None, after: ObjectKey | None = None, limit: int
    ) -> list[ListedObject]:
        return self.queries.objects(namespace=namespace, after=after, limit=limit)

    # ── beyond the port: one process's whole journal ─────────────────────────────────────────────────────────

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
                self._run_on_writer(self._drop_emptied)
        self._queue.put(None)
        self._thread.join()
        self._aside.close()
        for connection in (self.queries, self._writer):
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
        except Exception as error:  # noqa: BLE001  # a bug must not end the thread, on which every object waits
            reason = f"the journal `{self._path}` could not write what it was given: {error!r}"
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
        write_alarms(self._writer, moved[0], append.alarms)
        return Outcome(Verdict.ACKNOWLEDGED, digest, len(data))

    def _refusal(self, append: Append, digest: bytes, size_bytes: int) -> Outcome:
        """Why the head did not move: the record is there already, or it is not the next one."""
        row = self._writer.execute(FIND_OBJECT, append.grant.key).fetchone()
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

    def _drop_emptied(self) -> None:
        with self._writer:
            drop_emptied(self._writer, self._emptied)

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
            except Exception as error:  # noqa: BLE001  # whoever waits must hear of it, and the thread goes on
                finished.set_exception(StorageFailedError(f"the journal `{self._path}` failed: {_reason(error)}"))
            else:
                finished.set_result(None)

        self._queue.put(job)
        finished.result()


def _reason(error: Exception) -> BaseException:
    """Why a transaction failed. SQLite may have rolled back by itself: to do it again fails too, and says nothing."""
    return error.__context__ if isinstance(error.__context__, apsw.Error) else error
