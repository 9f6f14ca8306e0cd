"""A copy that fails, or that a crash cuts off: nothing of its source is ever seen under its name."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.unit.history.history_world import NAMESPACE, OBJECT_ID, HistoryWorld
from tests.unit.history.test_damage import put, readable
from tests.unit.storage.store_world import crash

from perdure.errors import PerdureError, StorageFailedError, UsageError
from perdure.history import SegmentArchive
from perdure.storage import Layout, ObjectKey, RootStore, Store
from perdure.storage._journal import Adoption
from perdure.storage._sqlite_journal import SqliteJournal

SOURCE_ID = bytes([7]) * 32
SECRET = b"the secret of the source"


async def copy(store: Store, directory: Path) -> None:
    """Make the object a copy of the source, which has a facet."""
    source = store.root(NAMESPACE, SOURCE_ID)
    if not source.exists:
        number = source.facet_number(0, "app")
        await put(source, SECRET.decode())
        database = source.open_database(number)
        database.kv_put("k", SECRET.decode() * 1000)
        captured = database.commit()
        assert captured is not None
        await source.log.submit(captured)
    await asyncio.to_thread(directory.mkdir)
    image = await source.image(directory)
    await store.root(NAMESPACE, OBJECT_ID).adopt(image.replay.files, alarms={}, cause="forked", new_name=None)


def refuse(journal: SqliteJournal, adoption: Adoption) -> bool:
    return False


def fail(journal: SqliteJournal, adoption: Adoption) -> bool:
    raise StorageFailedError("the disk is full")


def left(world: HistoryWorld) -> list[str]:
    """The object's own files, and those of its history."""
    databases = Layout(world.directory).namespace(NAMESPACE).glob(f"{OBJECT_ID.hex()}*")
    return sorted(path.name for path in (*databases, *world.files))


async def failing_copy(
    world: HistoryWorld,
    store: Store,
    monkeypatch: pytest.MonkeyPatch,
    adopt: Callable[[SqliteJournal, Adoption], bool],
    error: type[PerdureError],
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(SqliteJournal, "adopt", adopt)
        with pytest.raises(error):
            await copy(store, world.directory.parent / f"image of {error.__name__}")


async def check_own_past(world: HistoryWorld, root: RootStore) -> None:
    """Use the name: each of its moments is its own, also when its records have moved to the history."""
    states = [await put(root, "one"), await put(root, "two")]
    assert await readable(world.past(root), states) == [True, True]
    await root.compact()
    await root.archive()
    states.append(await put(root, "three"))
    assert await readable(world.past(root), states) == [True, True, True]
    assert not [path for path in world.files if path.suffix == ".base"], "the image of the source is dropped"


async def test_what_the_journal_refuses_is_taken_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = HistoryWorld(tmp_path / "data")
    async with world.store() as store:
        await failing_copy(world, store, monkeypatch, refuse, UsageError)
        assert left(world) == []
        await check_own_past(world, store.root(NAMESPACE, OBJECT_ID))


async def test_a_copy_that_the_disk_cannot_take_is_taken_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = HistoryWorld(tmp_path / "data")
    begin = SegmentArchive.begin

    def begin_and_fail(archive: SegmentArchive, *args: object, **options: object) -> None:
        begin(archive, *args, **options)  # type: ignore[arg-type]
        raise OSError(errno.ENOSPC, "No space left on device")

    async with world.store() as store:
        with monkeypatch.context() as patch:
            patch.setattr(SegmentArchive, "begin", begin_and_fail)
            with pytest.raises(StorageFailedError, match="No space left"):
                await copy(store, tmp_path / "image")
        assert left(world) == []
        await check_own_past(world, store.root(NAMESPACE, OBJECT_ID))


async def test_a_name_whose_copy_the_journal_failed_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = HistoryWorld(tmp_path / "data")
    async with world.store() as store:
        await failing_copy(world, store, monkeypatch, fail, StorageFailedError)
        await check_own_past(world, store.root(NAMESPACE, OBJECT_ID))
    assert f"{OBJECT_ID.hex()}.1.sqlite" not in left(world), "the facet of the source"


async def test_a_clean_stop_takes_away_what_a_failed_journal_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = HistoryWorld(tmp_path / "data")
    async with world.store() as store:
        await failing_copy(world, store, monkeypatch, fail, StorageFailedError)
        assert len(left(world)) == 3, "it may be adopted all the same: nobody knows"
    assert left(world) == []


async def test_a_copy_that_fails_and_is_tried_again_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = HistoryWorld(tmp_path / "data")
    async with world.store() as store:
        await failing_copy(world, store, monkeypatch, fail, StorageFailedError)
        await copy(store, tmp_path / "image")
    assert len(left(world)) == 3
    async with world.store() as store:
        root = store.root(NAMESPACE, OBJECT_ID)
        assert root.open_database().kv_get("k") == SECRET.decode()
        async with world.past(root).as_of("0000000000000001-0000000000000000") as then:
            assert SECRET in then.files[()].read_bytes(), "its first record alone says that the image is its own"


@pytest.mark.parametrize("keeps_history_between", [True, False])
async def test_a_crash_before_the_journal_knows_the_copy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, keeps_history_between: bool
) -> None:
    world = HistoryWorld(tmp_path / "data")
    store = world.opened()
    await failing_copy(world, store, monkeypatch, fail, StorageFailedError)
    await crash(store)
    assert ".base" in "".join(left(world))

    if keeps_history_between:
        async with world.store() as store:
            await check_own_past(world, store.root(NAMESPACE, OBJECT_ID))
        return
    world.keeps_history = False
    async with world.store() as store:
        states = [await put(store.root(NAMESPACE, OBJECT_ID), value) for value in ("one", "two")]
    world.keeps_history = True
    async with world.store() as store:
        past = world.past(store.root(NAMESPACE, OBJECT_ID))
        assert await readable(past, states[:1]) == [False], "nobody kept it, and the image is the source's"


async def test_first_part_of_a_new_database_goes_at_the_clean_stop(tmp_path: Path) -> None:
    world = HistoryWorld(tmp_path / "data")
    store = world.opened()
    store.root(NAMESPACE, OBJECT_ID).open_database()
    await crash(store)
    path = Layout(world.directory).database(ObjectKey(NAMESPACE, OBJECT_ID), ())
    path.write_bytes(path.read_bytes()[:1000])
    for log in path.parent.glob("*-wal"):
        log.unlink()

    async with world.store():
        pass

    assert not path.exists()
