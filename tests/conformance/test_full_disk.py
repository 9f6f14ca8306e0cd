"""A disk without room under an object's database (case 33): nothing is confirmed, and nothing confirmed is lost."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import suppress

import apsw
import pytest
from tests.conformance.flavours import TIME, Subject, TrustedSubject, failure, is_reset, topic, world_of

from perdure.errors import StorageFailedError
from perdure.isolates import Isolates
from perdure.storage import StoreOptions
from perdure.testing import World

_names = itertools.count()


class Disk(apsw.VFS):
    """SQLite's own file system, until it `is_full`."""

    def __init__(self, base: str) -> None:
        self.name = f"conformance-{next(_names)}"
        self.base = base
        self.is_full = False
        self.is_full_for_checkpoints = False
        super().__init__(self.name, base)

    def xOpen(self, name: object, flags: list[int]) -> File:  # noqa: N802
        return File(self, name, flags)


class File(apsw.VFSFile):
    def __init__(self, disk: Disk, name: object, flags: list[int]) -> None:
        self.disk = disk
        self.is_database = bool(flags[0] & apsw.SQLITE_OPEN_MAIN_DB)
        super().__init__(disk.base, name, flags)  # type: ignore[arg-type]  # as it was given to xOpen

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802
        if self.disk.is_full or (self.disk.is_full_for_checkpoints and self.is_database):
            error = apsw.FullError("database or disk is full")
            vars(error).update(result=apsw.SQLITE_FULL, extendedresult=apsw.SQLITE_FULL)
            raise error
        super().xWrite(data, offset)


@pytest.fixture
def disk() -> Iterator[Disk]:
    """Below the objects."""
    disk = Disk("unix-none")
    yield disk
    disk.unregister()


@pytest.fixture
def journal_disk() -> Iterator[Disk]:
    """Below the journal."""
    disk = Disk("unix")
    yield disk
    disk.unregister()


@pytest.fixture
def world(disk: Disk, journal_disk: Disk, perdure_isolates: Isolates) -> Iterator[World]:
    options = StoreOptions(vfs=disk.name, journal_vfs=journal_disk.name)
    with world_of(topic(None), isolates=perdure_isolates, store_options=options) as world:
        TIME.clock = world.clock
        yield world


@pytest.mark.parametrize(
    ("method", "arguments"),
    [("put", ("n", 2)), ("sql", ("INSERT INTO t VALUES (2)",)), ("sql", ("INSERT INTO t VALUES (zeroblob(4000000))",))],
)
async def test_case_33_a_full_disk(subject: Subject, disk: Disk, method: str, arguments: tuple[object, ...]) -> None:
    await subject.call("sql", "CREATE TABLE t(n); INSERT INTO t VALUES (1)")
    await subject.call("put", "n", 1)
    disk.is_full = True

    first = await failure(subject.call(method, *arguments))
    second = await failure(subject.call("read", "n"))

    assert "database or disk is full: SQLITE_FULL" in str(first)
    assert is_reset(first)
    assert str(second) == str(first)
    disk.is_full = False
    subject.renew()
    assert await subject.call("read", "n") == 1
    assert (await subject.call("sql", "SELECT n FROM t"))["rows"] == [[1]]
    await subject.call("put", "n", 2)
    await subject.crash()
    assert await subject.call("read", "n") == 2


async def test_a_full_disk_leaves_other_objects_reading(subject: Subject, disk: Disk) -> None:
    other = subject.world.get(TrustedSubject, "other")
    await other.put("n", 1)
    await subject.call("put", "n", 1)
    disk.is_full = True

    await failure(subject.call("put", "n", 2))

    assert await other.read("n") == 1
    disk.is_full = False


async def test_a_journal_without_room_resets_the_object_until_there_is_some(
    subject: Subject, journal_disk: Disk
) -> None:
    await subject.call("put", "n", 1)
    journal_disk.is_full = True

    error = await failure(subject.call("put", "n", 2))

    assert is_reset(error)
    assert "is full" in str(error)
    journal_disk.is_full = False
    subject.renew()
    assert await subject.call("read", "n") == 1
    await subject.call("put", "n", 3)
    await subject.crash()
    assert await subject.call("read", "n") == 3


async def test_a_compaction_without_room_loses_nothing_and_ends_when_there_is_some(
    subject: Subject, disk: Disk, caplog: pytest.LogCaptureFixture
) -> None:
    await subject.call("put", "n", 0)
    disk.is_full_for_checkpoints = True
    acknowledged = []

    for number in range(12):
        with suppress(StorageFailedError):
            await subject.call("put", str(number), f"{number:0100000}")
            acknowledged.append(number)
        await subject.world.settle()
        subject.renew()

    assert "could not be made durable, its journal is kept" in caplog.text
    disk.is_full_for_checkpoints = False
    await subject.call("put", "n", 1)
    await subject.crash()
    assert await subject.call("read", "n") == 1
    for number in acknowledged:
        assert await subject.call("read", str(number)) == f"{number:0100000}"
