"""`ctx.storage.sql` through the API (spec 3.7; cases 44 to 53)."""

from __future__ import annotations

import pytest
from tests.conformance.flavours import Subject, failure

TWO = "SELECT 1 UNION ALL SELECT 'foo'"


async def test_case_44_rows_and_the_only_row(subject: Subject) -> None:
    assert (await subject.call("sql", TWO))["rows"] == [[1], ["foo"]]
    assert await subject.call("one", "SELECT 7 AS n") == {"n": 7}
    assert "Expected exactly one result from SQL query, but got multiple results" in str(
        await failure(subject.call("one", TWO))
    )
    assert "Expected exactly one result from SQL query, but got no results" in str(
        await failure(subject.call("one", "SELECT 1 WHERE 0"))
    )


async def test_case_45_columns_of_the_same_name(subject: Subject) -> None:
    await subject.call("sql", "CREATE TABLE x(a, b, c); CREATE TABLE y(c, d, e)")
    await subject.call("sql", "INSERT INTO x VALUES (1, 2, 3)")
    await subject.call("sql", "INSERT INTO y VALUES (4, 5, 6)")

    both = await subject.call("sql", "SELECT * FROM x, y")

    assert both == {"names": ["a", "b", "c", "c", "d", "e"], "rows": [[1, 2, 3, 4, 5, 6]]}
    assert await subject.call("rows", "SELECT * FROM x, y") == [{"a": 1, "b": 2, "c": 4, "d": 5, "e": 6}]
    assert (await subject.call("sql", "UPDATE x SET a = 2"))["names"] == []


@pytest.mark.parametrize("query", ["", ";", "   ", "SELECT 1; -- comment", "-- comment"])
async def test_case_46_no_statement(subject: Subject, query: str) -> None:
    assert "did not contain a statement" in str(await failure(subject.call("sql", query)))


async def test_case_46_a_syntax_error_says_where(subject: Subject) -> None:
    error = await failure(subject.call("sql", "SELECT ;"))

    assert 'near ";": syntax error at offset 7' in str(error)
    assert "SQLITE_ERROR" in str(error)


async def test_case_47_several_statements(subject: Subject) -> None:
    script = "CREATE TABLE t(n); INSERT INTO t VALUES (1); INSERT INTO t VALUES (2); DELETE FROM t WHERE n = 1; "

    assert (await subject.call("sql", script + "SELECT n FROM t WHERE n > ?", 0))["rows"] == [[2]]
    error = await failure(subject.call("sql", "INSERT INTO t VALUES (?); SELECT 1", 5))
    assert "parameter" in str(error)
    await failure(subject.call("sql", "INSERT INTO t VALUES (3); SELECT FROM nothing"))
    assert (await subject.call("sql", "SELECT n FROM t"))["rows"] == [[2], [3]]


@pytest.mark.parametrize(("query", "bindings"), [("SELECT ?", ()), ("SELECT 1", (1,)), ("SELECT ?, ?", (1, 2, 3))])
async def test_wrong_number_of_bindings(subject: Subject, query: str, bindings: tuple[object, ...]) -> None:
    assert "Wrong number of parameter bindings" in str(await failure(subject.call("sql", query, *bindings)))


async def test_bytes_and_nulls(subject: Subject) -> None:
    assert await subject.call("blob") == [[1, 255], [0, 0], None]


@pytest.mark.parametrize(
    "query",
    [
        "CREATE TABLE _cf_x(a)",
        "CREATE TABLE _CF_x(a)",
        "SELECT * FROM _cf_KV",
        "SELECT key FROM _cF_kv",
        "INSERT INTO _cf_KV VALUES ('a', 'b')",
        "DROP TABLE _cf_KV",
        "ALTER TABLE t RENAME TO _cf_t",
        "CREATE VIRTUAL TABLE _cf_v USING fts5(a)",
        "PRAGMA table_info(_cf_KV)",
    ],
)
async def test_case_48_internal_tables_are_out_of_reach(subject: Subject, query: str) -> None:
    await subject.call("sql", "CREATE TABLE t(a)")
    await subject.call("put", "a", 1)

    error = str(await failure(subject.call("sql", query)))

    assert "not authorized" in error or "is prohibited" in error
    assert await subject.call("read", "a") == 1


