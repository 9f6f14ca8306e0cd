"""The doctor finds each kind of damage, says where it is, and repairs without losing anything."""

from __future__ import annotations

import asyncio
import os
import socket
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from tests.unit.server.test_admin import FAR_MS, Room, asked

from perdure.errors import ConfigurationError
from perdure.isolates import Isolates
from perdure.objects import IdFactory
from perdure.server import Checkup, RunSql, SetAlarm, examine
from perdure.testing import World

ID = IdFactory("Room").from_name("a").hex()


@pytest.fixture
def data(tmp_path: Path, perdure_isolates: Isolates) -> Path:
    """What a clean stop leaves: two objects, one with facets below each other, alarms."""
    directory = tmp_path / "data"
    with World([Room], isolates=perdure_isolates, data=directory) as world:
        world.run(world.get(Room, "a").write("x", 50))
        world.run(world.get(Room, "a").write_facet("one/deep"))
        world.run(world.get(Room, "b").write("x"))
        asked(world, SetAlarm("Room/a", FAR_MS))
        asked(world, SetAlarm("Room/a:one/deep", FAR_MS + 1))
    return directory


@pytest.fixture
def crashed(tmp_path: Path, perdure_isolates: Isolates) -> Iterator[Path]:
    """What a crash leaves."""
    import shutil

    directory, copy = tmp_path / "live", tmp_path / "crashed"
    with World([Room], isolates=perdure_isolates, data=directory) as world:
        world.run(world.get(Room, "a").write("x", 50))
        world.run(world.get(Room, "a").write_facet("one"))
        asked(world, SetAlarm("Room/a", FAR_MS))
        shutil.copytree(directory, copy)
        yield copy


def database(data: Path, tree: str = "") -> Path:
    return data / "objects" / "Room" / f"{ID}{tree}.sqlite"


def examined(data: Path, *, may_repair: bool = False) -> Checkup:
    return asyncio.run(examine(data, may_repair=may_repair))


def texts(checkup: Checkup) -> str:
    return "\n".join(finding.text for finding in checkup.findings)


def snapshot(data: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(data)): path.read_bytes()
        for path in data.rglob("*")
        if path.is_file() and path.name not in {"lock", "0.db-shm", "0.db-wal"}
    }


def test_a_clean_directory_is_well_and_looking_changes_nothing(data: Path) -> None:
    before = snapshot(data)

    checkup = examined(data)

    assert checkup.findings == []
    assert snapshot(data) == before


def test_what_a_crash_left_is_noted_and_can_be_recovered(crashed: Path) -> None:
    before = snapshot(crashed)
    checkup = examined(crashed)

    assert checkup.is_healthy
    assert "did not stop in order" in texts(checkup)
    assert snapshot(crashed) == before
    repaired = examined(crashed, may_repair=True)

    assert repaired.findings == []
    assert "recovered" in repaired.repairs[0]
    assert list(crashed.rglob("*.sqlite-wal")) == []


def keeping_times(change: Callable[[Path], None]) -> Callable[[Path], None]:
    """As a disk damages a file: nobody wrote it."""

    def act(path: Path) -> None:
        state = path.stat()
        change(path)
        os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))

    return act


def garble(path: Path) -> None:
    """Every page behind the first holds nonsense."""
    content = bytearray(path.read_bytes())
    content[4096:] = os.urandom(len(content) - 4096)
    path.write_bytes(content)


def replace_by_another(path: Path) -> None:
    size = path.stat().st_size
    path.unlink()
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript("create table t(a)")
    assert path.stat().st_size <= size
    with path.open("ab") as file:
        file.truncate(size)


def cut(path: Path) -> None:
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size - 100)


def zero(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (keeping_times(garble), "is damaged: "),
        (keeping_times(zero), "is "),
        (keeping_times(replace_by_another), "is no database of perdure"),
        (cut, "was cut off"),
        (Path.unlink, "is missing"),
        (Path.touch, "was changed by another program"),
    ],
    ids=["garbled", "zeroed", "replaced", "cut", "missing", "touched"],
)
@pytest.mark.parametrize("tree", ["", ".1.2"])
def test_a_damaged_database_is_named(data: Path, change: Callable[[Path], None], said: str, tree: str) -> None:
    change(database(data, tree))

    checkup = examined(data, may_repair=True)

    assert not checkup.is_healthy
    assert said in texts(checkup)
    assert f"{ID}{tree}.sqlite" in texts(checkup)
    assert checkup.repairs == []


@pytest.mark.parametrize(
    "name", ["notes.txt", "objects/Room/notes.txt", f"objects/Room/{ID}.sqlite-journal", "objects/x", "journal/1.db"]
)
def test_files_that_nobody_knows_are_moved_and_kept(data: Path, name: str) -> None:
    (data / name).write_text("mine")
    assert not examined(data).is_healthy

    checkup = examined(data, may_repair=True)

    assert checkup.findings == []
    assert not (data / name).exists()
    assert (data / "lost+found" / name).read_text() == "mine"


def test_two_of_the_same_name_are_both_kept(data: Path) -> None:
    for text in ("first", "second"):
        (data / "notes.txt").write_text(text)
        examined(data, may_repair=True)

    assert sorted(path.read_text() for path in (data / "lost+found").iterdir()) == ["first", "second"]


