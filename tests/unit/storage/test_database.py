from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from random import Random

import apsw
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perdure.errors import DamagedDataError, ObjectResetError, PerdureError, SqlError, StorageFailedError
from perdure.limits import DATABASE_BYTES_MAX
from perdure.storage._capture import Captured
from perdure.storage._database import Database, open_connection
from perdure.storage._layout import wal_path
from perdure.storage._template import PAGE_SIZE, new_database
from perdure.wire import KvRange

FOREIGN_KEYS = """
    CREATE TABLE parent(id INTEGER PRIMARY KEY);
    CREATE TABLE child(parent REFERENCES parent(id))
"""


class BrokenTail:
    """A `-wal` file that cannot be read."""

    def read_or_none(self) -> Captured | None:
        raise StorageFailedError("object.sqlite-wal cannot be read")

    def close(self) -> None:
        pass


def operations(database: Database) -> list[Callable[[], object]]:
    return [
        lambda: database.kv_get("a"),
        lambda: database.kv_put("a", "1"),
        lambda: database.kv_delete("a"),
        lambda: database.kv_list(KvRange()),
        lambda: database.sql_exec("SELECT 1"),
        lambda: database.sql_next(1),
        lambda: database.host_exec("SELECT 1"),
        lambda: database.database_size,
        database.commit,
    ]


def assert_broken(database: Database, error: PerdureError) -> None:
    for operation in operations(database):
        with pytest.raises(type(error)) as raised:
            operation()
        assert raised.value is error


def limit_pages(path: Path, *, spare: int) -> Database:
    """A database whose file may grow by `spare` pages."""
    connection = open_connection(path)
    connection.pragma("max_page_count", connection.pragma("page_count") + spare)
    return Database(connection, path=path, tail=BrokenTail())


# ── opening ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_connection_is_set_up(database_path: Path) -> None:
    connection = open_connection(database_path)

    settings = {
        name: connection.pragma(name)
        for name in (
            "journal_mode",
            "synchronous",
            "locking_mode",
            "wal_autocheckpoint",
            "foreign_keys",
            "trusted_schema",
        )
    }

    assert settings == {
        "journal_mode": "wal",
        "synchronous": 0,
        "locking_mode": "exclusive",
        "wal_autocheckpoint": 0,
        "foreign_keys": 1,
        "trusted_schema": 0,
    }
    assert connection.config(apsw.SQLITE_DBCONFIG_DEFENSIVE, -1) == 1
    assert connection.vfsname("main") == "unix-none"
    connection.close()


def test_a_close_leaves_the_log_and_no_shared_memory(database_path: Path) -> None:
    database = Database.open(database_path, number=0)
    database.kv_put("a", "1")
    database.commit()

    database.close()

    assert sorted(path.name for path in database_path.parent.iterdir()) == ["object.sqlite", "object.sqlite-wal"]
    assert database_path.read_bytes() == new_database()
    reopened = Database.open(database_path, number=0)
    assert reopened.kv_get("a") == "1"
    reopened.close()


