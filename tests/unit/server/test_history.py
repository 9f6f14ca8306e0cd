"""The past of objects, as whoever runs the platform sees it."""

from __future__ import annotations

import asyncio
import json
import zipfile
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from perdure import BookmarkError, DurableObject, HistoryOptions, ObjectResetError, Platform
from perdure.errors import FacetError, UsageError
from perdure.storage import Database


class Part(DurableObject):
    async def put(self, key: str, value: object) -> None:
        self.ctx.storage.kv.put(key, value)

    async def get(self, key: str) -> object:
        return self.ctx.storage.kv.get(key)


class Book(DurableObject):
    async def put(self, key: str, value: object) -> None:
        self.ctx.storage.kv.put(key, value)

    async def sql(self, *statements: str) -> None:
        for statement in statements:
            self.ctx.storage.sql.exec(statement)

    async def get(self, key: str) -> object:
        return self.ctx.storage.kv.get(key)

    async def wait(self, entered: list[int]) -> None:
        WAITING.set()
        await asyncio.sleep(3600)

    async def part_put(self, name: str, key: str, value: object) -> None:
        await self.part(name).put(key, value)

    async def part_get(self, name: str, key: str) -> object:
        return await self.part(name).get(key)

    async def drop(self, name: str) -> None:
        self.ctx.facets.delete(name)

    async def parts(self) -> list[str]:
        return self.ctx.facets.list()

    def part(self, name: str) -> Any:
        return self.ctx.facets.get(name, lambda: Part)

    async def alarm(self, info: object) -> None:
        return None


WAITING = asyncio.Event()


@asynccontextmanager
async def platform(directory: Path, **options: Any) -> AsyncIterator[Platform]:
    running = Platform([Book, Part], data=directory / "data", **options)
    try:
        yield running
    finally:
        await running.stop()


async def set_alarm(running: Platform, name: str, at_ms: int) -> None:
    def work(database: Database) -> None:
        database.alarm.set(at_ms, now_ms=0)

    assert running._directory is not None
    await running._directory.visit(running._object_key(Book, name), (), work, cause="test", may_write=True)


def in_loop(test: Callable[[Path], Coroutine[Any, Any, None]]) -> Callable[[Path], None]:
    def run(tmp_path: Path) -> None:
        WAITING.clear()
        asyncio.run(test(tmp_path))

    run.__name__ = test.__name__
    return run


@in_loop
async def test_a_rewind_goes_back_and_is_taken_back(tmp_path: Path) -> None:
    async with platform(tmp_path) as running:
        book, history = running.get(Book, "a"), running.history(Book, "a")
        await book.put("k", 1)
        await book.part_put("kept", "k", "first")
        bookmark = await history.bookmark()
        await book.put("k", 2)
        await book.part_put("kept", "k", "second")
        await book.part_put("later", "k", "new")

        undo = await history.rewind(bookmark)

        assert (await running.get(Book, "a").get("k"), await running.get(Book, "a").parts()) == (1, ["kept"])
        assert await running.get(Book, "a").part_get("kept", "k") == "first"
        await history.rewind(undo)
        book = running.get(Book, "a")
        assert (await book.get("k"), await book.parts()) == (2, ["kept", "later"])
        assert await book.part_get("later", "k") == "new"
        causes = [commit.cause for commit in await history.commits(limit=2)]
        assert all(cause.startswith("rewound to ") for cause in causes)


@in_loop
async def test_the_way_back_from_a_rewind_that_changed_nothing_changes_nothing(tmp_path: Path) -> None:
    async with platform(tmp_path) as running:
        book, history = running.get(Book, "one"), running.history(Book, "one")
        await book.put("a", 1)
        await book.put("a", 2)

        undo = await history.rewind(await history.bookmark())
        await history.rewind(undo)

        assert await book.get("a") == 2


@in_loop
async def test_facet_numbers_are_not_given_out_again_after_a_rewind(tmp_path: Path) -> None:
    async with platform(tmp_path) as running:
        history = running.history(Book, "a")
        await running.get(Book, "a").put("k", 1)
        before = await history.bookmark()
        await running.get(Book, "a").part_put("x", "k", "of x")
        undo = await history.rewind(before)
        await running.get(Book, "a").part_put("y", "k", "of y")
        assert len({path.name for path in (tmp_path / "data" / "objects" / "Book").glob("*.2.sqlite")}) == 1

        await history.rewind(undo)

        book = running.get(Book, "a")
        assert (await book.parts(), await book.part_get("x", "k")) == (["x"], "of x")


