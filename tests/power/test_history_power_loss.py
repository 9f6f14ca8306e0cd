"""The past survives a power loss at every step of archiving and trimming; a copy is there whole, or not at all."""

from __future__ import annotations

import asyncio
import itertools
import shutil
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest
from tests.power.power import Platter, RecordingDisk, RecordingFiles

from perdure.clock import Clock, SystemClock, SystemEntropy
from perdure.errors import BookmarkError
from perdure.history import Bookmark, HistoryOptions, Past, SegmentArchive, _archive
from perdure.storage import Disk, Layout, ObjectKey, RootStore, Store, StoreOptions

KEY = ObjectKey("App", bytes(32))
COPIES = [bytes([number]) * 32 for number in range(1, 4)]
_vfs_names = itertools.count()


class NotingArchive(SegmentArchive):
    """Notes up to which record it may have dropped the past."""

    cut = 0

    def trim(self, key: ObjectKey) -> None:
        _, last = self._beyond(key)
        self.cut = max(self.cut, last or 0)
        super().trim(key)


class World:
    """One object, its past on a platter, and copies that are made of it."""

    def __init__(self, directory: Path, seed: int) -> None:
        self.chance, self.step_chance = Random(seed), Random(seed + 1)
        self.directory, self.data = directory, directory / "data"
        self.data.mkdir()
        self.platter = Platter(self.data)
        self.objects_vfs = RecordingFiles(f"past-objects-{next(_vfs_names)}", "unix-none", self.platter)
        self.journal_vfs = RecordingFiles(f"past-journal-{next(_vfs_names)}", "unix", self.platter)
        self.archive: NotingArchive | None = None
        self.states: dict[int, bytes] = {}
        self.copies: dict[bytes, bytes] = {}
        self.acknowledged_copies: set[bytes] = set()
        self.losses: list[tuple[Path, int, int, set[bytes]]] = []
        self.known = 0

    def options(self, *, max_bytes: int, disk: Disk | None = None) -> StoreOptions:
        def make(layout: Layout, disk: Disk, clock: Clock) -> SegmentArchive:
            self.archive = NotingArchive(layout, disk, clock, HistoryOptions(max_bytes=max_bytes))
            return self.archive

        if disk is None:
            return StoreOptions(make_archive=make, adopt_changed_files=True)
        return StoreOptions(make_archive=make, disk=disk, vfs=self.objects_vfs.name, journal_vfs=self.journal_vfs.name)

    def imagine_power_loss(self) -> None:
        if len(self.losses) >= 25 or self.step_chance.random() > 0.03:
            return
        target = self.directory / f"loss-{len(self.losses)}"
        assert self.archive is not None
        cut, known, copies = self.archive.cut, self.known, set(self.acknowledged_copies)
        self.platter.after_power_loss(target, self.step_chance)
        self.losses.append((target, cut, known, copies))

    async def live(self, steps: int) -> None:
        options = self.options(max_bytes=3_000, disk=RecordingDisk(self.platter))
        store = Store.open(self.data, clock=SystemClock(), entropy=SystemEntropy(), options=options)
        self.platter.step = self.imagine_power_loss
        root = store.root(*KEY)
        for _ in range(steps):
            match self.chance.choices(["commit", "compact", "archive", "copy"], [20, 5, 3, 1])[0]:
                case "commit":
                    await self.commit(root)
                case "compact":
                    await root.compact()
                case "archive":
                    await root.archive()
                case _:
                    await self.copy(store, root)
        await store._settle()
        await asyncio.to_thread(store._journal.close)
        store._lock.release()
        store._context.executor.shutdown()

    async def commit(self, root: RootStore) -> None:
        database = root.open_database()
        for _ in range(self.chance.randrange(1, 4)):
            key = f"{self.chance.randrange(8)}"
            database.kv_put(key, f"{self.chance.random()}" * self.chance.randrange(1, 60))
        captured = database.commit()
        assert captured is not None
        # Before the journal can have it.
        self.states[root.log.chain.known + 1] = database._connection.serialize("main")
        await root.log.submit(captured)
        self.known = root.log.chain.known

    async def copy(self, store: Store, root: RootStore) -> None:
        left = [object_id for object_id in COPIES if object_id not in self.copies]
        if not left or not self.known:
            return
        directory = self.directory / f"image-{left[0][0]}"
        await asyncio.to_thread(directory.mkdir)
        image = await root.image(directory)
        content = await asyncio.to_thread(image.replay.files[()].read_bytes)
        self.copies[left[0]] = content
        await store.root(KEY.namespace, left[0]).adopt(image.replay.files, alarms={}, cause="copied", new_name=None)
        self.acknowledged_copies.add(left[0])

    def check(self) -> None:
        for target, cut, known, copies in self.losses:
            asyncio.run(self.check_one(target, cut, known, copies))

    async def check_one(self, target: Path, cut: int, known: int, copies: set[bytes]) -> None:
        options = self.options(max_bytes=1 << 40)
        store = Store.open(target, clock=SystemClock(), entropy=SystemEntropy(), options=options)
        try:
            root = store.root(*KEY)
            assert root.log.chain.known >= known
            past = Past(root, self.archive, layout=store.layout, clock=SystemClock())
            for sequence in range(1, root.log.chain.known + 1):
                try:
                    found = await state_of(past, sequence)
                except BookmarkError:
                    assert sequence <= cut, f"record {sequence} of {known} is lost, only {cut} were dropped"
                else:
                    assert found == self.states[sequence], f"record {sequence} is another"
            for object_id, content in self.copies.items():
                copied = store.root(KEY.namespace, object_id)
                if copied.exists:
                    assert copied.open_database()._connection.serialize("main") == content
                    past = Past(copied, self.archive, layout=store.layout, clock=SystemClock())
                    assert await state_of(past, 1) == content
                else:
                    assert object_id not in copies, "a copy is lost"
        finally:
            await store.close()