@pytest.mark.parametrize("content", [b"no database " * 1000, b"", new_database()[:100] + b"\xff" * 8000])
def test_a_file_that_is_no_database_is_refused_and_left_alone(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "object.sqlite"
    path.write_bytes(content)

    with pytest.raises(DamagedDataError, match=rf"`{path}` is damaged: .*; keep a copy .* restore it from a backup"):
        Database.open(path, number=0)

    assert path.read_bytes() == content


def test_a_database_of_something_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "object.sqlite"
    other = apsw.Connection(str(path))
    other.execute("CREATE TABLE t(a)")
    other.close()

    with pytest.raises(DamagedDataError, match="no such table: _cf_KV"):
        Database.open(path, number=0)


def test_a_database_with_other_pages_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "object.sqlite"
    other = apsw.Connection(str(path))
    other.execute("PRAGMA page_size = 8192; CREATE TABLE _cf_KV(key TEXT PRIMARY KEY, value BLOB) WITHOUT ROWID")
    other.close()

    with pytest.raises(DamagedDataError, match="pages have 8192 bytes, ours 4096"):
        Database.open(path, number=0)


def test_a_database_of_another_application_is_refused(database_path: Path) -> None:
    other = apsw.Connection(str(database_path))
    other.pragma("application_id", 1)
    other.close()

    with pytest.raises(DamagedDataError, match="was made by another application"):
        Database.open(database_path, number=0)


@pytest.mark.parametrize("size", [1, 100, PAGE_SIZE - 1, PAGE_SIZE, PAGE_SIZE + 1, 2 * PAGE_SIZE - 1])
def test_a_file_that_was_cut_off_is_refused_and_left_alone(database_path: Path, size: int) -> None:
    os.truncate(database_path, size)

    with pytest.raises(DamagedDataError, match=f"`{database_path}` is damaged: .*restore it from a backup"):
        Database.open(database_path, number=0)

    assert database_path.read_bytes() == new_database()[:size]


def test_a_header_that_forbids_writing_is_damage(database_path: Path) -> None:
    content = bytearray(new_database())
    content[18] = 3
    database_path.write_bytes(content)

    with pytest.raises(DamagedDataError, match="its header says that it must not be written"):
        Database.open(database_path, number=0)


def test_a_database_has_a_largest_size(database_path: Path) -> None:
    connection = open_connection(database_path)

    assert connection.pragma("max_page_count") == DATABASE_BYTES_MAX // PAGE_SIZE
    connection.close()


def test_a_missing_file_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(StorageFailedError, match="cannot be opened: is it there"):
        Database.open(tmp_path / "object.sqlite", number=0)

    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write any file")
def test_a_file_that_may_not_be_written_is_refused(database_path: Path) -> None:
    database_path.chmod(0o444)

    with pytest.raises(StorageFailedError, match="may not be written"):
        Database.open(database_path, number=0)


def test_damage_found_later_breaks_the_database(database_path: Path) -> None:
    database = Database.open(database_path, number=0)
    for number in range(200):
        database.kv_put(f"{number:03}", '"' + "x" * 1000 + '"')
    database.commit()
    database.checkpoint()
    database.close()
    content = bytearray(database_path.read_bytes())
    content[-10 * PAGE_SIZE :] = b"\xee" * (10 * PAGE_SIZE)
    database_path.write_bytes(content)
    damaged = Database.open(database_path, number=0)

    with pytest.raises(DamagedDataError, match=rf"`{database_path}` is damaged: .*SQLITE_CORRUPT") as raised:
        damaged.kv_list(KvRange(reverse=True))

    assert_broken(damaged, raised.value)
    damaged.close()


# ── the unit ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_commit_gives_the_pages_that_changed(database: Database) -> None:
    database.kv_put("a", "1")

    captured = database.commit()

    assert captured is not None
    assert list(captured.pages) == [2]
    assert captured.database_pages == 2
    assert not database.in_unit


@pytest.mark.parametrize("query", ["SELECT 1", "CREATE TABLE IF NOT EXISTS t(a)", "UPDATE t SET a = 1"])
def test_commit_without_a_change_gives_nothing(database: Database, query: str) -> None:
    database.sql_exec("CREATE TABLE t(a)")
    database.commit()

    database.sql_exec(query)

    assert database.commit() is None
    assert not database.in_unit


def test_the_first_unit_may_change_nothing(database: Database) -> None:
    database.kv_delete("missing")

    assert database.commit() is None


def test_commit_makes_writes_visible_to_the_next_connection(database_path: Path) -> None:
    database = Database.open(database_path, number=0)
    database.kv_put("kept", "1")
    database.commit()
    database.kv_put("lost", "1")

    database.close()

    reopened = Database.open(database_path, number=0)
    assert reopened.kv_list(KvRange()) == [("kept", "1")]
    reopened.close()


def test_rollback_undoes_the_unit(database: Database) -> None:
    database.kv_put("a", "1")
    database.commit()
    database.kv_put("a", "2")

    database.rollback()

    assert database.kv_get("a") == "1"
    assert not database.in_unit
    assert database.commit() is None


def test_rollback_without_a_unit_is_nothing(database: Database) -> None:
    database.rollback()

    assert database.kv_get("a") is None


def test_a_host_query_opens_no_unit(database: Database) -> None:
    assert database.host_exec("SELECT 1") == [(1,)]

    assert not database.in_unit


def test_host_tables_commit_with_the_guests_writes(database: Database) -> None:
    database.host_exec("CREATE TABLE _cf_OWN(a)")
    database.host_exec("INSERT INTO _cf_OWN VALUES (?)", (5,))

    assert database.in_unit
    assert database.host_exec("SELECT a FROM _cf_OWN") == [(5,)]
    database.rollback()
    with pytest.raises(SqlError, match="no such table"):
        database.host_exec("SELECT a FROM _cf_OWN")


def test_database_size_follows_the_pages_in_use(database: Database) -> None:
    before = database.database_size

    database.sql_exec("CREATE TABLE t(a)")
    grown = database.database_size
    database.sql_exec("DROP TABLE t")

    assert before == 2 * PAGE_SIZE
    assert grown == before + PAGE_SIZE
    assert database.database_size == before


def test_checkpoint_moves_the_log_into_the_file(database: Database, database_path: Path) -> None:
    database.kv_put("a", '"here"')
    database.commit()

    database.checkpoint()

    assert b'"here"' in database_path.read_bytes()
    assert database_path.with_name("object.sqlite-wal").stat().st_size == 0
    database.kv_put("b", "1")
    assert database.commit() is not None


# ── damage ───────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def filled_file(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, bytes]:
    """A database with every kind of content, and that content."""
    path = tmp_path_factory.mktemp("damage") / "object.sqlite"
    path.write_bytes(new_database())
    database = Database.open(path, number=0)
    database.sql_exec("""
        CREATE TABLE t(a INTEGER PRIMARY KEY, b TEXT); CREATE INDEX i ON t(b);
        CREATE VIRTUAL TABLE f USING fts5(x); CREATE VIRTUAL TABLE r USING rtree(id, low, high)
    """)
    for number in range(100):
        database.kv_put(f"key {number:03}", "x" * 100)
        database.sql_exec("INSERT INTO t VALUES (?, ?)", (number, f"word{number} " * 10))
        database.sql_exec("INSERT INTO f VALUES (?)", (f"word{number} " * 10,))
        database.sql_exec("INSERT INTO r VALUES (?1, ?1, ?1)", (number,))
    database.commit()
    database.checkpoint()
    database.close()
    wal_path(path).unlink()
    return path, path.read_bytes()


USES: list[Callable[[Database], object]] = [
    lambda database: database.kv_get("key 050"),
    lambda database: database.kv_list(KvRange()),
    lambda database: database.kv_put("key 050", "y"),
    lambda database: database.sql_exec("SELECT count(*), sum(length(b)) FROM t"),
    lambda database: database.sql_exec("SELECT a FROM t WHERE b > 'word5'"),
    lambda database: database.sql_exec("SELECT rowid FROM f('word7')"),
    lambda database: database.sql_exec("INSERT INTO f VALUES ('a b c')"),
    lambda database: database.sql_exec("SELECT id FROM r WHERE low > 5"),
    lambda database: database.sql_exec("DELETE FROM r WHERE id < 50"),
    Database.commit,
    lambda database: database.database_size,
]
FLIPS = st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(1, 255)), min_size=1, max_size=20)