@in_loop
async def test_whoever_is_under_way_hears_that_he_may_try_again(tmp_path: Path) -> None:
    async with platform(tmp_path) as running:
        book, history = running.get(Book, "a"), running.history(Book, "a")
        await book.put("k", 1)
        call = asyncio.ensure_future(running.get(Book, "a").wait([]))
        await WAITING.wait()

        await history.rewind(await history.bookmark())

        with pytest.raises(ObjectResetError, match="earlier state") as caught:
            await call
        assert caught.value.retryable


@in_loop
async def test_a_facet_is_rewound_alone(tmp_path: Path) -> None:
    async with platform(tmp_path) as running:
        book, history = running.get(Book, "a"), running.history(Book, "a")
        await book.part_put("x", "k", 1)
        await book.part_put("y", "k", 1)
        bookmark = await history.bookmark()
        await book.part_put("x", "k", 2)
        await book.part_put("y", "k", 2)
        await book.put("k", 2)

        undo = await history.rewind(bookmark, facet=["x"])

        assert [await book.part_get("x", "k"), await book.part_get("y", "k"), await book.get("k")] == [1, 2, 2]
        await history.rewind(undo, facet=["x"])
        assert await book.part_get("x", "k") == 2
        with pytest.raises(FacetError, match="there is no facet `z`"):
            await history.rewind(bookmark, facet=["z"])


@in_loop
async def test_a_deleted_facet_comes_back(tmp_path: Path) -> None:
    async with platform(tmp_path) as running:
        book, history = running.get(Book, "a"), running.history(Book, "a")
        await book.part_put("x", "k", 1)
        bookmark = await history.bookmark()
        await book.drop("x")
        await book.part_put("x", "k", "another")

        await history.rewind(bookmark, facet=["x"])

        assert (await book.parts(), await book.part_get("x", "k")) == (["x"], 1)


@in_loop
async def test_a_deleted_object_comes_back(tmp_path: Path) -> None:
    async with platform(tmp_path) as running:
        book, history = running.get(Book, "a"), running.history(Book, "a")
        await book.put("k", 1)
        await book.part_put("x", "k", "first")
        bookmark = await history.bookmark()
        assert running._directory is not None
        await running._directory.delete(running._object_key(Book, "a"))
        assert await running.get(Book, "a").get("k") is None

        await history.rewind(bookmark)

        assert await running.get(Book, "a").get("k") == 1
        assert await running.get(Book, "a").part_get("x", "k") == "first"


@in_loop
async def test_a_fork_is_another_object_with_alarms(tmp_path: Path) -> None:
    wake_ms = int((datetime.now(UTC) + timedelta(days=1)).timestamp() * 1000)
    async with platform(tmp_path) as running:
        book, history = running.get(Book, "a"), running.history(Book, "a")
        await book.put("k", 1)
        await book.part_put("x", "k", "first")
        await set_alarm(running, "a", wake_ms)
        bookmark = await history.bookmark()
        await book.put("k", 2)

        await history.fork("of then", at=bookmark)
        await history.fork("of now")

        assert [await running.get(Book, name).get("k") for name in ("a", "of then", "of now")] == [2, 1, 2]
        assert await running.get(Book, "of then").part_get("x", "k") == "first"
        await running.get(Book, "of then").put("k", 3)
        assert await book.get("k") == 2
        assert running._store is not None
        assert len(running._store.alarms(limit=9)) == 3
        with pytest.raises(UsageError, match="exists: choose another name"):
            await history.fork("of now")
    async with platform(tmp_path) as running:
        assert [await running.get(Book, name).get("k") for name in ("a", "of then", "of now")] == [2, 3, 2]
        forked = running.history(Book, "of then")
        causes = [commit.cause for commit in await forked.commits()]
        assert causes[-1].startswith("forked from Book/a at ")
        async with forked.as_of((await forked.commits())[-1].bookmark) as then:
            assert then.kv() == {"k": 1}


@in_loop
async def test_a_stop_waits_for_rewinds_and_forks_that_are_under_way(tmp_path: Path) -> None:
    async with platform(tmp_path) as running:
        for name in "ab":
            await running.get(Book, name).put("k", 1)
        bookmark = await running.history(Book, "a").bookmark()
        await running.get(Book, "a").put("k", 2)
        rewinding = asyncio.ensure_future(running.history(Book, "a").rewind(bookmark))
        forking = asyncio.ensure_future(running.history(Book, "b").fork("c"))
        assert running._directory is not None
        travels = running._directory.travels
        for _ in range(5):  # of the loop: both are under way then
            await asyncio.sleep(0)
        assert len(travels._tasks) == 2

        await running.stop()

        await rewinding
        await forking
        with pytest.raises(UsageError, match="stopped"):
            await travels.rewind(running._object_key(Book, "a"), bookmark)
    async with platform(tmp_path) as running:
        assert [await running.get(Book, name).get("k") for name in "abc"] == [1, 1, 1]


