"""What an operator sees and does, of a platform that runs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from perdure import DurableObject, FacetOptions
from perdure.cli._moments import milliseconds
from perdure.errors import UnknownObjectError, UsageError
from perdure.isolates import Isolates
from perdure.server import (
    AdminRequest,
    Answer,
    CancelAlarm,
    DeleteObject,
    ListAlarms,
    ListKv,
    ListObjects,
    RunSql,
    SetAlarm,
    ShowStatistics,
    ShowTree,
)
from perdure.server._admin import Admin
from perdure.testing import World


class Notes(DurableObject):
    def write(self, text: str, count: int = 1) -> None:
        self.ctx.storage.kv.put(text, len(text))
        self.ctx.storage.sql.exec("CREATE TABLE IF NOT EXISTS note(text, data BLOB, size REAL)")
        for _ in range(count):
            self.ctx.storage.sql.exec("INSERT INTO note VALUES (?, x'0001', 9e999)", text)


class Room(Notes):
    async def write_facet(self, path: str) -> None:
        name, _, rest = path.partition("/")
        facet = self.ctx.facets.get(name, lambda: FacetOptions(cls=Room))
        await (facet.write_facet(rest) if rest else facet.write(name))

    def facets(self) -> list[str]:
        return self.ctx.facets.list()

    def alarm(self) -> None: ...


class Desk(Notes):
    pass


@pytest.fixture
def world(perdure_isolates: Isolates) -> Iterator[World]:
    with World([Room, Desk], isolates=perdure_isolates) as world:
        world.run(world.platform.start())
        yield world


def asked(world: World, request: AdminRequest) -> Answer:
    assert world.platform._store is not None
    assert world.platform._directory is not None
    admin = Admin(store=world.platform._store, directory=world.platform._directory, clock=world.clock)
    return world.run(admin.answer(request))


def listed(world: World, pattern: str = "", **options: Any) -> list[str]:
    return sorted(str(item["object"]) for item in asked(world, ListObjects(pattern, **options)).items)  # type: ignore[index]


def test_objects_are_listed_by_class_name_and_id(world: World) -> None:
    for name in ("a", "ab", "b"):
        world.run(world.get(Room, name).write("x"))
    world.run(world.get(Desk, "a").write("x"))
    (item,) = asked(world, ListObjects("Room/ab")).items

    assert listed(world) == ["Desk/a", "Room/a", "Room/ab", "Room/b"]
    assert listed(world, "Room") == ["Room/a", "Room/ab", "Room/b"]
    assert listed(world, "Room/a") == ["Room/a", "Room/ab"]
    assert listed(world, f"Room/{item['id'][:10]}") == ["Room/ab"]  # type: ignore[index]
    assert item["is_live"] is True  # type: ignore[index]
    assert item["size_bytes"] > 4096  # type: ignore[index]


def test_a_class_without_objects_is_told_which_have_some(world: World) -> None:
    world.run(world.get(Room, "a").write("x"))

    answer = asked(world, ListObjects("Rom"))

    assert answer.items == []
    assert answer.summary["classes"] == ["Room"]


def test_pages_of_objects_follow_each_other(world: World) -> None:
    names = {f"Room/{number}" for number in range(25)}
    for name in names:
        world.run(world.get(Room, name.partition("/")[2]).write("x"))
    seen: list[str] = []
    after = ""
    while True:
        answer = asked(world, ListObjects("Room", after, 10))
        seen += [str(item["object"]) for item in answer.items]  # type: ignore[index]
        if "after" not in answer.summary:
            break
        after = str(answer.summary["after"])

    assert len(seen) == 25
    assert set(seen) == names


def test_a_deleted_object_is_listed_no_more(world: World) -> None:
    world.run(world.get(Room, "a").write("x"))
    asked(world, DeleteObject("Room/a", is_confirmed=True))

    assert listed(world) == []
    with pytest.raises(UnknownObjectError):
        asked(world, RunSql("Room/a", "SELECT 1"))
    assert listed(world) == []


def test_a_tree_shows_each_facet_below_its_parent(world: World) -> None:
    for path in ("one", "two", "one/deep"):
        world.run(world.get(Room, "a").write_facet(path))
    world.run(world.evict(Room, "a"))

    items: Any = asked(world, ShowTree("Room/a")).items

    assert [item["object"] for item in items] == ["Room/a", "Room/a:one", "Room/a:one/deep", "Room/a:two"]
    assert all(item["size_bytes"] > 0 and not item["is_live"] for item in items)
    assert listed(world) == ["Room/a"]


def test_rows_come_back_exactly(world: World) -> None:
    world.run(world.get(Room, "a").write("x"))

    answer = asked(world, RunSql("Room/a", "SELECT text, data, size, ? AS n, ? AS t, NULL FROM note", (2**60, "é")))

    assert answer.items == [["x", {"blob": "AAE="}, {"real": "inf"}, 2**60, "é", None]]
    assert answer.summary["columns"] == ["text", "data", "size", "n", "t", "NULL"]


def test_rows_are_bounded(world: World) -> None:
    world.run(world.get(Room, "a").write("x", 700))

    answer = asked(world, RunSql("Room/a", "SELECT * FROM note", limit=600))

    assert len(answer.items) == 600
    assert answer.summary["is_complete"] is False
    assert asked(world, RunSql("Room/a", "SELECT * FROM note", limit=700)).summary["is_complete"] is True


def test_writing_must_be_asked_for(world: World) -> None:
    world.run(world.get(Room, "a").write("x"))
    query = "INSERT INTO note VALUES ('y', NULL, 1)"

    with pytest.raises(UsageError, match="add --write"):
        asked(world, RunSql("Room/a", query))
    assert asked(world, RunSql("Room/a", query, may_write=True)).summary["rows_written"] == 1

    assert asked(world, RunSql("Room/a", "SELECT count(*) FROM note")).items == [[2]]


@pytest.mark.parametrize(
    "query", ["SELECT * FROM _cf_KV", "DELETE FROM _cf_KV", "ATTACH 'x' AS y", "COMMIT", "PRAGMA writable_schema = on"]
)
def test_even_who_may_write_keeps_off_what_is_the_hosts(world: World, query: str) -> None:
    world.run(world.get(Room, "a").write("x"))

    with pytest.raises(UsageError):
        asked(world, RunSql("Room/a", query, may_write=True))

    world.run(world.get(Room, "a").write("y"))


def test_entries_are_listed_by_prefix_and_in_pages(world: World) -> None:
    for key in ("a1", "a2", "a3", "b1"):
        world.run(world.get(Room, "r").write(key))

    first = asked(world, ListKv("Room/r", "a", limit=2))
    rest = asked(world, ListKv("Room/r", "a", str(first.summary["after"]), limit=2))

    assert [*first.items, *rest.items] == [{"key": key, "value": "2"} for key in ("a1", "a2", "a3")]
    assert "after" not in rest.summary


def test_a_reference_with_two_meanings_is_refused_and_both_are_named(world: World) -> None:
    world.run(world.get(Room, "a").write_facet("b"))
    world.run(world.get(Room, "a:b").write("x"))

    with pytest.raises(UnknownObjectError, match="more than one way") as caught:
        asked(world, ShowTree("Room/a:b"))

    ways = [word for word in str(caught.value).split("`") if word.startswith("#")]
    assert len(ways) == 2
    assert all(asked(world, ShowTree(way.split()[0])).items for way in ways)


def test_an_unknown_object_is_told_what_there_is(world: World) -> None:
    world.run(world.get(Room, "a").write("x"))

    with pytest.raises(UnknownObjectError, match=r"there are: `Room/a`"):
        asked(world, ShowTree("Room/b"))
    with pytest.raises(UnknownObjectError, match=r"there are objects of `Room`"):
        asked(world, ShowTree("Rom/a"))
    with pytest.raises(UnknownObjectError, match="its facets are: none"):
        asked(world, ShowTree("Room/a:b"))


def test_a_short_id_names_an_object_of_any_class(world: World) -> None:
    world.run(world.get(Desk, "d").write("x"))
    (item,) = asked(world, ListObjects()).items

    answer = asked(world, ShowTree(f"#{item['id'][:8]}"))  # type: ignore[index]

    assert answer.summary["object"] == "Desk/d"


def test_deleting_for_good_must_be_confirmed(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.run(world.get(Room, "a").write_facet("b"))
    monkeypatch.setattr("perdure.server._history_desk.HistoryDesk.is_kept", False)

    with pytest.raises(UsageError, match=r"cannot be undone.*--yes"):
        asked(world, DeleteObject("Room/a:b"))
    asked(world, DeleteObject("Room/a:b", is_confirmed=True))

    assert world.run(world.get(Room, "a").facets()) == []


def test_statistics_count_what_is_in_memory(world: World) -> None:
    world.run(world.get(Room, "a").write("x"))

    summary = asked(world, ShowStatistics()).summary

    assert summary["live"] == 1
    assert int(str(summary["journal_bytes"])) > 0


FAR_MS = 1_900_000_000_123  # in March 2030


def alarms(world: World, of: str = "", **options: Any) -> list[tuple[str, int]]:
    return [(item["object"], item["at_ms"]) for item in asked(world, ListAlarms(of, **options)).items]  # type: ignore[index]


def test_alarms_are_listed_the_earliest_first(world: World) -> None:
    world.run(world.get(Room, "a").write_facet("b"))
    world.run(world.get(Room, "c").write("x"))
    for place, later_ms in (("Room/a:b", 1), ("Room/c", 2), ("Room/a", 3)):
        asked(world, SetAlarm(place, FAR_MS + later_ms))

    first = asked(world, ListAlarms(limit=2))
    rest = alarms(world, after=str(first.summary["after"]))

    assert [(item["object"], item["at_ms"] - FAR_MS) for item in first.items] == [("Room/a:b", 1), ("Room/c", 2)]  # type: ignore[index]
    assert rest == [("Room/a", FAR_MS + 3)]
    assert alarms(world, "Room/a") == [("Room/a", FAR_MS + 3), ("Room/a:b", FAR_MS + 1)]
    assert alarms(world, "Room/a:b") == [("Room/a:b", FAR_MS + 1)]


def undone(world: World, answer: Answer) -> Answer:
    """Run what an answer says takes it back."""
    words = answer.summary["undo"]
    assert isinstance(words, list)
    program, command, act, place, *rest = map(str, words)
    assert (program, command) == ("perdure", "alarms")
    if act == "cancel":
        return asked(world, CancelAlarm(place))
    return asked(world, SetAlarm(place, milliseconds(rest[0], now_ms=0)))


def test_what_is_done_to_alarms_can_be_undone(world: World) -> None:
    world.run(world.get(Room, "a").write("x"))

    first = asked(world, SetAlarm("Room/a", FAR_MS))
    second = asked(world, SetAlarm("Room/a", FAR_MS + 5))
    undone(world, second)
    assert alarms(world) == [("Room/a", FAR_MS)]
    cancelled = asked(world, CancelAlarm("Room/a"))
    assert alarms(world) == []
    undone(world, cancelled)
    assert alarms(world) == [("Room/a", FAR_MS)]
    undone(world, first)
    assert alarms(world) == []

    with pytest.raises(UnknownObjectError, match="`Room/a` has no alarm"):
        asked(world, CancelAlarm("Room/a"))


@pytest.mark.parametrize("place", ["", "nonsense", "[1, 2]", '[1, "Room", "zz", 0]', "[" * 10_000])
def test_a_place_of_a_stranger_is_refused(world: World, place: str) -> None:
    if place:
        with pytest.raises(UsageError, match="no place to go on after"):
            asked(world, ListAlarms(after=place))
    assert asked(world, ListAlarms()).items == []
