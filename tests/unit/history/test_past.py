"""What an object was, at any record, is found again page for page."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from random import Random

import pytest
from tests.unit.history.history_world import NAMESPACE, OBJECT_ID, HistoryWorld, Tree

from perdure.errors import BookmarkError, StorageFailedError
from perdure.history import Bookmark, HistoryOptions, Past, SegmentArchive, _archive, read_bookmark
from perdure.storage import Layout, ObjectKey
from perdure.storage._disk import SystemDisk


async def found(past: Past, sequence: int) -> dict[tuple[str, ...], bytes]:
    async with past.as_of(str(Bookmark(sequence, 0))) as then:
        return {then.path(lineage): path.read_bytes() for lineage, path in then.files.items()}


@pytest.mark.parametrize("seed", range(4))
async def test_every_state_is_found_again(tmp_path: Path, seed: int) -> None:
    world = HistoryWorld(tmp_path)
    tree = Tree(Random(seed))
    for _ in range(3):  # Between them the process ends.
        async with world.store() as store:
            await tree.work(store.root(NAMESPACE, OBJECT_ID), 25)

    async with world.store() as store:
        past = world.past(store.root(NAMESPACE, OBJECT_ID))
        for sequence in sorted(tree.states)[1:]:
            assert await found(past, sequence) == tree.states[sequence], f"record {sequence}"
    assert len(tree.states) > 40
    assert any(path.suffix == ".records" for path in world.files)


@pytest.mark.parametrize("seed", range(4))
async def test_what_is_not_trimmed_is_found_after_trims(
    tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_archive, "HISTORY_SEGMENT_BYTES", 20_000)
    world = HistoryWorld(tmp_path, max_bytes=15_000)
    tree = Tree(Random(seed))
    for _ in range(3):
        async with world.store() as store:
            await tree.work(store.root(NAMESPACE, OBJECT_ID), 25)

    async with world.store() as store:
        root = store.root(NAMESPACE, OBJECT_ID)
        await root.archive()
        past = world.past(root)
        lost = []
        for sequence in sorted(tree.states)[1:]:
            try:
                assert await found(past, sequence) == tree.states[sequence], f"record {sequence}"
            except BookmarkError:
                lost.append(sequence)
        assert lost == sorted(tree.states)[1 : len(lost) + 1], "only the oldest may be lost"
        assert 0 < len(lost) < len(tree.states) - 5
    assert sum(path.stat().st_size for path in world.files if path.suffix == ".records") <= 15_000
    assert len([path for path in world.files if path.suffix == ".base"]) == 1


async def filled(world: HistoryWorld, seed: int) -> Tree:
    """An object with a history of many files."""
    tree = Tree(Random(seed))
    async with world.store() as store:
        await tree.work(store.root(NAMESPACE, OBJECT_ID), 60)
        await store.root(NAMESPACE, OBJECT_ID).archive()
    return tree


@pytest.mark.parametrize("has_image", [False, True])
@pytest.mark.parametrize("count", range(6))
async def test_a_trim_that_is_cut_off_lists_only_what_can_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int, *, has_image: bool
) -> None:
    monkeypatch.setattr(_archive, "HISTORY_SEGMENT_BYTES", 4_000)
    world = HistoryWorld(tmp_path, max_bytes=20_000 if has_image else 1 << 40)
    tree = await filled(world, 7)
    assert any(path.suffix == ".base" for path in world.files) == has_image
    world.options = HistoryOptions(world.options.max_age, 8_000)
    left = count

    class DiskThatEnds(SystemDisk):
        def unlink(self, path: Path) -> None:
            nonlocal left
            if left == 0:
                raise OSError(errno.EIO, "I/O error")
            left -= 1
            super().unlink(path)

    async with world.store() as store:
        root = store.root(NAMESPACE, OBJECT_ID)
        archive = SegmentArchive(Layout(tmp_path), DiskThatEnds(), world.clock, world.options)
        with pytest.raises(StorageFailedError, match="I/O error"):
            await root.aside(lambda: archive.trim(ObjectKey(NAMESPACE, OBJECT_ID)))

        past = world.past(root)
        listed = [read_bookmark(commit.bookmark).sequence for commit in await past.commits(limit=1000)]
        assert listed == sorted(range(listed[-1], listed[0] + 1), reverse=True)
        assert len(listed) > 3
        for sequence in listed:
            assert await found(past, sequence) == tree.states[sequence], f"record {sequence}"


async def test_a_small_history_keeps_most_of_what_it_may(tmp_path: Path) -> None:
    world = HistoryWorld(tmp_path, max_bytes=40_000)
    async with world.store() as store:
        root = store.root(NAMESPACE, OBJECT_ID)
        database = root.open_database()
        for number in range(100):  # One collection of many times what is kept.
            database.kv_put(f"k{number}", Random(number).randbytes(1_500).hex())
            captured = database.commit()
            assert captured is not None
            await root.log.submit(captured)
        await root.archive()

    kept = sum(path.stat().st_size for path in world.files if path.suffix == ".records")
    assert 20_000 < kept <= 40_000


async def test_history_that_begins_late_begins_with_an_image(tmp_path: Path) -> None:
    world = HistoryWorld(tmp_path)
    tree = Tree(Random(3))
    world.keeps_history = False
    async with world.store() as store:
        await tree.work(store.root(NAMESPACE, OBJECT_ID), 20)
    world.keeps_history = True
    async with world.store() as store:
        root = store.root(NAMESPACE, OBJECT_ID)
        since = root.log.chain.known
        await tree.work(root, 10)
        await root.compact()
        await root.archive()
        begins = max(int(path.stem, 16) for path in world.files if path.suffix == ".base")
        await tree.work(root, 20)
        past = world.past(root)

        for sequence in (sequence for sequence in tree.states if sequence >= begins):
            assert await found(past, sequence) == tree.states[sequence]
        with pytest.raises(BookmarkError, match="lacks records"):
            await found(past, since - 1)


async def test_without_history_only_the_present_is_known(tmp_path: Path) -> None:
    world = HistoryWorld(tmp_path)
    world.keeps_history = False
    tree = Tree(Random(3))
    async with world.store() as store:
        root = store.root(NAMESPACE, OBJECT_ID)
        await tree.work(root, 8)
        past = world.past(root)

        async with past.as_of() as now:
            assert {now.path(lineage): path.read_bytes() for lineage, path in now.files.items()} == tree.states[
                root.log.chain.known
            ]
        with pytest.raises(BookmarkError, match="no history is kept"):
            await found(past, root.log.chain.known - 1)


@pytest.mark.parametrize("text", ["", "x", "1-2", "0" * 16 + "-" + "0" * 15, None, "0" * 16 + "_" + "0" * 16])
async def test_text_that_is_no_bookmark(tmp_path: Path, text: object) -> None:
    world = HistoryWorld(tmp_path)
    async with world.store() as store:
        past = world.past(store.root(NAMESPACE, OBJECT_ID))
        with pytest.raises(BookmarkError, match="no bookmark"):
            await past.sequence(text or "")  # type: ignore[arg-type]
        with pytest.raises(BookmarkError, match="record 5 of an object that has 0"):
            await past.sequence(str(Bookmark(5, 0)))


async def test_times(tmp_path: Path) -> None:
    world = HistoryWorld(tmp_path)
    async with world.store() as store:
        root = store.root(NAMESPACE, OBJECT_ID)
        past = world.past(root)
        at: list[int] = []
        for value in range(4):
            at.append(world.clock.now_ms())
            database = root.open_database()
            database.kv_put("a", str(value))
            captured = database.commit()
            assert captured is not None
            await root.log.submit(captured, cause=f"turn {value}")
            world.clock.ms += 1000
            if value == 1:
                await root.compact()
                await root.archive()

        assert [(await past.bookmark_at(moment)).sequence for moment in at[1:]] == [1, 2, 3]
        commits = await past.commits(limit=3)
        assert [commit.cause for commit in commits] == ["turn 3", "turn 2", "turn 1"]
        assert [commit.bookmark for commit in commits] == sorted((commit.bookmark for commit in commits), reverse=True)
        assert str(past.bookmark()) > commits[0].bookmark
        with pytest.raises(BookmarkError, match="before that"):
            await past.bookmark_at(at[0] - 1)
        with pytest.raises(BookmarkError, match="still to come"):
            await past.bookmark_at(world.clock.ms + 10_000)


async def test_a_full_disk_for_the_past_stops_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = HistoryWorld(tmp_path)
    tree = Tree(Random(2))
    async with world.store() as store:
        root = store.root(NAMESPACE, OBJECT_ID)
        monkeypatch.setattr(SegmentArchive, "collected_bytes", 1)
        monkeypatch.setattr(SystemDisk, "write_chunks", no_room)
        for _ in range(10):
            await tree.write(root, 0, with_sql=False)
            tree.note(root)
            await root.compact()
        with pytest.raises(StorageFailedError, match="No space left"):
            await root.archive()
        assert world.files == []
        monkeypatch.undo()
        await root.archive()

        past = world.past(root)
        for sequence in sorted(tree.states)[1:]:
            assert await found(past, sequence) == tree.states[sequence]
        assert world.files


def no_room(_disk: SystemDisk, _path: Path, _chunks: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