async def state_of(past: Past, sequence: int) -> bytes:
    async with past.as_of(str(Bookmark(sequence, 0))) as then:
        return await asyncio.to_thread(then.files[()].read_bytes)


def lived(directory: Path, seed: int, deaf_to: Callable[[str, Path], bool] | None = None) -> World:
    directory.mkdir()
    world = World(directory, seed)
    if deaf_to is not None:
        world.platter.deaf_to = deaf_to
    try:
        asyncio.run(world.live(90))
    finally:
        world.objects_vfs.unregister()
        world.journal_vfs.unregister()
    return world


@pytest.fixture(autouse=True)
def small_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_archive, "HISTORY_SEGMENT_BYTES", 4_000)


@pytest.mark.parametrize("seed", range(3))
def test_the_past_survives(tmp_path: Path, seed: int) -> None:
    world = lived(tmp_path / "world", seed)

    assert len(world.losses) > 10
    assert max(cut for _, cut, _, _ in world.losses) > 0, "nothing was trimmed"
    world.check()


MUTATIONS: dict[str, Callable[[str, Path], bool]] = {
    "records are not synced": lambda act, path: act == "file" and path.suffix == ".records",
    "images are not synced": lambda act, path: act == "file" and path.suffix == ".base",
    "names of records and images are not synced": lambda act, path: act == "directory" and path.name == "00" * 32,
    "names of objects' histories are not synced": (
        lambda act, path: act == "directory" and path.parts[-2:] == ("history", "App")
    ),
    "names of classes' histories are not synced": lambda act, path: act == "directory" and path.name == "history",
    "names of copies are not synced": (lambda act, path: act == "directory" and path.parts[-2:] == ("objects", "App")),
    "copies are not synced": (
        lambda act, path: act == "file" and path.suffix == ".sqlite" and path.name != f"{'00' * 32}.sqlite"
    ),
}


@pytest.mark.parametrize("mutation", MUTATIONS)
def test_missing_sync_is_found(tmp_path: Path, mutation: str) -> None:
    for seed in range(8):
        world = lived(tmp_path / f"world-{seed}", seed, MUTATIONS[mutation])
        try:
            world.check()
        except Exception:  # noqa: BLE001 - whatever it is, it was found
            return
        finally:
            shutil.rmtree(world.directory)
    raise AssertionError("nothing was lost")
