"""A history that is cut or changed anywhere: never a wrong state, what lies before is there, the object goes on."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest
from tests.unit.history.history_world import NAMESPACE, OBJECT_ID, HistoryWorld

from perdure.errors import BookmarkError, DamagedDataError
from perdure.history import Bookmark, Past, _archive
from perdure.storage import RootStore


async def put(root: RootStore, value: str) -> bytes:
    database = root.open_database()
    database.kv_put("k", value)
    captured = database.commit()
    assert captured is not None
    await root.log.submit(captured)
    return database._connection.serialize("main")


async def filled(world: HistoryWorld, count: int) -> list[bytes]:
    """An object with `count` records, all of them in one file of its history; its state after each."""
    async with world.store() as store:
        root = store.root(NAMESPACE, OBJECT_ID)
        states = [await put(root, f"value {number}") for number in range(count)]
        await root.compact()
        await root.archive()
    return states


async def readable(past: Past, states: list[bytes]) -> list[bool]:
    found = []
    for sequence, state in enumerate(states, 1):
        try:
            async with past.as_of(str(Bookmark(sequence, 0))) as then:
                assert then.files[()].read_bytes() == state, f"record {sequence} is another"
                found.append(True)
        except (BookmarkError, DamagedDataError):
            found.append(False)
    return found


async def test_cut_at_every_byte(tmp_path: Path) -> None:
    world = HistoryWorld(tmp_path)
    states = await filled(world, 6)
    (path,) = world.files
    content = path.read_bytes()
    counts = []
    async with world.store() as store:
        past = world.past(store.root(NAMESPACE, OBJECT_ID))
        for size in range(len(content) + 1):
            path.write_bytes(content[:size])
            found = await readable(past, states[:-1])
            assert found == sorted(found, reverse=True), "what lies before the cut is there"
            counts.append(sum(found))
            async with past.as_of() as now:
                assert now.files[()].read_bytes() == states[-1]
    assert counts == sorted(counts)
    assert (counts[0], counts[-1]) == (0, 5)
    assert set(counts) == {0, 1, 2, 3, 4, 5}


async def test_changed_bytes(tmp_path: Path) -> None:
    world = HistoryWorld(tmp_path)
    states = await filled(world, 6)
    (path,) = world.files
    content = path.read_bytes()
    chance = Random(1)
    async with world.store() as store:
        past = world.past(store.root(NAMESPACE, OBJECT_ID))
        for _ in range(150):
            damaged = bytearray(content)
            for _ in range(chance.randrange(1, 4)):
                damaged[chance.randrange(len(damaged))] = chance.randrange(256)
            path.write_bytes(damaged)
            await readable(past, states[:-1])


@pytest.mark.parametrize("garbage", [b"", b"what is this" * 100, bytes(5000)])
async def test_garbage_instead_of_a_file(tmp_path: Path, garbage: bytes) -> None:
    world = HistoryWorld(tmp_path)
    states = await filled(world, 3)
    (path,) = world.files
    path.write_bytes(garbage)
    async with world.store() as store:
        assert not any(await readable(world.past(store.root(NAMESPACE, OBJECT_ID)), states[:-1]))


async def test_after_a_gap_history_begins_anew(tmp_path: Path) -> None:
    world = HistoryWorld(tmp_path)
    states = await filled(world, 6)
    (path,) = world.files
    path.write_bytes(path.read_bytes()[:-60])

    async with world.store() as store:
        root = store.root(NAMESPACE, OBJECT_ID)
        states += [await put(root, f"later {number}") for number in range(4)]
        await root.compact()
        await root.archive()
        states.append(await put(root, "the end"))
        found = await readable(world.past(root), states)

    assert found[:5] == [True] * 5, "what lies before the gap"
    assert found[-2:] == [True, True], "what came after it"
    assert found[5:8] == [False, False, False]
    with pytest.raises(BookmarkError, match="lacks records 6 to 6"):
        async with world.store() as store:
            await world.past(store.root(NAMESPACE, OBJECT_ID)).as_of(str(Bookmark(6, 0))).__aenter__()


async def test_image_of_another_object_is_not_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_archive, "HISTORY_SEGMENT_BYTES", 4_000)
    world = HistoryWorld(tmp_path / "one", max_bytes=2_000)
    other = HistoryWorld(tmp_path / "other", max_bytes=2_000)
    states = await filled(world, 30)
    await filled(other, 31)
    (image,) = [path for path in world.files if path.suffix == ".base"]
    (foreign,) = [path for path in other.files if path.suffix == ".base"]
    image.unlink()
    (image.parent / foreign.name).write_bytes(foreign.read_bytes())
    async with world.store() as store:
        await readable(world.past(store.root(NAMESPACE, OBJECT_ID)), states[:-1])
