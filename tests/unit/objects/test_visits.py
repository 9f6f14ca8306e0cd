"""Work of the host on objects' databases: between turns, without waking anybody, and durable when it returns."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from typing import Any

import pytest

from perdure import DurableObject, FacetOptions, WorkerCode
from perdure.errors import (
    DamagedDataError,
    FacetError,
    ObjectResetError,
    SqlError,
    SqlInterruptedError,
    UnknownObjectError,
)
from perdure.isolates import Isolates
from perdure.objects import Directory, IdFactory
from perdure.storage import Database, ObjectKey
from perdure.testing import World
from perdure.wire import SqlValue

GUEST = """
from workers import DurableObject

class App(DurableObject):
    def add(self):
        self.ctx.storage.kv.put("count", self.ctx.storage.kv.get("count", 0) + 1)
        return self.ctx.storage.kv.get("count")

    def spin(self):
        self.ctx.storage.kv.put("count", 1)
        for _ in range(300_000):
            pass
        self.ctx.storage.kv.put("count", 2)
"""
ENDLESS = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n"


class Part(DurableObject):
    def write(self, text: str) -> None:
        self.ctx.storage.sql.exec("CREATE TABLE IF NOT EXISTS note(text)")
        self.ctx.storage.sql.exec("INSERT INTO note VALUES (?)", text)

    async def deeper(self, text: str) -> None:
        await self.ctx.facets.get("deep", lambda: FacetOptions(cls=Part)).write(text)


class Whole(DurableObject):
    started = 0

    def __init__(self, ctx: Any, env: Any) -> None:
        super().__init__(ctx, env)
        type(self).started += 1

    def write(self, text: str) -> None:
        self.ctx.storage.sql.exec("CREATE TABLE IF NOT EXISTS note(text)")
        self.ctx.storage.sql.exec("INSERT INTO note VALUES (?)", text)

    def notes(self) -> list[str]:
        return [str(row["text"]) for row in self.ctx.storage.sql.exec("SELECT text FROM note")]

    async def slowly(self) -> None:
        self.write("before")
        await asyncio.sleep(1)
        self.write("after")

    async def section(self) -> None:
        async def inside() -> None:
            self.write("in")
            await asyncio.sleep(5)
            self.write("in")

        await self.ctx.block_concurrency_while(inside)

    def part(self) -> Any:
        return self.ctx.facets.get("part", lambda: FacetOptions(cls=Part))

    async def write_part(self, text: str) -> None:
        await self.part().write(text)

    async def write_deep(self, text: str) -> None:
        await self.part().deeper(text)

    def app(self) -> FacetOptions:
        worker = self.env.LOADER.get("app", lambda: WorkerCode.python(GUEST))
        return FacetOptions(cls=worker.get_durable_object_class("App"))

    async def guest(self, method: str) -> Any:
        return await getattr(self.ctx.facets.get("app", self.app), method)()

    def parts(self) -> list[str]:
        return self.ctx.facets.list()


@pytest.fixture
def world(perdure_isolates: Isolates) -> Iterator[World]:
    Whole.started = 0
    with World([Whole, Part], isolates=perdure_isolates) as world:
        yield world


KEY = ObjectKey("Whole", IdFactory("Whole").from_name("a"))


def directory(world: World) -> Directory:
    found = world.platform._directory
    assert found is not None
    return found


def rows_of(query: str) -> Any:
    def work(database: Database) -> list[tuple[SqlValue, ...]]:
        return database.sql_exec(query).rows

    return work


def visit(world: World, query: str, *path: str, may_write: bool = False) -> list[tuple[SqlValue, ...]]:
    answer: list[tuple[SqlValue, ...]] = world.run(
        directory(world).visit(KEY, path, rows_of(query), cause="test", may_write=may_write)
    )
    return answer


def test_a_cold_object_is_read_without_being_started(world: World) -> None:
    world.run(world.get(Whole, "a").write("one"))
    world.run(world.evict(Whole, "a"))

    assert visit(world, "SELECT text FROM note") == [("one",)]

    assert Whole.started == 1
    assert directory(world).statistics()["live"] == 0


def test_a_live_object_is_read_and_stays_live(world: World) -> None:
    world.run(world.get(Whole, "a").write("one"))

    assert visit(world, "SELECT text FROM note") == [("one",)]

    assert world.run(world.get(Whole, "a").notes()) == ["one"]
    assert Whole.started == 1


@pytest.mark.parametrize("state", ["cold", "live"])
def test_what_a_visit_writes_is_durable_when_it_returns(world: World, state: str) -> None:
    world.run(world.get(Whole, "a").write("one"))
    if state == "cold":
        world.run(world.evict(Whole, "a"))

    visit(world, "INSERT INTO note VALUES ('two')", may_write=True)
    world.run(world.crash())

    assert world.run(world.get(Whole, "a").notes()) == ["one", "two"]


@pytest.mark.parametrize("state", ["cold", "live"])
@pytest.mark.parametrize(
    "query", ["INSERT INTO note VALUES ('x')", "DROP TABLE note", "CREATE TABLE t(a)", "PRAGMA foreign_keys = off"]
)
def test_a_reading_visit_cannot_write(world: World, query: str, state: str) -> None:
    world.run(world.get(Whole, "a").write("one"))
    if state == "cold":
        world.run(world.evict(Whole, "a"))

    with pytest.raises(SqlError):
        visit(world, query)

    assert world.run(world.get(Whole, "a").notes()) == ["one"]
    world.run(world.get(Whole, "a").write("two"))
    assert visit(world, "SELECT count(*) FROM note") == [(2,)]


def test_a_visit_that_fails_leaves_nothing(world: World) -> None:
    world.run(world.get(Whole, "a").write("one"))

    with pytest.raises(SqlError, match="no such table"):
        visit(world, "INSERT INTO note VALUES ('two'); INSERT INTO nowhere VALUES (1)", may_write=True)

    assert world.run(world.get(Whole, "a").notes()) == ["one"]


def test_an_object_that_was_never_there_is_not_made(world: World) -> None:
    world.run(world.get(Whole, "b").write("one"))

    with pytest.raises(UnknownObjectError, match="nothing is stored under it"):
        visit(world, "SELECT 1", may_write=True)

    assert [path.name for path in world.data.rglob(f"{KEY.object_id.hex()}*")] == []


@pytest.mark.parametrize("state", ["cold", "live"])
def test_facets_are_reached_by_their_names(world: World, state: str) -> None:
    world.run(world.get(Whole, "a").write("root"))
    world.run(world.get(Whole, "a").write_part("part"))
    world.run(world.get(Whole, "a").write_deep("deep"))
    if state == "cold":
        world.run(world.evict(Whole, "a"))

    assert visit(world, "SELECT text FROM note", "part") == [("part",)]
    assert visit(world, "SELECT text FROM note", "part", "deep") == [("deep",)]
    with pytest.raises(FacetError, match="there are: `part`"):
        visit(world, "SELECT 1", "other")


def test_a_cold_facet_of_a_live_object_is_visited(world: World) -> None:
    world.run(world.get(Whole, "a").write_part("part"))
    world.run(world.restart())
    world.run(world.get(Whole, "a").write("root"))

    visit(world, "INSERT INTO note VALUES ('two')", "part", may_write=True)

    assert visit(world, "SELECT text FROM note", "part") == [("part",), ("two",)]
    world.run(world.get(Whole, "a").write_part("three"))
    assert visit(world, "SELECT count(*) FROM note", "part") == [(3,)]


def test_a_visit_waits_for_a_turn_that_runs_on_a_thread(world: World) -> None:
    async def main() -> list[Any]:
        stub = world.get(Whole, "a")
        await stub.guest("add")
        spinning = asyncio.ensure_future(stub.guest("spin"))
        await asyncio.sleep(0.001)
        counts = [await directory(world).visit(KEY, ["app"], lambda d: d.kv_get("count"), cause="t") for _ in range(5)]
        await spinning
        return [*counts, await directory(world).visit(KEY, ["app"], lambda d: d.kv_get("count"), cause="t")]

    *during, after = world.run(main())

    assert after == "2"
    assert during[0] == "1" or during == ["2"] * 5  # Before the turn, or after it: never what it has half done.


def test_a_visit_waits_for_the_end_of_a_critical_section(world: World) -> None:
    async def main() -> Any:
        await world.get(Whole, "a").write("one")
        section = asyncio.ensure_future(world.get(Whole, "a").section())
        await asyncio.sleep(1)
        count = await directory(world).visit(KEY, (), rows_of("SELECT count(*) FROM note"), cause="t")
        await section
        return count

    assert world.run(main()) == [(3,)]


def test_a_call_that_comes_during_a_visit_waits_for_it(world: World) -> None:
    order: list[str] = []

    def work(database: Database) -> None:
        order.append("visit begins")
        database.sql_exec("INSERT INTO note VALUES ('visit')")
        order.append("visit ends")

    async def main() -> list[str]:
        await world.get(Whole, "a").write("one")
        await world.evict(Whole, "a")
        visiting = asyncio.ensure_future(directory(world).visit(KEY, (), work, cause="t", may_write=True))
        await asyncio.sleep(0)
        notes: list[str] = await world.get(Whole, "a").notes()
        order.append("call")
        await visiting
        return notes

    assert world.run(main()) == ["one", "visit"]
    assert order == ["visit begins", "visit ends", "call"]


@pytest.mark.parametrize("state", ["cold", "live"])
def test_a_visit_that_never_ends_is_ended(world: World, state: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("perdure.objects._visits.VISIT_ASIDE_S", -1.0)  # Virtual time stands still in a query.
    monkeypatch.setattr("perdure.objects._visits.VISIT_ON_LOOP_S", -1.0)
    world.run(world.get(Whole, "a").write("one"))
    if state == "cold":
        world.run(world.evict(Whole, "a"))

    with pytest.raises(SqlInterruptedError):
        visit(world, ENDLESS)

    assert world.run(world.get(Whole, "a").notes()) == ["one"]


def test_a_visitor_who_gives_up_leaves_the_object_usable(world: World) -> None:
    async def main() -> Any:
        await world.get(Whole, "a").write("one")
        await world.evict(Whole, "a")
        visiting = asyncio.ensure_future(
            directory(world).visit(KEY, (), rows_of("INSERT INTO note VALUES ('two')"), cause="t", may_write=True)
        )
        await asyncio.sleep(0)
        visiting.cancel()
        return await world.get(Whole, "a").notes()

    assert world.run(main()) == ["one", "two"]


@pytest.mark.parametrize("state", ["cold", "live"])
def test_an_object_is_deleted_from_outside(world: World, state: str) -> None:
    world.run(world.get(Whole, "a").write_part("part"))
    world.run(world.get(Whole, "a").guest("add"))
    if state == "cold":
        world.run(world.evict(Whole, "a"))

    world.run(directory(world).delete(KEY))

    assert [path.name for path in world.data.rglob(f"{KEY.object_id.hex()}*")] == []
    world.run(world.crash())
    with pytest.raises(UnknownObjectError):
        world.run(directory_after_start(world).delete(KEY))
    world.run(world.get(Whole, "a").write("anew"))
    assert world.run(world.get(Whole, "a").notes()) == ["anew"]


def directory_after_start(world: World) -> Directory:
    world.run(world.platform.start())
    return directory(world)


def test_a_deletion_fails_what_is_under_way(world: World) -> None:
    async def main() -> None:
        call = asyncio.ensure_future(world.get(Whole, "a").slowly())
        await asyncio.sleep(0.5)
        await directory(world).delete(KEY)
        await call

    with pytest.raises(ObjectResetError, match="deleted by whoever runs the platform"):
        world.run(main())
    assert [path.name for path in world.data.rglob(f"{KEY.object_id.hex()}*")] == []


def test_deletion_goes_on_while_it_is_called_all_the_time(world: World) -> None:
    async def call(number: int) -> None:
        try:
            await world.get(Whole, "a").write(str(number))
        except ObjectResetError:
            return

    async def main() -> None:
        calls = [asyncio.ensure_future(call(number)) for number in range(50)]
        deleting = asyncio.ensure_future(directory(world).delete(KEY))
        calls += [asyncio.ensure_future(call(number)) for number in range(50)]
        await asyncio.gather(*calls, deleting)
        await world.get(Whole, "a").write("last")

    world.run(world.get(Whole, "a").write("first"))
    world.run(main())

    assert world.run(world.get(Whole, "a").notes())[-1] == "last"
    assert "first" not in world.run(world.get(Whole, "a").notes())


@pytest.mark.parametrize("state", ["live", "cold", "parent cold"])
def test_a_facet_is_deleted_with_what_is_below_it(world: World, state: str) -> None:
    world.run(world.get(Whole, "a").write_part("part"))
    world.run(world.get(Whole, "a").write_deep("deep"))
    if state != "live":
        world.run(world.restart())
        world.run(world.platform.start())
    if state == "parent cold":
        world.run(world.get(Whole, "a").write("root"))

    world.run(directory(world).delete_facet(KEY, ["part"]))

    assert [path.name for path in world.data.rglob(f"{KEY.object_id.hex()}.*.sqlite")] == []
    assert world.run(world.get(Whole, "a").parts()) == []
    world.run(world.crash())
    assert world.run(world.get(Whole, "a").parts()) == []


def test_only_a_part_below_a_facet_is_deleted(world: World) -> None:
    world.run(world.get(Whole, "a").write_part("part"))
    world.run(world.get(Whole, "a").write_deep("deep"))
    world.run(world.restart())
    world.run(world.get(Whole, "a").write("root"))

    world.run(directory(world).delete_facet(KEY, ["part", "deep"]))

    assert visit(world, "SELECT text FROM note", "part") == [("part",)]
    with pytest.raises(FacetError, match="no facet `deep`"):
        visit(world, "SELECT 1", "part", "deep")


def test_a_broken_file_breaks_the_visit_only(world: World) -> None:
    world.run(world.get(Whole, "a").write("one"))
    world.run(world.restart())
    (path,) = world.data.rglob(f"{KEY.object_id.hex()}.sqlite")
    state = path.stat()
    path.write_bytes(bytes(state.st_size))
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    world.run(world.get(Whole, "b").write("b"))

    with pytest.raises(DamagedDataError, match=r"\.sqlite"):
        visit(world, "SELECT 1")

    assert world.run(world.get(Whole, "b").notes()) == ["b"]
