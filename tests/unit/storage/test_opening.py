"""Databases that are opened aside, on a worker thread: what may happen to their root meanwhile."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from tests.unit.storage.store_world import NAMESPACE, OBJECT_ID, crash, database_file, opened, put, store_in

from perdure.errors import StorageFailedError
from perdure.storage import Store, StoreOptions
from perdure.storage._disk import SystemDisk


class SlowDisk(SystemDisk):
    """New files and syncs are made once `may_go_on` is set."""

    def __init__(self) -> None:
        self.has_begun = threading.Event()
        self.may_go_on = threading.Event()

    def write_new_file(self, path: Path, content: bytes) -> None:
        self._wait()
        super().write_new_file(path, content)

    def sync_file(self, path: Path) -> None:
        self._wait()
        super().sync_file(path)

    def _wait(self) -> None:
        self.has_begun.set()
        assert self.may_go_on.wait(10), "the test never let the disk go on"

    async def until_begun(self) -> None:
        assert await asyncio.to_thread(self.has_begun.wait, 10)


@asynccontextmanager
async def slow_store(directory: Path) -> AsyncIterator[tuple[Store, SlowDisk]]:
    disk = SlowDisk()
    async with store_in(directory, StoreOptions(disk=disk)) as store:
        try:
            yield store, disk
        finally:
            disk.may_go_on.set()


async def test_the_loop_goes_on_while_a_file_is_made(tmp_path: Path) -> None:
    async with slow_store(tmp_path) as (store, disk):
        root = store.root(NAMESPACE, OBJECT_ID)
        opening = root.open_database_aside()
        await disk.until_begun()

        assert not opening.done()
        assert not root.is_idle
        disk.may_go_on.set()
        database = await opening
        database.kv_put("a", "1")

        assert root.open_database() is database
        database.commit()


async def test_two_openings_of_one_database_are_one(tmp_path: Path) -> None:
    async with store_in(tmp_path) as store:
        root = store.root(NAMESPACE, OBJECT_ID)

        first, second = await asyncio.gather(root.open_database_aside(), root.open_database_aside())

        assert first is second


async def test_what_was_committed_is_there_when_opened_aside(tmp_path: Path) -> None:
    store = opened(tmp_path)
    await put(store.root(NAMESPACE, OBJECT_ID), "a", "1")
    await crash(store)

    async with store_in(tmp_path) as again:
        database = await again.root(NAMESPACE, OBJECT_ID).open_database_aside()
        assert database.kv_get("a") == "1"


async def test_a_root_that_is_being_opened_is_not_released(tmp_path: Path) -> None:
    async with slow_store(tmp_path) as (store, disk):
        root = store.root(NAMESPACE, OBJECT_ID)
        opening = root.open_database_aside()
        store.release(root)
        await disk.until_begun()
        disk.may_go_on.set()
        await opening

        assert store.root(NAMESPACE, OBJECT_ID) is root


async def test_a_root_that_breaks_while_it_is_opened_leaves_nothing_open(tmp_path: Path) -> None:
    async with slow_store(tmp_path) as (store, disk):
        root = store.root(NAMESPACE, OBJECT_ID)
        opening = root.open_database_aside()
        await disk.until_begun()
        root.log.break_("the journal is gone")
        successor = store.root(NAMESPACE, OBJECT_ID)
        opening_anew = successor.open_database_aside()
        disk.may_go_on.set()

        with pytest.raises(StorageFailedError, match="the journal is gone"):
            await opening
        await opening_anew
        await put(successor, "a", "1")

        assert successor is not root
        assert root.is_idle
    async with store_in(tmp_path) as again:
        assert again.root(NAMESPACE, OBJECT_ID).open_database().kv_get("a") == "1"


async def test_a_file_that_is_being_compacted_is_opened_afterwards(tmp_path: Path) -> None:
    async with slow_store(tmp_path) as (store, disk):
        disk.may_go_on.set()
        root = store.root(NAMESPACE, OBJECT_ID)
        await put(root, "a", "1")
        store.release(root)
        disk.may_go_on.clear()
        disk.has_begun.clear()
        compaction = asyncio.create_task(root.compact())
        await disk.until_begun()
        opening = root.open_database_aside()
        await asyncio.sleep(0)

        assert not opening.done()
        disk.may_go_on.set()
        await compaction
        await put(root, "b", "2")

        assert (await opening).kv_get("a") == "1"


async def test_a_compaction_of_the_idle_leaves_alone_what_was_opened_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("perdure.storage._store.JOURNAL_BYTES_SOFT_MAX", 0)
    async with slow_store(tmp_path) as (store, disk):
        disk.may_go_on.set()
        root = store.root(NAMESPACE, OBJECT_ID)
        await put(root, "a", "1")
        store.release(root)
        disk.may_go_on.clear()
        disk.has_begun.clear()
        compaction = asyncio.create_task(store.compact_idle())
        await disk.until_begun()
        opening = root.open_database_aside()
        disk.may_go_on.set()
        await compaction
        database = await opening

        assert database.kv_get("a") == "1"
        assert store.root(NAMESPACE, OBJECT_ID) is root


async def test_a_stop_waits_for_what_is_being_opened(tmp_path: Path) -> None:
    disk = SlowDisk()
    store = opened(tmp_path, StoreOptions(disk=disk))
    opening = store.root(NAMESPACE, OBJECT_ID).open_database_aside()
    await disk.until_begun()
    closing = asyncio.create_task(store.close())
    await asyncio.sleep(0)
    disk.may_go_on.set()
    await asyncio.gather(opening, closing)

    assert not database_file(tmp_path).exists()
