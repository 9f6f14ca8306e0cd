"""Hostile SQL. Each attempt first works in a plain connection, so that it proves something; here it is refused.

An attempt is a script; it works when its last statement gives a row whose first value is true.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest

from perdure.errors import PerdureError, SqlError, SqlInterruptedError, StorageFailedError
from perdure.limits import SQL_STATEMENT_HEAP_BYTES_MAX
from perdure.storage._database import Database
from perdure.storage._template import new_database

OWN_TABLE = "CREATE TABLE IF NOT EXISTS _cf_KV(key TEXT PRIMARY KEY, value BLOB) WITHOUT ROWID;"
ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)"


def nested(levels: int) -> str:
    query = "SELECT 1 AS x"
    for _ in range(levels):
        query = f"SELECT x + x AS x FROM ({query})"
    return query


OTHER_FILES = {
    "make a file": "ATTACH '{path}' AS other; CREATE TABLE other.t(a); SELECT count(*) = 0 FROM other.t",
    "copy the database": "VACUUM INTO '{path}'; SELECT 1",
    "keep a file beside": "PRAGMA temp_store_directory; PRAGMA journal_mode = delete; SELECT 1",
}
THE_HOSTS = {
    "read the host's table": f"{OWN_TABLE} SELECT count(*) = 0 FROM _cf_KV",
    "write the host's table": f"{OWN_TABLE} INSERT INTO _cf_KV VALUES ('a', 'b'); SELECT 1",
    "drop the host's table": f"{OWN_TABLE} DROP TABLE _cf_KV; SELECT 1",
    "take the host's name": "CREATE TABLE t(a); ALTER TABLE t RENAME TO _cf_x; SELECT 1",
    "write the schema": "PRAGMA writable_schema = 1; UPDATE sqlite_master SET sql = sql; SELECT 1",
    "end the transaction": "BEGIN; COMMIT; SELECT 1",
    "undo the host's work": "SAVEPOINT a; ROLLBACK TO a; SELECT 1",
    "lift the bound of the file": "PRAGMA max_page_count = 4294967294; SELECT 1",
    "lift the bound of memory": "PRAGMA hard_heap_limit = 0; SELECT 1",
    "keep a large cache": "PRAGMA cache_size = 1000000; SELECT 1",
    "map the file": "PRAGMA mmap_size = 1000000000; SELECT 1",
    "claim to be another application": "PRAGMA application_id = 1; SELECT 1",
    "tell the version": "SELECT sqlite_version() > '3'",
    "keep a temporary table": "CREATE TEMP TABLE t(a); SELECT 1",
    "keep a table in the temporary database": "CREATE TABLE temp.t(a); SELECT 1",
    "keep a view in the temporary database": "CREATE VIEW temp.v AS SELECT 1 AS a; SELECT a FROM v",
    "keep a trigger in the temporary database": (
        "CREATE TABLE t(a); CREATE TRIGGER temp.r AFTER INSERT ON main.t BEGIN SELECT 1; END; "
        "SELECT count(*) FROM sqlite_temp_schema"
    ),
    "keep a search index in the temporary database": "CREATE VIRTUAL TABLE temp.f USING fts5(a); SELECT 1",
}
MEMORY = {
    "nest what SQLite multiplies while it prepares": nested(20),
    "keep many long values": f"SELECT {', '.join(['zeroblob(4000000) || 1'] * 100)}",
    "ask for a huge blob": "SELECT length(zeroblob(900000000)) > 0",
    "ask for a huge text": "SELECT length(printf('%900000000d', 1)) > 0",
    "collect long values": (
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100) "
        "SELECT length(json_group_array(hex(zeroblob(2000000)))) > 1 FROM n"
    ),
    "print a deep JSON": f"SELECT length(json_pretty('{'[' * 900}{'1,' * 10_000}1{']' * 900}')) > 1",
}
TIME = {
    "match a long pattern": f"SELECT 'x' NOT LIKE '{'%a' * 100}'",
    "call with very many arguments": f"SELECT max({', '.join(['1'] * 200)})",
    "compile a huge program": f"SELECT 1 WHERE 1 NOT IN ({', '.join(['abs(2)'] * 9_000)})",
    "nest an expression deeply": "SELECT 1" + " + 1" * 500,
    "start triggers from triggers": (
        "PRAGMA recursive_triggers = 1; CREATE TABLE t(a); CREATE TRIGGER g AFTER INSERT ON t WHEN new.a < 500 "
        "BEGIN INSERT INTO t VALUES (new.a + 1); END; INSERT INTO t VALUES (1); SELECT count(*) = 500 FROM t"
    ),
    "patch a large JSON": (
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000), "
        "d(x) AS (SELECT '{{' || group_concat('\"a' || i || '\":1') || '}}' FROM n) "
        "SELECT length(json_patch(x, replace(x, 'a', 'b'))) > 1 FROM d"
    ),
}
ATTEMPTS = {**OTHER_FILES, **THE_HOSTS, **MEMORY, **TIME}


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    path = tmp_path / "object.sqlite"
    path.write_bytes(new_database())
    opened = Database.open(path, number=0)
    opened.kv_put("kept", "1")
    yield opened
    opened.close()


@pytest.mark.parametrize("script", ATTEMPTS.values(), ids=ATTEMPTS.keys())
def test_the_attempt_works_in_plain_sqlite(tmp_path: Path, script: str) -> None:
    connection = apsw.Connection(str(tmp_path / "plain.sqlite"))

    *_, row = connection.execute(script.format(path=tmp_path / "other.sqlite")).fetchall()

    assert row[0]
    connection.close()


@pytest.mark.parametrize("script", ATTEMPTS.values(), ids=ATTEMPTS.keys())
def test_the_attempt_fails_here(tmp_path: Path, database: Database, script: str) -> None:
    with pytest.raises(SqlError):
        database.sql_exec(script.format(path=tmp_path / "other.sqlite"))

    assert database.kv_get("kept") == "1"
    assert not (tmp_path / "other.sqlite").exists()
    assert apsw.memory_used() < SQL_STATEMENT_HEAP_BYTES_MAX
    assert database.commit() is not None


# ── what may be begun, and is ended ──────────────────────────────────────────────────────────────────────────

WITHOUT_END = {
    "count for ever": f"{ENDLESS} SELECT count(*) FROM n",
    "sort for ever": f"{ENDLESS} SELECT i FROM n ORDER BY -i",
    "collect for ever": f"{ENDLESS} SELECT DISTINCT i % 2 FROM n",
    "write for ever": f"CREATE TABLE t(a); INSERT INTO t {ENDLESS} SELECT i FROM n",
    "join for ever": (
        "WITH t(a) AS (VALUES (1), (2), (3), (4), (5), (6), (7), (8), (9), (10)) "
        f"SELECT count(*) FROM {', '.join(f't t{number}' for number in range(15))}"
    ),
    "start triggers for ever": (
        "CREATE TABLE t(a); CREATE TRIGGER g AFTER INSERT ON t BEGIN UPDATE t SET a = a; END; "
        f"INSERT INTO t {ENDLESS} SELECT i FROM n"
    ),
}


@pytest.mark.parametrize("script", WITHOUT_END.values(), ids=WITHOUT_END.keys())
def test_what_has_no_end_is_looked_at_again_and_again(database: Database, script: str) -> None:
    looks = iter([False] * 50)
    database.deadline = lambda: next(looks, True)

    with pytest.raises(SqlInterruptedError):
        database.sql_exec(script)

    database.deadline = None
    database.rollback()
    assert database.sql_exec("SELECT 1").rows == [(1,)]


def test_a_full_database_breaks_only_itself(tmp_path: Path) -> None:
    paths = [tmp_path / "full.sqlite", tmp_path / "other.sqlite"]
    for path in paths:
        path.write_bytes(new_database())
    full, other = (Database.open(path, number=number) for number, path in enumerate(paths))
    full.host_exec("PRAGMA max_page_count = 100")

    with pytest.raises(StorageFailedError, match=r"database or disk is full: SQLITE_FULL; a database may have 409600"):
        full.sql_exec(f"CREATE TABLE t(a); INSERT INTO t {ENDLESS} SELECT zeroblob(4000) FROM n")

    other.kv_put("a", "1")
    assert other.commit() is not None
    for database in (full, other):
        database.close()


def test_many_statements_and_cursors_stay_few(database: Database) -> None:
    database.sql_exec(f"{ENDLESS} SELECT i FROM n LIMIT 1000")
    before = apsw.memory_used()

    for number in range(2_000):
        database.sql_exec(f"{ENDLESS} SELECT i, {number} FROM n LIMIT 1000")

    assert apsw.memory_used() - before < 8_000_000
    database.rollback()


@pytest.mark.parametrize("query", ["(" * 5_000 + "a" + ")" * 5_000, '"' + "a " * 50_000, "NEAR(" * 1_000, "a*" * 1_000])
def test_odd_full_text_queries_are_answered_or_refused(database: Database, query: str) -> None:
    database.sql_exec("CREATE VIRTUAL TABLE f USING fts5(x)")
    database.sql_exec("INSERT INTO f VALUES ('a b c')")

    try:
        rows = database.sql_exec("SELECT rowid FROM f(?)", (query,)).rows
    except PerdureError as error:
        assert isinstance(error, SqlError)  # noqa: PT017  # both are fine
    else:
        assert rows in ([], [(1,)])

    assert database.kv_get("kept") == "1"