@settings(max_examples=150, deadline=None)
@given(cut=st.just(1.0) | st.floats(0, 1), flips=st.just([]) | FLIPS, random_page=st.none() | st.integers(0, 2**32))
def test_a_damaged_file_is_refused_or_read_never_worse(
    filled_file: tuple[Path, bytes], cut: float, flips: list[tuple[float, int]], random_page: int | None
) -> None:
    path, intact = filled_file
    content = bytearray(intact[: int(cut * len(intact))])
    if random_page is not None:
        start = random_page % max(1, len(content) // PAGE_SIZE) * PAGE_SIZE
        content[start : start + PAGE_SIZE] = Random(random_page).randbytes(len(content[start : start + PAGE_SIZE]))
    for place, bits in flips if content else []:
        content[int(place * len(content))] ^= bits
    path.write_bytes(content)
    wal_path(path).unlink(missing_ok=True)

    try:
        database = Database.open(path, number=0)
    except DamagedDataError as error:
        assert str(path) in str(error)  # noqa: PT017  # it may be raised, or not
        return
    try:
        assert len(content) == len(intact)
        for use in USES:
            with suppress(DamagedDataError, SqlError):
                use(database)
    finally:
        database.close()


@pytest.mark.parametrize("stored", ["CAST(x'ff' AS TEXT)", "x'00'", "5"])
def test_a_value_that_is_no_text_is_damage(database: Database, database_path: Path, stored: str) -> None:
    database.host_exec(f"INSERT INTO _cf_KV VALUES ('a', {stored})")

    with pytest.raises(DamagedDataError, match=f"`{database_path}` is damaged: .*restore it from a backup") as raised:
        database.kv_get("a")

    assert_broken(database, raised.value)


def test_a_listed_value_that_is_no_text_is_damage(database: Database) -> None:
    database.host_exec("INSERT INTO _cf_KV VALUES ('a', x'00')")

    with pytest.raises(DamagedDataError, match="a key or value is no text"):
        database.kv_list(KvRange())


# ── failure ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_deferred_constraint_violated_at_commit_breaks_the_database(database_path: Path) -> None:
    database = Database.open(database_path, number=0)
    database.sql_exec(FOREIGN_KEYS)
    database.commit()
    database.sql_exec("PRAGMA defer_foreign_keys = on")
    database.sql_exec("SELECT * FROM parent")
    database.sql_exec("INSERT INTO child VALUES (5)")

    with pytest.raises(StorageFailedError) as raised:
        database.commit()

    assert str(raised.value) == (
        "Durable Object was reset and rolled back to its last known good state because the application left the "
        "database in a state where constraints were violated: FOREIGN KEY constraint failed: SQLITE_CONSTRAINT "
        "(extended: SQLITE_CONSTRAINT_FOREIGNKEY)"
    )
    assert_broken(database, raised.value)
    database.close()
    reopened = Database.open(database_path, number=0)
    assert reopened.sql_exec("SELECT * FROM child").rows == []
    reopened.close()


def test_an_immediate_constraint_is_the_statements_own_affair(database: Database) -> None:
    database.sql_exec(FOREIGN_KEYS)

    with pytest.raises(SqlError, match="FOREIGN KEY constraint failed: SQLITE_CONSTRAINT"):
        database.sql_exec("INSERT INTO child VALUES (5)")

    database.commit()
    assert database.sql_exec("SELECT * FROM child").rows == []


@pytest.mark.parametrize(
    "fill",
    [
        lambda database: database.kv_put("big", "x" * 100_000),
        lambda database: database.sql_exec("CREATE TABLE t AS SELECT zeroblob(100000)"),
        lambda database: database.sql_exec("CREATE TABLE t(a); INSERT INTO t VALUES (zeroblob(100000)) RETURNING 1"),
        lambda database: database.host_exec("CREATE TABLE _cf_T AS SELECT zeroblob(100000)"),
    ],
)
def test_a_full_disk_breaks_the_database_even_when_the_error_is_caught(
    database_path: Path, fill: Callable[[Database], object]
) -> None:
    first = Database.open(database_path, number=0)
    first.kv_put("kept", "1")
    first.commit()
    first.close()
    database = limit_pages(database_path, spare=3)
    database.kv_put("lost", "1")

    with pytest.raises(
        StorageFailedError, match=r"^database or disk is full: SQLITE_FULL; a database may have \d+ bytes"
    ) as raised:
        fill(database)

    assert_broken(database, raised.value)
    database.rollback()
    assert_broken(database, raised.value)
    database.close()
    reopened = Database.open(database_path, number=0)
    assert reopened.kv_list(KvRange()) == [("kept", "1")]
    reopened.close()


def test_a_log_that_cannot_be_read_breaks_the_database(database_path: Path) -> None:
    database = Database(open_connection(database_path), path=database_path, tail=BrokenTail())
    database.kv_put("a", "1")

    with pytest.raises(StorageFailedError, match="cannot be read") as raised:
        database.commit()

    assert_broken(database, raised.value)
    database.close()


@pytest.mark.parametrize("clause", ["ROLLBACK", "ABORT"])
def test_a_statement_that_rolls_everything_back_breaks_the_database(database: Database, clause: str) -> None:
    database.sql_exec("CREATE TABLE t(a UNIQUE); INSERT INTO t VALUES (1)")
    query = f"INSERT OR {clause} INTO t VALUES (1)"

    if clause == "ABORT":
        with pytest.raises(SqlError, match="UNIQUE"):
            database.sql_exec(query)
        assert database.in_unit
    else:
        with pytest.raises(StorageFailedError, match="SQLite rolled back everything this turn had written") as raised:
            database.sql_exec(query)
        assert_broken(database, raised.value)


def test_a_contradiction_in_a_virtual_table_is_no_damage_of_the_file(database: Database) -> None:
    database.sql_exec(
        "CREATE VIRTUAL TABLE f USING fts5(body, content=''); INSERT INTO f(rowid, body) VALUES (1, 'a b')"
    )

    with pytest.raises(SqlError, match="SQLITE_CORRUPT_VTAB"):
        database.sql_exec("INSERT INTO f(f, rowid, body) VALUES ('delete', 1, 'a b c')")

    database.kv_put("a", "1")
    assert database.commit() is not None


def test_after_close_storage_is_no_longer_accessible(database_path: Path) -> None:
    database = Database.open(database_path, number=0)

    database.close()
    database.close()

    for operation in operations(database):
        with pytest.raises(ObjectResetError, match="storage is no longer accessible"):
            operation()


def test_another_thread_may_go_on(database_path: Path) -> None:
    program = (
        "import sys, threading; from pathlib import Path; from perdure.storage._database import Database\n"
        "database = Database.open(Path(sys.argv[1]), number=0)\n"
        "thread = threading.Thread(target=database.kv_put, args=('a', '1')); thread.start(); thread.join()\n"
        "database.commit(); database.close()\n"
    )

    subprocess.run([sys.executable, "-c", program, str(database_path)], check=True)

    database = Database.open(database_path, number=0)
    assert database.kv_get("a") == "1"
    database.close()