@pytest.mark.parametrize("query", ["BEGIN", "SAVEPOINT a", "COMMIT", "ROLLBACK", "RELEASE a", "END"])
async def test_case_49_transactions_are_the_platforms(subject: Subject, query: str) -> None:
    assert "transaction" in str(await failure(subject.call("sql", query)))


@pytest.mark.parametrize(
    "query",
    [
        "PRAGMA hard_heap_limit = 1000",
        "PRAGMA page_size = 8192",
        "PRAGMA max_page_count = 1",
        "PRAGMA data_version = 5",
        "PRAGMA journal_mode = DELETE",
        "SELECT sqlite_version()",
        "SELECT load_extension('x')",
        "CREATE TEMP TABLE x(a)",
        "ATTACH 'x.db' AS x",
        "VACUUM INTO '/tmp/x'",
        "CREATE VIRTUAL TABLE v USING csv(a)",
    ],
)
async def test_cases_50_to_52_what_is_not_allowed(subject: Subject, query: str) -> None:
    assert "not authorized" in str(await failure(subject.call("sql", query)))


@pytest.mark.parametrize(
    "query",
    [
        "PRAGMA table_info(t)",
        "PRAGMA quick_check",
        "PRAGMA optimize",
        "PRAGMA foreign_keys",
        "PRAGMA defer_foreign_keys = tRuE",
        "ANALYZE",
        "SELECT abs(-1), cos(0), '{\"a\":1}' -> 'a', json_extract('[1]', '$[0]')",
        "CREATE VIRTUAL TABLE r USING RTREE(id, a, b)",
        "CREATE VIRTUAL TABLE f USING FTS5(a)",
        "CREATE TRIGGER g AFTER INSERT ON t BEGIN UPDATE t SET a = 1; END",
    ],
)
async def test_cases_50_to_52_what_is_allowed(subject: Subject, query: str) -> None:
    await subject.call("sql", "CREATE TABLE t(a)")

    await subject.call("sql", query)


async def test_case_51_full_text_search(subject: Subject) -> None:
    await subject.call("sql", "CREATE VIRTUAL TABLE f USING fts5(a); INSERT INTO f VALUES ('one two'), ('three')")

    found = await subject.call(
        "sql",
        "SELECT a, bm25(f) < 0, highlight(f, 0, '<', '>'), snippet(f, 0, '[', ']', '…', 1) FROM f WHERE f MATCH 'two'",
    )

    assert found["rows"] == [["one two", 1, "one <two>", "…[two]"]]


async def test_case_53_rows_read_and_written_are_counted(subject: Subject) -> None:
    await subject.call("sql", "CREATE TABLE t(n)")
    written = await subject.call("readAndWritten", "INSERT INTO t VALUES (1)", 0)
    for _ in range(9):
        await subject.call("sql", "INSERT INTO t VALUES (1)")

    read = await subject.call("readAndWritten", "SELECT n FROM t", 10)

    assert written[1] == 1
    assert read == [10, 0]


async def test_cursors_are_independent(subject: Subject) -> None:
    assert await subject.call("twoCursors") == [1, 1, 2, 2]


async def test_a_column_may_have_any_name(subject: Subject) -> None:
    assert await subject.call("rows", "SELECT 1 AS __proto__, 2 AS constructor") == [{"__proto__": 1, "constructor": 2}]


async def test_many_rows_arrive(subject: Subject) -> None:
    query = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000) SELECT i FROM n"

    assert (await subject.call("sql", query))["rows"] == [[number] for number in range(1, 3001)]


async def test_a_failing_statement_leaves_the_object_alone(subject: Subject) -> None:
    await subject.call("sql", "CREATE TABLE t(n UNIQUE); INSERT INTO t VALUES (1)")
    await subject.call("count")

    error = await failure(subject.call("sql", "INSERT INTO t VALUES (1)"))

    assert "UNIQUE constraint failed: t.n" in str(error)
    assert "SQLITE_CONSTRAINT" in str(error)
    assert await subject.call("count") == 1


async def test_the_databases_size_grows_and_shrinks(subject: Subject) -> None:
    before = await subject.call("databaseSize")

    await subject.call("sql", "CREATE TABLE t(n)")
    assert await subject.call("databaseSize") == before + 4096
    await subject.call("sql", "DROP TABLE t")

    assert await subject.call("databaseSize") == before
