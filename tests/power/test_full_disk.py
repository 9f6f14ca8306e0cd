"""A full disk fails commits; it loses nothing that was acknowledged, and work goes on when there is room again."""

from __future__ import annotations

import errno
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from tests.power.power import Platter, RecordingDisk, RecordingFiles

from perdure.clock import SystemClock, SystemEntropy
from perdure.errors import StorageFailedError
from perdure.storage import RootStore, Store, StoreOptions

OBJECT_ID = bytes(32)


class FillingDisk(RecordingDisk):
    is_full = False

    def write_pages(self, path: Path, pages: Mapping[int, bytes], *, page_size: int, file_pages: int) -> None:
        if self.is_full:
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        super().write_pages(path, pages, page_size=page_size, file_pages=file_pages)


class FullDisk:
    """A store whose objects and whose journal can be told that there is no room."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        platter = Platter(directory)
        self.objects = RecordingFiles("full-objects", "unix-none", platter)
        self.journal = RecordingFiles("full-journal", "unix", platter)
        self.recovery = FillingDisk(platter)
        self.options = StoreOptions(disk=self.recovery, vfs="full-objects", journal_vfs="full-journal")

    def open(self) -> Store:
        return Store.open(self.directory, clock=SystemClock(), entropy=SystemEntropy(), options=self.options)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[FullDisk]:
    disk = FullDisk(tmp_path)
    yield disk
    disk.objects.unregister()
    disk.journal.unregister()


def is_full(_path: Path, _end: int) -> bool:
    return True


def has_room(_path: Path, _end: int) -> bool:
    return False


async def put(root: RootStore, value: str) -> None:
    database = root.open_database()
    database.kv_put("a", value)
    captured = database.commit()
    assert captured is not None
    await root.log.submit(captured)


async def test_full_disk_of_the_journal(disk: FullDisk) -> None:
    store = disk.open()
    await put(store.root("App", OBJECT_ID), "1")

    disk.journal.is_full = is_full
    with pytest.raises(StorageFailedError, match=r"the disk that holds `.*` is full"):
        await put(store.root("App", OBJECT_ID), "2")
    assert store.root("App", OBJECT_ID).open_database().kv_get("a") == "1"
    disk.journal.is_full = has_room

    await put(store.root("App", OBJECT_ID), "3")
    await store.close()
    store = disk.open()
    assert store.root("App", OBJECT_ID).open_database().kv_get("a") == "3"
    await store.close()


async def test_full_disk_of_an_object(disk: FullDisk) -> None:
    store = disk.open()
    root = store.root("App", OBJECT_ID)
    await put(root, "1")

    disk.objects.is_full = is_full
    with pytest.raises(StorageFailedError, match="SQLITE_FULL"):
        await put(root, "2")
    disk.objects.is_full = has_room
    root.close_database(0)

    assert root.open_database().kv_get("a") == "1"
    await put(root, "3")
    await store.close()
    store = disk.open()
    assert store.root("App", OBJECT_ID).open_database().kv_get("a") == "3"
    await store.close()


async def test_full_disk_during_a_compaction(disk: FullDisk) -> None:
    store = disk.open()
    root = store.root("App", OBJECT_ID)
    await put(root, "1")

    disk.objects.is_full = is_full
    with pytest.raises(StorageFailedError, match="could not be made durable"):
        await root.compact()
    disk.objects.is_full = has_room
    with pytest.raises(StorageFailedError, match="could not be made durable"):
        await put(root, "2")

    assert store.root("App", OBJECT_ID).open_database().kv_get("a") == "1"
    await store.close()


async def test_clean_stop_on_a_full_disk_says_so_and_loses_nothing(disk: FullDisk) -> None:
    store = disk.open()
    await put(store.root("App", OBJECT_ID), "1")

    disk.objects.is_full, disk.recovery.is_full = is_full, True
    with pytest.raises(StorageFailedError, match=r"could not be closed cleanly.*No space left"):
        await store.close()
    disk.objects.is_full, disk.recovery.is_full = has_room, False

    store = disk.open()
    assert store.root("App", OBJECT_ID).open_database().kv_get("a") == "1"
    await store.close()
