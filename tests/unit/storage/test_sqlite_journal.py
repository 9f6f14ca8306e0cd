from __future__ import annotations

import asyncio
import shutil
import tempfile
import threading
from pathlib import Path
from typing import Any

import apsw
import pytest
from hypothesis import settings
from tests.unit.storage.journal_contract import JournalMachine

from perdure.clock import SystemEntropy
from perdure.errors import DamagedDataError, StorageFailedError
from perdure.limits import JOURNAL_CHECKPOINT_BYTES
from perdure.storage import _sqlite_journal
from perdure.storage._disk import FileState
from perdure.storage._journal import Adoption, AlarmChange, Append, DueAlarm, Grant, Incarnation, Outcome, Verdict
from perdure.storage._layout import ObjectKey
from perdure.storage._record import NO_DIGEST, Changed, Record, decode_record
from perdure.storage._sqlite_journal import SqliteJournal

KEY = ObjectKey("Counter", bytes(32))


def opened(path: Path, *, checkpoint_bytes: int = JOURNAL_CHECKPOINT_BYTES) -> SqliteJournal:
    return SqliteJournal(path, entropy=SystemEntropy(), deliver=lambda tell: tell(), checkpoint_bytes=checkpoint_bytes)


def appended(journal: SqliteJournal, append: Append) -> Outcome:
    answers: list[Outcome] = []
    answered = threading.Event()

    def done(outcome: Outcome) -> None:
        answers.append(outcome)
        answered.set()

    journal.append(append, done)
    assert answered.wait(10), "the journal did not answer"
    return answers[0]


class SqliteJournalMachine(JournalMachine):
    registering_ends_earlier_ones = True

    def make_journal(self) -> SqliteJournal:
        self.directory = tempfile.TemporaryDirectory()
        self.path = Path(self.directory.name) / "0.db"
        return opened(self.path)

    def close_journal(self) -> None:
        assert isinstance(self.journal, SqliteJournal)
        self.journal.close()
        self.directory.cleanup()

    def restart_journal(self) -> None:
        assert isinstance(self.journal, SqliteJournal)
        self.journal.close()
        self.journal = opened(self.path)

    def appended(self, append: Append) -> Outcome:
        assert isinstance(self.journal, SqliteJournal)
        return appended(self.journal, append)


TestSqliteJournal = SqliteJournalMachine.TestCase
TestSqliteJournal.settings = settings(max_examples=25, stateful_step_count=30, deadline=None)


def record(sequence: int, previous_digest: bytes) -> Record:
    return Record(sequence, previous_digest, 0, "", (Changed((), False, 4096, 1, {1: bytes([sequence % 256]) * 4096}),))


def filled(journal: SqliteJournal, count: int) -> None:
    grant = journal.acquire(journal.register(Incarnation("one")), KEY)
    digest = NO_DIGEST
    for sequence in range(1, count + 1):
        outcome = appended(journal, Append(grant, record(sequence, digest), {}))  # type: ignore[arg-type] # owned by us
        assert outcome.verdict is Verdict.ACKNOWLEDGED
        digest = outcome.digest


def test_wal_starts_again_while_records_arrive(tmp_path: Path) -> None:
    journal = opened(tmp_path / "0.db", checkpoint_bytes=64 * 1024)

    filled(journal, 300)

    assert (tmp_path / "0.db-wal").stat().st_size < 1024 * 1024
    journal.close()


def test_close_leaves_one_plain_file(tmp_path: Path) -> None:
    journal = opened(tmp_path / "0.db")
    filled(journal, 3)

    journal.close()

    assert [path.name for path in tmp_path.iterdir()] == ["0.db"]


def open_and_load(path: Path) -> None:
    journal = opened(path)
    try:
        journal.load(journal.acquire(journal.register(Incarnation("two")), KEY))  # type: ignore[arg-type] # owned by us
    finally:
        journal.close()


def test_foreign_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "0.db").write_bytes(b"what is this" * 1000)

    with pytest.raises(DamagedDataError, match="not a database"):
        opened(tmp_path / "0.db")