@in_loop
async def test_an_exported_object_is_imported_elsewhere(tmp_path: Path) -> None:
    bundle = tmp_path / "a.zip"
    (tmp_path / "one").mkdir()
    (tmp_path / "other").mkdir()
    async with platform(tmp_path / "one") as running:
        book, history = running.get(Book, "a"), running.history(Book, "a")
        await book.put("k", [1, {"two": 2}])
        await book.part_put("x", "k", "first")
        await history.export(bundle)
        with pytest.raises(UsageError, match="exists: choose another file"):
            await history.export(bundle)

    async with platform(tmp_path / "other") as running:
        await running.import_object(Book, "b", bundle)

        assert await running.get(Book, "b").get("k") == [1, {"two": 2}]
        assert await running.get(Book, "b").part_get("x", "k") == "first"
        with pytest.raises(UsageError, match="exists"):
            await running.import_object(Book, "b", bundle)
    with zipfile.ZipFile(bundle) as archive:
        manifest = json.loads(archive.read("manifest.json"))
    assert [entry["path"] for entry in manifest["databases"]] == [[], ["x"]]


@in_loop
async def test_a_diff_says_what_changed_and_who_did_it(tmp_path: Path) -> None:
    async with platform(tmp_path) as running:
        book, history = running.get(Book, "a"), running.history(Book, "a")
        await book.sql("CREATE TABLE t(id INTEGER PRIMARY KEY, a)", "CREATE TABLE plain(a)")
        await book.sql("INSERT INTO t VALUES (1, 'x'), (2, 'y'), (3, 'z')", "INSERT INTO plain VALUES (1), (2)")
        await book.put("gone", 1)
        await book.put("k", 1)
        before = await history.bookmark()
        await book.sql("DELETE FROM t WHERE id = 1", "UPDATE t SET a = 'q' WHERE id = 2", "INSERT INTO t VALUES (9, 9)")
        await book.sql("DELETE FROM plain WHERE a = 2", "CREATE INDEX i ON t(a)")
        await book.put("k", 2)
        await book.put("new", 2)
        await book.part_put("x", "k", "first")

        diff = await history.diff(before)

        root, part = diff.databases
        assert (root.path, root.fate, part.path, part.fate) == ((), "changed", ("x",), "added")
        assert (root.kv.added, root.kv.changed, root.kv.removed) == ([("new",)], [("k",)], [])
        assert (root.tables["t"].added, root.tables["t"].removed, root.tables["t"].changed) == ([(9,)], [(1,)], [(2,)])
        assert root.tables["plain"].removed == [(2,)]
        assert root.schema == ["+ CREATE INDEX i ON t(a)"]
        assert part.kv.added == [("k",)]
        assert len(diff.commits) >= 5
        assert {"put", "sql", "x: put"} <= {commit.cause for commit in diff.commits}
        assert not diff.is_truncated
        assert (await history.diff(None)).databases == []


@in_loop
async def test_the_past_is_read_without_waking_anything(tmp_path: Path) -> None:
    async with platform(tmp_path) as running:
        book, history = running.get(Book, "a"), running.history(Book, "a")
        await book.put("k", 1)
        before = await history.bookmark()
        await book.put("k", 2)
        async with history.as_of(before) as then:
            assert then.kv() == {"k": 1}
            assert then.sql("SELECT key FROM _cf_KV WHERE key = ?", "k") == [{"key": "k"}]
            with pytest.raises(UsageError, match="readonly"):
                then.sql("DELETE FROM _cf_KV")
        with pytest.raises(BookmarkError, match="no bookmark"):
            await history.rewind("yesterday")


@in_loop
async def test_without_history_nothing_is_kept(tmp_path: Path) -> None:
    async with platform(tmp_path, history=None) as running:
        book, history = running.get(Book, "a"), running.history(Book, "a")
        await book.put("k", 1)
        before = await history.bookmark()
        await book.put("k", 2)
        await history.fork("b")
        assert await running.get(Book, "b").get("k") == 2
        with pytest.raises(BookmarkError, match="no history is kept"):
            await history.rewind(before)
    assert not (tmp_path / "data" / "history").exists()


def test_options_are_checked() -> None:
    with pytest.raises(UsageError, match="max_bytes"):
        HistoryOptions(max_bytes=0)
    with pytest.raises(UsageError, match="max_age"):
        HistoryOptions(max_age=timedelta(0))
