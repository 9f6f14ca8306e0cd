"""Cursors, row by row (spec 3.7; cases 44, 45, 47, 53, E13 to E15)."""

from __future__ import annotations

import pytest
from tests.conformance.flavours import Subject, failure

pytestmark = pytest.mark.subject("cursors")

TWO = "SELECT 1 AS n UNION ALL SELECT 'foo'"


async def test_case_44_steps_end_and_stay_ended(subject: Subject) -> None:
    assert await subject.call("steps", TWO, 4) == [{"n": 1}, {"n": "foo"}, None, None]


async def test_case_44_the_only_row_is_consumed(subject: Subject) -> None:
    assert await subject.call("oneAndRest", "SELECT 7 AS n") == [{"n": 7}, []]
    for query, what in ((TWO, "multiple results"), ("SELECT 1 WHERE 0", "no results")):
        error = str(await failure(subject.call("oneAndRest", query)))
        assert "Expected exactly one result from SQL query" in error
        assert what in error


async def test_case_45_names_are_there_before_and_after(subject: Subject) -> None:
    await subject.call("sql", "CREATE TABLE x(a, b, c); CREATE TABLE y(c, d, e)")
    await subject.call("sql", "INSERT INTO x VALUES (1, 2, 3); INSERT INTO y VALUES (4, 5, 6)")
    names = ["a", "b", "c", "c", "d", "e"]

    assert await subject.call("namesBeforeAndAfter", "SELECT * FROM x, y") == [names, [[1, 2, 3, 4, 5, 6]], names]
    assert await subject.call("namesBeforeAndAfter", "UPDATE x SET a = 2") == [[], [], []]


async def test_case_47_every_statement_is_run_and_the_last_one_gives_rows(subject: Subject) -> None:
    script = "CREATE TABLE t(n); INSERT INTO t VALUES (1); INSERT INTO t VALUES (2); UPDATE t SET n = n * 10; "

    assert await subject.call("sql", script + "SELECT n FROM t WHERE n > ? ORDER BY n", 5) == [{"n": 10}, {"n": 20}]
    error = await failure(subject.call("sql", "INSERT INTO t VALUES (?); SELECT n FROM t", 1))
    assert "parameter" in str(error)
    assert await subject.call("sql", "SELECT count(*) AS n FROM t") == [{"n": 2}]


async def test_case_53_the_count_is_one_row_ahead(subject: Subject) -> None:
    await subject.call("sql", "CREATE TABLE t(n)")
    for number in range(10):
        await subject.call("sql", "INSERT INTO t VALUES (?)", number)

    assert await subject.call("counters", "SELECT n FROM t") == [[min(row + 1, 10), 0] for row in range(11)]


async def test_case_53_what_was_written_is_counted(subject: Subject) -> None:
    await subject.call("sql", "CREATE TABLE t(n)")

    assert await subject.call("counters", "INSERT INTO t VALUES (1)") == [[0, 1]]
    assert (await subject.call("counters", "INSERT INTO t VALUES (1), (2), (3)"))[-1][1] == 3


async def test_case_53_temporary_tables_are_not_counted(subject: Subject) -> None:
    await subject.call("sql", "CREATE TABLE t(n INTEGER PRIMARY KEY); INSERT INTO t VALUES (1), (2), (3), (4), (5)")

    assert (await subject.call("counters", "SELECT n FROM t WHERE n IN (2, 4)"))[-1] == [2, 0]


async def test_case_e13_two_cursors_of_one_text(subject: Subject) -> None:
    query = "SELECT column1 AS n FROM (VALUES (1), (2))"

    assert await subject.call("twoOfOne", query) == [[1], {"n": 1}, [2], {"n": 2}]


async def test_case_e13_a_statement_sees_a_changed_schema(subject: Subject) -> None:
    assert await subject.call("acrossAChange") == [[{"a": 1}], [{"a": 1, "b": 2}]]


async def test_case_e14_the_database_grows_and_shrinks_by_pages(subject: Subject) -> None:
    empty, *sizes = await subject.call("sizes")

    assert [size - empty for size in sizes] == [4096, 8192, 4096, 0]


async def test_case_e15_a_cursor_outlives_its_handle(subject: Subject) -> None:
    assert await subject.call("cursorWithoutAHandle") == 700 * 701 // 2
