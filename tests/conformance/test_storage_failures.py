"""What a critical failure of storage means for transactions and for writes without confirmation (spec 2.4, 2.5)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.conformance.flavours import TIME, Subject, Topic, failure, is_reset, world_of
from tests.conformance.test_full_disk import Disk

from perdure.isolates import Isolates
from perdure.storage import StoreOptions
from perdure.testing import World

pytestmark = pytest.mark.subject("storage")

BIG_INSERT = "INSERT INTO t VALUES (zeroblob(4000000))"


@pytest.fixture
def disks() -> Iterator[tuple[Disk, Disk]]:
    """Below the objects, and below the journal."""
    disks = Disk("unix-none"), Disk("unix")
    yield disks
    for disk in disks:
        disk.unregister()


@pytest.fixture
def world(disks: tuple[Disk, Disk], topic: Topic, perdure_isolates: Isolates) -> Iterator[World]:
    options = StoreOptions(vfs=disks[0].name, journal_vfs=disks[1].name)
    with world_of(topic, isolates=perdure_isolates, store_options=options) as world:
        TIME.clock = world.clock
        yield world


@pytest.mark.parametrize("kind", ["none", "sync", "async"])
async def test_case_33_catching_a_critical_error_does_not_help(
    subject: Subject, disks: tuple[Disk, Disk], kind: str
) -> None:
    await subject.call("sql", "CREATE TABLE t(x); INSERT INTO t VALUES (1)")
    disks[0].is_full = True

    error = await failure(subject.call("catchIn", kind, BIG_INSERT))

    assert "database or disk is full: SQLITE_FULL" in str(error)
    assert is_reset(error)
    disks[0].is_full = False
    subject.renew()
    assert await subject.call("sql", "SELECT x FROM t") == [[1]]


async def test_case_e9_every_later_operation_gets_the_same_error(subject: Subject, disks: tuple[Disk, Disk]) -> None:
    await subject.call("sql", "CREATE TABLE t(x); INSERT INTO t VALUES (1)")
    disks[0].is_full = True
    first = str(await failure(subject.call("catchIn", "none", BIG_INSERT)))

    later = [
        await failure(subject.call(method, *arguments))
        for method, arguments in (
            ("get", ("k",)),
            ("put", ("k", 1)),
            ("sql", ("SELECT 1",)),
            ("sync", ()),
            ("hasAlarm", ()),
            ("deleteAll", ()),
        )
    ]

    assert [str(error) for error in later] == [first] * 6
    disks[0].is_full = False


async def test_case_29_an_unconfirmed_write_that_fails_resets_the_object(
    subject: Subject, disks: tuple[Disk, Disk]
) -> None:
    await subject.call("put", "u", 0)
    await subject.call("count")
    disks[1].is_full = True

    assert await subject.call("unconfirmed", "put") == "answered"
    await subject.world.settle()

    assert "was not made durable" in str(await failure(subject.call("count")))
    disks[1].is_full = False
    subject.renew()
    assert await subject.call("count") == 0
    assert await subject.call("read", "u") == 0


async def test_case_e7_sync_is_told_why_a_commit_failed(subject: Subject, disks: tuple[Disk, Disk]) -> None:
    await subject.call("put", "u", 0)
    disks[1].is_full = True

    error = await failure(subject.call("unconfirmedThenSync"))

    assert "was not made durable" in str(error)
    disks[1].is_full = False
