"""Random SQL against one database, each commit captured from its `-wal`: a replica made of nothing but the captured
pages must be the same file, byte for byte. `PERDURE_CAPTURE_SEEDS=100` makes it long.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from random import Random

import apsw
import pytest

from perdure.errors import StorageFailedError
from perdure.storage._capture import WalTail
from perdure.storage._disk import SystemDisk
from perdure.storage._layout import wal_path
from perdure.storage._record import NO_DIGEST, Changed, Record, decode_record, encode_record

SEEDS = int(os.environ.get("PERDURE_CAPTURE_SEEDS", "8"))
PAGE_SIZES = (4096, 1024, 8192, 512)


class Fuzz:
    """A database that is worked on, and its replica."""

    def __init__(self, directory: Path, seed: int) -> None:
        self.chance = Random(seed)
        self.page_size = PAGE_SIZES[seed % len(PAGE_SIZES)]
        self.path = directory / "source.sqlite"
        self.replica = directory / "replica.sqlite"
        self.replica.touch()
        self.source = apsw.Connection(str(self.path))
        self.source.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
        self.source.execute(f"PRAGMA page_size = {self.page_size}")
        self.source.execute(f"PRAGMA auto_vacuum = {self.chance.choice([0, 0, 1, 2])}")
        for name, value in (("locking_mode", "exclusive"), ("journal_mode", "wal"), ("synchronous", "off")):
            self.source.pragma(name, value)
        self.source.wal_autocheckpoint(0)
        self.source.pragma("cache_size", 20)  # so small that pages spill into the -wal before their commit
        self.tail = WalTail(wal_path(self.path), number=0, page_size=self.page_size)
        self.tables: list[str] = []
        self.file_pages = 0
        # What the file holds before its first commit is not a commit's.
        if self.path.stat().st_size:
            self.replica.write_bytes(self.path.read_bytes())

    def step(self, number: int) -> None:
        choices: dict[Callable[[int], None], float] = {
            self.insert: 30, self.update: 15, self.delete: 8, self.create: 3, self.drop: 1, self.vacuum: 0.6,
            self.roll_back: 5, self.insert_many: 2, self.insert_large: 5, self.index: 1, self.savepoints: 4,
            self.full_text: 2, self.reopen: 1,
        }  # fmt: skip
        (act,) = self.chance.choices(list(choices), list(choices.values()))
        (act if self.tables else self.create)(number)
        self.capture()
        if self.chance.random() < 0.02:
            self.source.wal_checkpoint(
                mode=self.chance.choice(
                    [apsw.SQLITE_CHECKPOINT_PASSIVE, apsw.SQLITE_CHECKPOINT_RESTART, apsw.SQLITE_CHECKPOINT_TRUNCATE]
                )
            )

    def capture(self) -> None:
        captured = self.tail.read_or_none() if wal_path(self.path).exists() else None
        if captured is None:
            return
        section = Changed((), False, captured.page_size, captured.database_pages, captured.pages)
        record = decode_record(encode_record(Record(1, NO_DIGEST, 0, "", (section,))))
        assert record.sections == (section,)
        SystemDisk().write_pages(
            self.replica, captured.pages, page_size=captured.page_size, file_pages=captured.database_pages
        )

    def compare(self) -> None:
        self.source.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
        assert self.replica.read_bytes() == self.path.read_bytes()

    def table(self) -> str:
        return self.chance.choice(self.tables)

    def rows(self, count: int, sizes: list[int]) -> None:
        for _ in range(count):
            body = self.chance.randbytes(self.chance.choice(sizes))
            self.source.execute(f"INSERT INTO {self.table()}(a, b) VALUES (?, ?)", (self.chance.randrange(1000), body))

    def insert(self, _: int) -> None:
        with self.source:
            self.rows(self.chance.randrange(1, 6), [20, 200, 900])

    def insert_many(self, _: int) -> None:
        with self.source:
            self.rows(300, [20, 200, 900])

    def insert_large(self, _: int) -> None:
        with self.source:
            self.rows(2, [5_000, 40_000])

    def update(self, _: int) -> None:
        body = self.chance.randbytes(300)
        self.source.execute(f"UPDATE {self.table()} SET b = ? WHERE id % 11 = ?", (body, self.chance.randrange(11)))

    def delete(self, _: int) -> None:
        self.source.execute(f"DELETE FROM {self.table()} WHERE id % 7 = ?", (self.chance.randrange(7),))

    def create(self, number: int) -> None:
        self.source.execute(f"CREATE TABLE t{number}(id INTEGER PRIMARY KEY, a, b)")
        self.tables.append(f"t{number}")

    def drop(self, _: int) -> None:
        if len(self.tables) > 1:
            self.source.execute(f"DROP TABLE {self.tables.pop()}")

    def index(self, _: int) -> None:
        table = self.table()
        self.source.execute(f"CREATE INDEX IF NOT EXISTS i_{table} ON {table}(a)")

    def vacuum(self, _: int) -> None:
        self.source.execute("VACUUM")

    def full_text(self, _: int) -> None:
        with self.source:
            self.source.execute("CREATE VIRTUAL TABLE IF NOT EXISTS f USING fts5(x)")
            words = " ".join(f"w{self.chance.randrange(500)}" for _ in range(30))
            self.source.execute("INSERT INTO f VALUES (?)", (words,))

    def roll_back(self, _: int) -> None:
        self.source.execute("BEGIN")
        self.rows(60, [900])
        self.source.execute("ROLLBACK")

    def savepoints(self, _: int) -> None:
        self.source.execute("BEGIN")
        for end in self.chance.choices(["ROLLBACK TO s", "RELEASE s"], k=3):
            self.source.execute("SAVEPOINT s")
            self.rows(2, [200])
            self.source.execute(end)
        self.source.execute("COMMIT")

    def reopen(self, _: int) -> None:
        """The tail is opened anew, as after an eviction: what lies in the file is captured already."""
        self.tail.close()
        self.tail = WalTail(wal_path(self.path), number=0, page_size=self.page_size)


@pytest.mark.parametrize("seed", range(SEEDS))
def test_replica_of_captured_pages_is_the_same_file(tmp_path: Path, seed: int) -> None:
    fuzz = Fuzz(tmp_path, seed)

    for number in range(300):
        fuzz.step(number)
        if number % 30 == 29:
            fuzz.compare()

    replica = apsw.Connection(str(fuzz.replica))
    assert replica.execute("PRAGMA integrity_check").get == "ok"
    replica.close()
    fuzz.source.close()


def test_commit_without_frames_is_reported(tmp_path: Path) -> None:
    fuzz = Fuzz(tmp_path, 0)
    fuzz.create(0)
    fuzz.tail.read()

    with pytest.raises(StorageFailedError, match="holds none since the last one"):
        fuzz.tail.read()


def test_missing_log_is_reported(tmp_path: Path) -> None:
    tail = WalTail(tmp_path / "none-wal", number=0, page_size=4096)

    with pytest.raises(StorageFailedError, match="cannot be read"):
        tail.read()
