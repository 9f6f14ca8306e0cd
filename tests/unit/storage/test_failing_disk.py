"""What a disk that fails must not leave behind: open files, threads, names without files, files without names."""

from __future__ import annotations

import asyncio
import errno
import threading
from pathlib import Path

import apsw
import pytest
from tests.unit.storage.store_world import NAMESPACE, OBJECT_ID, committed, crash, database_file, opened, put, store_in
from tests.unit.storage.test_opening import SlowDisk

from perdure.errors import StorageFailedError
from perdure.storage import RootStore, StoreOptions
from perdure.storage._capture import Captured
from perdure.storage._disk import SystemDisk
from perdure.storage._record import NO_DIGEST, Changed, Deleted, decode_record
from perdure.storage._root_chain import KeptRecord, RootChain
from perdure.storage._sqlite_journal import SqliteJournal


class StickyDisk(SystemDisk):
    """Nothing can be removed while it `is_sticky`."""

    is_sticky = False

    def unlink(self, path: Path) -> None:
        if self.is_sticky:
            raise OSError(errno.EIO, "I/O error", str(path))
        super().unlink(path)


async def put_in_facet(root: RootStore, name: str) -> int:
    """One acknowledged commit of a facet; its number."""
    number = root.facet_number(0, name)
    await root.log.submit(committed(root.open_database(0)))
    await put(root, "a", "1", number=number)
    return number


async def test_a_facets_row_and_its_file_are_deleted_by_one_record(tmp_path: Path) -> None:
    async with store_in(tmp_path) as store:
        root = store.root(NAMESPACE, OBJECT_ID)
        number = await put_in_facet(root, "app")

        await root.delete_facet(number)

        journal = apsw.Connection(str(tmp_path / "journal" / "0.db"), flags=apsw.SQLITE_OPEN_READONLY)
        last = decode_record(journal.execute("SELECT data FROM log ORDER BY n DESC LIMIT 1").get)
        journal.close()
        assert [(type(section), section.lineage) for section in last.sections] == [(Changed, ()), (Deleted, (number,))]


async def test_a_file_that_could_not_be_removed_goes_before_the_journal_forgets_it(tmp_path: Path) -> None:
    disk = StickyDisk()
    async with store_in(tmp_path, StoreOptions(disk=disk)) as store:
        root = store.root(NAMESPACE, OBJECT_ID)
        number = await put_in_facet(root, "app")

        disk.is_sticky = True
        await root.delete_facet(number)
        assert database_file(tmp_path, f".{number}").exists()
        disk.is_sticky = False
        await root.compact()

        assert not database_file(tmp_path, f".{number}").exists()


async def test_a_database_is_closed_even_if_its_files_cannot_be_removed(tmp_path: Path) -> None:
    disk = StickyDisk()
    async with store_in(tmp_path, StoreOptions(disk=disk)) as store:
        root = store.root(NAMESPACE, OBJECT_ID)
        root.open_database()

        disk.is_sticky = True
        root.close_database(0)
        disk.is_sticky = False

        assert root.is_closed
    assert not database_file(tmp_path).exists()


async def test_files_of_which_nothing_was_committed_go_with_the_next_clean_stop(tmp_path: Path) -> None:
    store = opened(tmp_path)
    store.root(NAMESPACE, OBJECT_ID).open_database()
    written = store.root(NAMESPACE, bytes(31) + b"\1").open_database()
    written.kv_put("a", "1")
    await put(store.root(NAMESPACE, bytes(31) + b"\2"), "a", "1")
    left = sorted(database_file(tmp_path).parent.iterdir())
    copies = [(path, path.read_bytes()) for path in left]
    await crash(store)
    for path, content in copies:
        path.write_bytes(content)

    async with store_in(tmp_path):
        pass

    assert len({path.name.split(".")[0] for path in left}) == 3
    assert [path.name for path in database_file(tmp_path).parent.iterdir()] == [f"{'0' * 63}2.sqlite"]


async def test_a_failed_start_leaves_nothing_running(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def register(*_: object) -> None:
        raise StorageFailedError("the disk is gone")

    threads = threading.active_count()
    with monkeypatch.context() as patch:
        patch.setattr(SqliteJournal, "register", register)
        with pytest.raises(StorageFailedError, match="the disk is gone"):
            opened(tmp_path)

    assert threading.active_count() == threads
    async with store_in(tmp_path):
        pass  # The directory is nobody's.


async def test_a_broken_root_is_closed_once_no_thread_works_on_its_files(tmp_path: Path) -> None:
    disk = SlowDisk()
    disk.may_go_on.set()
    async with store_in(tmp_path, StoreOptions(disk=disk)) as store:
        broken = store.root(NAMESPACE, OBJECT_ID)
        await put(broken, "a", "1")
        disk.may_go_on.clear()
        disk.has_begun.clear()
        compaction = asyncio.create_task(broken.compact())
        await disk.until_begun()

        broken.log.break_("the journal is gone")
        successor = store.root(NAMESPACE, OBJECT_ID)
        opening = successor.open_database_aside()
        await asyncio.sleep(0)

        assert [broken.is_closed, successor.is_idle, opening.done()] == [False, False, False]
        disk.may_go_on.set()
        assert (await opening).kv_get("a") == "1"
        assert broken.is_closed
        await compaction


async def test_a_journal_that_could_not_be_told_of_durable_files_is_told_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def snapshot(*_: object) -> None:
        raise StorageFailedError("no room just now")

    async with store_in(tmp_path) as store:
        root = store.root(NAMESPACE, OBJECT_ID)
        number = await put_in_facet(root, "app")
        await root.compact()
        await root.delete_facet(number)
        with monkeypatch.context() as patch:
            patch.setattr(SqliteJournal, "snapshot", snapshot)
            with pytest.raises(StorageFailedError, match="no room just now"):
                await root.compact()
        await put(root, "b", "2")
        await root.compact()

    async with store_in(tmp_path) as again:
        assert again.root(NAMESPACE, OBJECT_ID).open_database().kv_get("b") == "2"


async def test_a_log_whose_database_is_gone_goes_with_the_next_clean_stop(tmp_path: Path) -> None:
    await crash(opened(tmp_path))
    directory = database_file(tmp_path).parent
    directory.mkdir(parents=True)
    (directory / f"{OBJECT_ID.hex()}.1.sqlite-wal").touch()

    async with store_in(tmp_path):
        pass

    assert not list(directory.iterdir())


def test_a_sync_that_began_before_a_deletion_does_not_make_the_deleted_clean() -> None:
    chain: RootChain[None] = RootChain(forgotten=KeptRecord(0, NO_DIGEST, 0))
    chain.attach(1, (1,))
    chain.commit(Captured(1, 4096, 1, {1: bytes(4096)}), None)
    chain.seal_or_none(committed_at_ms=0, cause="")
    chain.acknowledge(digest=b"1", size_bytes=1)
    chain.checkpointed(1)
    sync_begun_at = chain.covered(1)

    chain.delete([(1,)], None)
    chain.seal_or_none(committed_at_ms=0, cause="")
    chain.acknowledge(digest=b"2", size_bytes=1)
    chain.synced(1, covered=sync_begun_at)

    assert chain.dirty_numbers() == [1]
    assert chain.forgettable() == KeptRecord(1, b"1", 1)
    assert chain.syncable_numbers() == [1]
    chain.synced(1, covered=chain.covered(1))
    assert chain.dirty_numbers() == []
    assert chain.forgettable() == KeptRecord(2, b"2", 1)
