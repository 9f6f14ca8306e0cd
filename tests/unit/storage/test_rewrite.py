"""Databases made into what files hold, and copies of what they held."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from random import Random
from typing import Any

import apsw
import pytest
from tests.unit.storage.store_world import NAMESPACE, OBJECT_ID, committed, crash, database_file, opened, put, store_in

from perdure.errors import UsageError
from perdure.storage import AlarmChange, Captured, Database, RootStore, _rewrite, _root_store
from perdure.storage._image import copy_files
from perdure.storage._layout import Lineage


def content(path: Path) -> dict[str, str]:
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        return dict(connection.execute("SELECT key, value FROM _cf_KV"))
    finally:
        connection.close()


def serialised(database: Database) -> bytes:
    return database._connection.serialize("main")


async def image_of(root: RootStore, directory: Path) -> dict[Lineage, Path]:
    await asyncio.to_thread(directory.mkdir)
    return (await root.image(directory)).replay.files


async def facet(root: RootStore, name: str) -> int:
    number = root.facet_number(0, name)
    captured = root.open_database(0).commit()
    if captured is not None:
        await root.log.submit(captured)
    return number


async def test_image_is_the_database_byte_for_byte(tmp_path: Path) -> None:
    chance = Random(7)
    async with store_in(tmp_path / "data") as store:
        root = store.root(NAMESPACE, OBJECT_ID)
        number = await facet(root, "app")
        for step in range(60):
            database = root.open_database(chance.choice([0, number]))
            if chance.random() < 0.2:
                database.sql_exec(f"CREATE TABLE IF NOT EXISTS t{step % 3}(a, b)")
                database.sql_exec(f"DROP TABLE IF EXISTS t{(step + 1) % 3}")
            for _ in range(chance.randrange(1, 20)):
                key = f"{chance.randrange(40)}"
                if chance.random() < 0.6:
                    database.kv_put(key, "x" * chance.randrange(9_000))
                else:
                    database.kv_delete(key)
            captured = database.commit()
            if captured is not None:
                await root.log.submit(captured)
            if chance.random() < 0.2:
                await root.compact()
            if chance.random() < 0.2:
                root.close_database(number)
            if step % 6 == 0:
                files = await image_of(root, tmp_path / str(step))
                assert files[()].read_bytes() == serialised(root.open_database(0))
                if root.log.chain.is_born(number):
                    assert files[(number,)].read_bytes() == serialised(root.open_database(number))


async def test_image_leaves_out_what_is_not_acknowledged(tmp_path: Path) -> None:
    async with store_in(tmp_path / "data") as store:
        root = store.root(NAMESPACE, OBJECT_ID)
        await put(root, "a", "1")
        database = root.open_database()
        database.kv_put("a", "2")
        commit = root.log.submit(committed(database))

        image = await root.image(tmp_path)

        assert image.sequence == 1
        assert content(image.replay.files[()]) == {"a": "1"}
        await commit


async def test_image_that_waits_for_files_is_of_one_moment(tmp_path: Path) -> None:
    async with store_in(tmp_path / "data") as store:
        root = store.root(NAMESPACE, OBJECT_ID)
        await put(root, "a", "1")
        number = await facet(root, "app")
        async with root.files_aside:
            imaging = asyncio.ensure_future(root.image(tmp_path))
            await asyncio.sleep(0)
            database = root.open_database(number)
            database.kv_put("a", "2")
            commit = root.log.submit(committed(database))

        image = await imaging

        assert commit.done
        assert image.sequence == root.log.chain.known
        assert content(image.replay.files[(number,)]) == {"a": "2"}


async def test_what_is_deleted_while_it_is_copied_goes_afterwards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copying, may_copy = threading.Event(), threading.Event()

    def slowly(*arguments: Any, **options: Any) -> Any:
        copying.set()
        assert may_copy.wait(60)
        return copy_files(*arguments, **options)

    monkeypatch.setattr(_root_store, "copy_files", slowly)
    async with store_in(tmp_path / "data") as store:
        root = store.root(NAMESPACE, OBJECT_ID)
        number = await facet(root, "app")
        await put(root, "a", "1", number=number)
        imaging = asyncio.ensure_future(root.image(tmp_path))
        await asyncio.to_thread(copying.wait, 60)

        await root.delete_facet(number)
        file = database_file(tmp_path / "data", f".{number}")
        was_there = file.exists()
        may_copy.set()
        image = await imaging

        assert was_there
        assert content(image.replay.files[(number,)]) == {"a": "1"}
        assert not file.exists()


@pytest.mark.parametrize("ends", ["cleanly", "as a crash"])
async def test_tree_is_rewritten_as_one_record(tmp_path: Path, ends: str) -> None:
    store = opened(tmp_path / "data")
    root = store.root(NAMESPACE, OBJECT_ID)
    kept, gone = await facet(root, "kept"), await facet(root, "gone")
    for number in (0, kept, gone):
        await put(root, "a", f"{number} before", number=number)
    before = await image_of(root, tmp_path / "before")
    await put(root, "a", "after", number=kept)
    await put(root, "b", "after" * 4_000)
    await root.delete_facet(gone)
    new = await facet(root, "new")
    root.open_database(new).alarm.set(7, now_ms=0)
    await put(root, "a", "after", number=new)
    root.close()
    head = root.log.chain.known

    last = await root.rewrite({**before, (new,): None}, cause="rewound", alarms={0: AlarmChange(5)})

    assert (last, root.log.chain.known) == (head, head + 1)
    if ends == "cleanly":
        await store.close()
    else:
        await crash(store)
    async with store_in(tmp_path / "data") as again:
        root = again.root(NAMESPACE, OBJECT_ID)
        assert {number: root.open_database(number).kv_get("a") for number in (0, kept, gone)} == {
            number: f"{number} before" for number in (0, kept, gone)
        }
        assert root.open_database(0).kv_get("b") is None
        assert root.facet_numbers(0) == {"kept": kept, "gone": gone}
        assert [alarm.at_ms for alarm in again.due_alarms(until_ms=9, limit=9)] == [5]
        assert not database_file(tmp_path / "data", f".{new}").exists()
        await put(root, "c", "goes on")


async def test_what_is_equal_is_not_written(tmp_path: Path) -> None:
    async with store_in(tmp_path / "data") as store:
        root = store.root(NAMESPACE, OBJECT_ID)
        await put(root, "a", "1")
        files = await image_of(root, tmp_path / "image")
        root.close()

        assert await root.rewrite(files, cause="nothing") == root.log.chain.known == 1


async def test_commit_of_the_root_is_in_the_same_record(tmp_path: Path) -> None:
    async with store_in(tmp_path / "data") as store:
        root = store.root(NAMESPACE, OBJECT_ID)
        source = await facet(root, "source")
        await put(root, "a", "1", number=source)
        files = await image_of(root, tmp_path / "image")

        def name_the_copy() -> Captured | None:
            assert root.facet_number(0, "copy") == source + 1
            return root.open_database(0).commit()

        head = root.log.chain.known
        lineage = (source + 1,)
        assert await root.rewrite({lineage: files[(source,)]}, cause="clone", before=name_the_copy) == head

        assert root.open_database(source + 1).kv_get("a") == "1"
        assert root.facet_numbers(0) == {"source": source, "copy": source + 1}


async def test_too_much_at_once_is_refused_and_nothing_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with store_in(tmp_path / "data") as store:
        root = store.root(NAMESPACE, OBJECT_ID)
        await put(root, "a", "x" * 50_000)
        files = await image_of(root, tmp_path / "image")
        await put(root, "a", "y" * 50_000)
        root.close()
        monkeypatch.setattr(_rewrite, "REWRITE_BYTES_MAX", 8_192)

        with pytest.raises(UsageError, match="8192 bytes"):
            await root.rewrite(files, cause="rewound")

        assert root.open_database().kv_get("a") == "y" * 50_000


async def test_whoever_opens_meanwhile_waits(tmp_path: Path) -> None:
    async with store_in(tmp_path / "data") as store:
        root = store.root(NAMESPACE, OBJECT_ID)
        await put(root, "a", "1")
        files = await image_of(root, tmp_path / "image")
        await put(root, "a", "2")
        root.close()

        rewriting = asyncio.ensure_future(root.rewrite(files, cause="rewound"))
        await asyncio.sleep(0)
        database = await root.open_database_aside()

        assert database.kv_get("a") == "1"
        assert await rewriting == 2