def test_truncated_journal_is_refused(tmp_path: Path) -> None:
    journal = opened(tmp_path / "0.db")
    filled(journal, 20)
    journal.close()
    content = (tmp_path / "0.db").read_bytes()
    (tmp_path / "0.db").write_bytes(content[: len(content) // 2])

    with pytest.raises(DamagedDataError, match="Restore it from a backup"):
        open_and_load(tmp_path / "0.db")


def test_oversized_record_fails_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_sqlite_journal, "JOURNAL_RECORD_BYTES_MAX", 100)
    journal = opened(tmp_path / "0.db")
    grant = journal.acquire(journal.register(Incarnation("one")), KEY)

    outcome = appended(journal, Append(grant, record(1, NO_DIGEST), {}))  # type: ignore[arg-type] # owned by us

    assert outcome.verdict is Verdict.FAILED
    assert "the limit is 100" in outcome.reason
    journal.close()


def test_journal_that_failed_answers_nothing_more(tmp_path: Path) -> None:
    journal = opened(tmp_path / "0.db")
    lease = journal.register(Incarnation("one"))
    journal._failure = "the disk is gone"

    with pytest.raises(StorageFailedError, match="the disk is gone"):
        journal.acquire(lease, KEY)
    journal.close()


def test_journal_of_format_1_is_migrated(tmp_path: Path) -> None:
    shutil.copy(Path(__file__).with_name("journal_v1.db"), tmp_path / "0.db")
    journal = opened(tmp_path / "0.db")
    lease = journal.register(Incarnation("two"))

    grant = journal.acquire(lease, KEY)
    assert isinstance(grant, Grant)
    history = journal.load(grant)

    assert (history.archived, history.forgotten, history.head, history.name) == (2, 2, 3, None)
    assert [decode_record(data).sequence for data in history.records] == [3]
    assert history.files == {(): FileState(4096, 7), (1,): FileState(8192, 8)}
    listed = journal.objects(limit=10)
    assert [(entry.key, entry.head, entry.created_ms) for entry in listed] == [
        (ObjectKey("App", bytes(32)), 1, None),
        (ObjectKey("App", bytes(31) + b"\1"), 2, None),
        (KEY, 3, None),
    ]
    due = journal.due_alarms(until_ms=10_000, limit=10)
    assert {(alarm.at_ms, alarm.key, alarm.name) for alarm in due} == {(1000, entry.key, None) for entry in listed}
    named = Append(grant, record(4, history.head_digest), {}, "of format 1")
    assert appended(journal, named).verdict is Verdict.ACKNOWLEDGED
    assert journal.load(grant).name == "of format 1"
    journal.close()
    opened(tmp_path / "0.db").close()


def test_journal_of_a_later_format_is_refused(tmp_path: Path) -> None:
    opened(tmp_path / "0.db").close()
    connection = apsw.Connection(str(tmp_path / "0.db"))
    connection.pragma("user_version", 3)
    connection.close()

    with pytest.raises(DamagedDataError, match="format 3"):
        opened(tmp_path / "0.db")


async def test_what_one_step_of_the_loop_appends_leaves_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = SqliteJournal(tmp_path / "0.db", entropy=SystemEntropy())
    lease = journal.register(Incarnation("one"))
    batches: list[int] = []
    write = journal._write

    def counted(sent: list[Any]) -> object:
        batches.append(len(sent))
        return write(sent)

    monkeypatch.setattr(journal, "_write", counted)
    answered: list[asyncio.Future[Outcome]] = []
    for number in range(20):
        grant = journal.acquire(lease, ObjectKey("Counter", number.to_bytes(32, "big")))
        answered.append(asyncio.get_running_loop().create_future())
        journal.append(Append(grant, record(1, NO_DIGEST), {}), answered[-1].set_result)  # type: ignore[arg-type] # owned by us

    outcomes = await asyncio.gather(*answered)

    assert batches == [20]
    assert {outcome.verdict for outcome in outcomes} == {Verdict.ACKNOWLEDGED}
    journal.close()


def test_what_cannot_be_written_does_not_end_the_thread_that_writes(tmp_path: Path) -> None:
    journal = opened(tmp_path / "0.db")
    grant = journal.acquire(journal.register(Incarnation("one")), KEY)
    assert isinstance(grant, Grant)

    refused = appended(journal, Append(grant, record(1, NO_DIGEST), {0: AlarmChange(2**70)}))
    with pytest.raises(StorageFailedError, match="too big"):
        journal.postpone_alarms([(DueAlarm(1, KEY, 0, None, 1), 2**70)])

    assert refused.verdict is Verdict.FAILED
    assert appended(journal, Append(grant, record(1, NO_DIGEST), {})).verdict is Verdict.ACKNOWLEDGED
    journal.close()


def test_what_waits_for_the_archive_is_counted_in_one_thread_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = opened(tmp_path / "0.db")
    record = Record(1, NO_DIGEST, 0, "", ())
    adoption = Adoption(KEY, None, record, {}, {}, keeps_history=True)
    counted_by: set[threading.Thread] = set()

    def note(self: SqliteJournal, name: str, value: object) -> None:
        if name == "_history_bytes":
            counted_by.add(threading.current_thread())
        object.__setattr__(self, name, value)

    monkeypatch.setattr(SqliteJournal, "__setattr__", note)
    assert journal.adopt(adoption)
    journal.archive(KEY, until=1)
    monkeypatch.undo()

    assert counted_by == {journal._thread}
    assert journal.history_bytes == 0
    journal.close()
