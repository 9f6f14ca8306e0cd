"""An operator looks back and goes back, and every answer that changed something says how to undo it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.unit.server.test_admin import Desk, Room, asked, listed

from perdure.errors import BookmarkError, UnknownObjectError, UsageError
from perdure.isolates import Isolates
from perdure.server import (
    Answer,
    DeleteObject,
    ExportObject,
    ForkObject,
    ImportObject,
    RewindObject,
    RunSql,
    ShowDiff,
    ShowHistory,
    ShowTree,
)
from perdure.testing import World


@pytest.fixture
def world(perdure_isolates: Isolates) -> Iterator[World]:
    with World([Room, Desk], isolates=perdure_isolates) as world:
        world.run(world.platform.start())
        world.run(world.get(Room, "a").write("one"))
        world.run(world.advance(seconds=60))
        world.run(world.get(Room, "a").write("two"))
        world.run(world.get(Room, "a").write_facet("part/deep"))
        yield world


def notes(world: World, place: str = "Room/a", *, at: str = "") -> list[str]:
    items: Any = asked(world, RunSql(place, "SELECT text FROM note ORDER BY rowid", at=at)).items
    return [row[0] for row in items]


def undone(world: World, answer: Answer) -> Answer:
    """Do what an answer says takes it back."""
    words: Any = answer.summary["undo"]
    assert words[0] == "perdure"
    match words[1:]:
        case ["rewind", place, to]:
            return asked(world, RewindObject(place, to))
        case ["delete", place]:
            return asked(world, DeleteObject(place))
        case _:
            pass
    raise AssertionError(words)


def test_commits_are_listed_the_newest_first_and_in_pages(world: World) -> None:
    everything: Any = asked(world, ShowHistory("Room/a")).items
    first = asked(world, ShowHistory("Room/a", limit=1))
    rest = asked(world, ShowHistory("Room/a", str(first.summary["before"])))

    assert [*first.items, *rest.items] == everything
    assert len(everything) >= 3
    assert [item["at_ms"] for item in everything] == sorted((item["at_ms"] for item in everything), reverse=True)


def test_what_was_can_be_asked(world: World) -> None:
    first: Any = asked(world, ShowHistory("Room/a")).items[-1]

    assert notes(world) == ["one", "two"]
    assert notes(world, at=first["bookmark"]) == ["one"]
    assert notes(world, at=f"@{first['at_ms'] + 1_000}") == ["one"]
    with pytest.raises(UsageError, match="can only be read"):
        asked(world, RunSql("Room/a", "DELETE FROM note", may_write=True, at=first["bookmark"]))
    with pytest.raises(UsageError, match="--write"):
        asked(world, RunSql("Room/a", "DELETE FROM note", at=first["bookmark"]))
    with pytest.raises(BookmarkError):
        notes(world, at="nonsense")


def test_a_query_that_wrote_is_undone(world: World) -> None:
    answer = asked(world, RunSql("Room/a", "DELETE FROM note", may_write=True))
    assert notes(world) == []

    undone(world, answer)

    assert notes(world) == ["one", "two"]
    assert notes(world, "Room/a:part/deep") == ["deep"]


def test_a_query_that_wrote_in_a_facet_is_undone_there_alone(world: World) -> None:
    answer = asked(world, RunSql("Room/a:part/deep", "DELETE FROM note", may_write=True))
    world.run(world.get(Room, "a").write("three"))

    undone(world, answer)

    assert notes(world, "Room/a:part/deep") == ["deep"]
    assert notes(world) == ["one", "two", "three"]


def test_a_rewind_and_its_undoing(world: World) -> None:
    first: Any = asked(world, ShowHistory("Room/a")).items[-1]

    answer = asked(world, RewindObject("Room/a", first["bookmark"]))
    assert notes(world) == ["one"]
    back = undone(world, answer)
    assert notes(world) == ["one", "two"]
    undone(world, back)
    assert notes(world) == ["one"]


def test_a_deleted_object_comes_back(world: World) -> None:
    answer = asked(world, DeleteObject("Room/a"))
    assert listed(world) == []

    undone(world, answer)

    assert listed(world) == ["Room/a"]
    assert notes(world) == ["one", "two"]
    assert notes(world, "Room/a:part/deep") == ["deep"]
    assert world.run(world.get(Room, "a").facets()) == ["part"]


def test_a_deleted_object_comes_back_after_a_restart(world: World) -> None:
    answer = asked(world, DeleteObject("Room/a"))
    world.run(world.restart())
    world.run(world.platform.start())
    assert listed(world) == []

    undone(world, answer)
    world.run(world.restart())
    world.run(world.platform.start())

    assert notes(world) == ["one", "two"]


@pytest.mark.parametrize("state", ["live", "cold"])
def test_a_deleted_facet_comes_back(world: World, state: str) -> None:
    if state == "cold":
        world.run(world.restart())
        world.run(world.platform.start())
    answer = asked(world, DeleteObject("Room/a:part/deep"))
    with pytest.raises(UnknownObjectError):
        notes(world, "Room/a:part/deep")

    undone(world, answer)

    assert notes(world, "Room/a:part/deep") == ["deep"]
    world.run(world.restart())
    world.run(world.platform.start())
    assert notes(world, "Room/a:part/deep") == ["deep"]


def test_a_fork_and_its_undoing(world: World) -> None:
    first: Any = asked(world, ShowHistory("Room/a")).items[-1]

    now = asked(world, ForkObject("Room/a", "b"))
    then = asked(world, ForkObject("Room/a", "Room/c", first["bookmark"]))

    assert notes(world, "Room/b") == ["one", "two"]
    assert notes(world, "Room/b:part/deep") == ["deep"]
    assert notes(world, "Room/c") == ["one"]
    with pytest.raises(UsageError, match="exists"):
        asked(world, ForkObject("Room/a", "b"))
    for answer in (now, then):
        undone(world, answer)
    assert listed(world) == ["Room/a"]


def test_an_export_is_imported_elsewhere(world: World, tmp_path: Path, perdure_isolates: Isolates) -> None:
    path = tmp_path / "a.perdure"

    answer = asked(world, ExportObject("Room/a", str(path)))
    assert answer.summary["size_bytes"] == path.stat().st_size
    with World([Room], isolates=perdure_isolates) as other:
        other.run(other.platform.start())
        made = asked(other, ImportObject(str(path), "Room/z"))
        assert notes(other, "Room/z:part/deep") == ["deep"]
        assert notes(other, "Room/z") == ["one", "two"]
        undone(other, made)
        assert listed(other) == []

    with pytest.raises(UsageError, match="exists"):
        asked(world, ExportObject("Room/a", str(path)))
    with pytest.raises(UsageError, match="no absolute path"):
        asked(world, ExportObject("Room/a", "a.perdure"))
    with pytest.raises(UsageError, match="is a facet"):
        asked(world, ExportObject("Room/a:part", str(tmp_path / "b")))
    with pytest.raises(UsageError, match="names no object"):
        asked(world, ImportObject(str(path), "Room"))


def test_differences_name_what_came_and_went(world: World) -> None:
    before: Any = asked(world, ShowHistory("Room/a")).items[-1]["bookmark"]  # type: ignore[index]
    world.run(world.get(Room, "a").write("three"))
    asked(world, RunSql("Room/a", "DELETE FROM note WHERE text = 'one'", may_write=True))

    answer = asked(world, ShowDiff("Room/a", before))
    items: Any = answer.items

    by_place = {item["object"]: item for item in items}
    assert by_place["Room/a"]["kv"]["added"] == [["three"], ["two"]]
    assert by_place["Room/a"]["tables"]["note"]["removed"] == [[1]]
    assert by_place["Room/a:part/deep"]["fate"] == "added"
    assert answer.summary["commits"]
    assert asked(world, ShowDiff("Room/a:part/deep", before)).items == [by_place["Room/a:part/deep"]]
    assert asked(world, ShowDiff("Room/a", str(answer.summary["after"]))).items == []


def test_a_time_before_an_object_was_made_is_its_beginning(world: World) -> None:
    answer = asked(world, ShowDiff("Room/a", "@1"))
    items: Any = answer.items

    assert items[0]["kv"]["added"] == [["one"], ["two"]]
    assert asked(world, ShowDiff("Room/a", "@1", "@2")).items == []
    with pytest.raises(BookmarkError, match="is before that"):
        asked(world, RewindObject("Room/a", "@1"))


def test_a_facet_that_never_was_does_not_just_differ_in_nothing(world: World) -> None:
    with pytest.raises(UnknownObjectError, match="its facets are: `part`, `part/deep`"):
        asked(world, ShowDiff("Room/a:prat", "@1"))


def test_copies_of_a_known_name_or_another_class_are_refused_by_name(world: World) -> None:
    with pytest.raises(UsageError, match="`Room/a` exists"):
        asked(world, ForkObject("Room/a", "a"))
    world.run(world.get(Desk, "d").write("x"))
    with pytest.raises(UsageError, match="is a `Room` too, no `Desk`"):
        asked(world, ForkObject("Room/a", "Desk/copy"))
    assert asked(world, ForkObject("Room/a", "of/today")).summary["object"] == "Room/of/today"


def test_a_query_that_wrote_in_a_live_object_says_what_it_did_not_change(world: World) -> None:
    update = RunSql("Room/a", "UPDATE note SET text = 'x'", may_write=True)
    assert "in memory" in str(asked(world, update).summary["warnings"])
    assert "warnings" not in asked(world, RunSql("Room/a", "SELECT 1", may_write=True)).summary

    world.run(world.evict(Room, "a"))

    assert "warnings" not in asked(world, update).summary


def test_looking_back_wakes_nobody(world: World) -> None:
    world.run(world.restart())
    world.run(world.platform.start())
    first: Any = asked(world, ShowHistory("Room/a")).items[-1]

    assert notes(world, at=first["bookmark"]) == ["one"]
    asked(world, ShowDiff("Room/a", first["bookmark"]))
    tree: Any = asked(world, ShowTree("Room/a")).items

    assert not any(item["is_live"] for item in tree)


def test_a_rewind_under_calls_loses_nothing_of_others(world: World) -> None:
    first: Any = asked(world, ShowHistory("Room/a")).items[-1]

    async def main() -> None:
        calls = [asyncio.ensure_future(world.get(Room, "b").write(str(number))) for number in range(20)]
        await asyncio.gather(*calls)

    world.run(main())
    asked(world, RewindObject("Room/a", first["bookmark"]))

    assert len(notes(world, "Room/b")) == 20