def test_a_database_that_belongs_to_no_object_is_moved(data: Path) -> None:
    stranger = data / "objects" / "Room" / f"{'ab' * 32}.sqlite"
    stranger.write_bytes(database(data).read_bytes())
    assert "belongs to no object" in texts(examined(data))

    checkup = examined(data, may_repair=True)

    assert checkup.findings == []
    assert (data / "lost+found" / "objects" / "Room" / stranger.name).exists()


def test_a_log_that_another_program_left_is_moved(data: Path) -> None:
    wal = database(data).with_name(f"{database(data).name}-wal")
    wal.write_bytes(b"left")
    assert "a clean stop leaves none" in texts(examined(data))

    assert examined(data, may_repair=True).findings == []
    assert not wal.exists()


def test_what_a_process_left_is_removed(data: Path) -> None:
    with closing(socket.socket(socket.AF_UNIX)) as left:
        left.bind(str(data / "admin.sock"))
    (data / "temporary" / "work").mkdir()
    (data / "temporary" / "work" / "file").write_text("half")
    found = examined(data)

    checkup = examined(data, may_repair=True)

    assert found.is_healthy
    assert len(found.findings) == 2
    assert checkup.findings == []
    assert not (data / "admin.sock").exists()


def journal(data: Path, *statements: str) -> None:
    with closing(sqlite3.connect(data / "journal" / "0.db")) as connection, connection:
        for statement in statements:
            connection.execute(statement)


@pytest.mark.parametrize("statement", ["DELETE FROM alarm", "UPDATE alarm SET at_ms = at_ms + 5"])
def test_the_index_of_alarms_is_brought_to_what_databases_say(data: Path, statement: str) -> None:
    journal(data, statement)
    assert not examined(data).is_healthy

    checkup = examined(data, may_repair=True)

    assert checkup.findings == []
    with closing(sqlite3.connect(data / "journal" / "0.db")) as connection:
        assert connection.execute("SELECT number, at_ms FROM alarm ORDER BY number").fetchall() == [
            (0, FAR_MS),
            (2, FAR_MS + 1),
        ]


def test_an_alarm_of_the_index_alone_is_found_and_goes(data: Path) -> None:
    other = IdFactory("Room").from_name("b").hex().upper()
    journal(data, f"INSERT INTO alarm SELECT n, 0, {FAR_MS}, {FAR_MS} FROM object WHERE hex(object_id) = '{other}'")
    assert "which has none" in texts(examined(data))

    assert examined(data, may_repair=True).findings == []


def test_an_alarm_of_a_database_that_does_not_exist_is_found(data: Path) -> None:
    journal(data, f"INSERT INTO alarm SELECT n, 9, {FAR_MS}, {FAR_MS} FROM object")

    assert texts(examined(data)).count("which does not exist") == 2


def test_a_file_of_a_facet_without_a_name_is_found(data: Path) -> None:
    with closing(sqlite3.connect(database(data))) as connection, connection:
        connection.execute("UPDATE _cf_FACETS SET name = NULL WHERE number = 2")

    assert "facet (1, 2)" in texts(examined(data))


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda path: path.write_bytes(b"not a database " * 1000), "cannot be read|is damaged"),
        (lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]), "is damaged"),
        (replace_by_another, "is no journal of perdure"),
    ],
    ids=["scribbled", "halved", "replaced"],
)
def test_a_damaged_journal_is_named(data: Path, damage: Callable[[Path], None], said: str) -> None:
    import re

    path = data / "journal" / "0.db"
    damage(path)

    checkup = examined(data)

    assert not checkup.is_healthy
    assert re.search(said, texts(checkup))
    assert str(path) in texts(checkup)


def test_a_journal_of_a_later_version_is_named(data: Path) -> None:
    with closing(sqlite3.connect(data / "journal" / "0.db")) as connection:
        connection.execute("PRAGMA user_version = 99")

    assert "format 99" in texts(examined(data))


@pytest.mark.parametrize("statement", ["DELETE FROM log WHERE n = 1", "UPDATE log SET data = x'00' WHERE n = 1"])
def test_a_broken_chain_is_named(crashed: Path, statement: str) -> None:
    journal(crashed, statement)

    checkup = examined(crashed)

    assert not checkup.is_healthy
    assert ID in texts(checkup)


def test_a_directory_others_may_read_is_noted(data: Path) -> None:
    data.chmod(0o755)

    checkup = examined(data)

    assert checkup.is_healthy
    assert "may be read by other users" in texts(checkup)


def test_what_is_no_data_directory_is_told_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="is no data directory"):
        examined(tmp_path)


def test_a_live_platform_checks_itself(tmp_path: Path, perdure_isolates: Isolates) -> None:
    from perdure.server import CheckUp

    with World([Room], isolates=perdure_isolates, data=tmp_path / "data") as world:
        world.run(world.get(Room, "a").write("x", 50))
        world.run(world.get(Room, "a").write_facet("one/deep"))
        assert asked(world, CheckUp()).items == []

        world.run(world.restart())
        world.run(world.platform.start())
        keeping_times(garble)(database(tmp_path / "data", ".1.2"))
        (tmp_path / "data" / "notes.txt").touch()
        said = [str(item) for item in asked(world, CheckUp()).items]

        assert len(said) == 2
        assert "notes.txt" in said[0]
        assert ":one/deep" in said[1]
        assert asked(world, RunSql("Room/a", "SELECT count(*) FROM note")).items == [[50]]
