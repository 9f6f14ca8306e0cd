from __future__ import annotations

import gc
import math
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perdure.errors import SqlError, SqlInterruptedError
from perdure.limits import (
    SQL_CURSOR_BUFFER_BYTES_MAX,
    SQL_DEADLINE_STEPS,
    SQL_OPEN_CURSORS_MAX,
    SQL_PAGE_BYTES,
    SQL_PAGE_ROWS,
    SQL_PROGRAM_STEPS_MAX,
    SQL_ROW_BYTES_MAX,
    SQL_TEMPORARY_FREE_BYTES_MIN,
    SQL_TEXT_BYTES_MAX,
)
from perdure.storage._authorizer import Authorizer
from perdure.storage._database import Database, open_connection
from perdure.storage._sql import Row, Sql
from perdure.storage._template import new_database
from perdure.storage._unit import Unit
from perdure.wire import SqlValue

NUMBERS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?) SELECT i FROM n"
ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)"


def following(database: Database, cursor_id: int) -> Iterator[Row]:
    """The rows of a cursor from its next page on."""
    while cursor_id:
        page = database.sql_next(cursor_id)
        yield from page.rows
        cursor_id = page.cursor_id


def table_names(database: Database) -> list[SqlValue]:
    rows = database.sql_exec("SELECT name FROM sqlite_schema WHERE name NOT LIKE '\\_cf%' ESCAPE '\\'").rows
    return [name for (name,) in rows]


# ── statements ───────────────────────────────────────────────────────────────────────────────────────────────


def test_rows_and_columns(database: Database) -> None:
    page = database.sql_exec('SELECT 1 AS one UNION ALL SELECT "foo"')

    assert page.columns == ("one",)
    assert page.rows == [(1,), ("foo",)]
    assert page.cursor_id == 0


def test_columns_of_the_same_name_are_kept(database: Database) -> None:
    database.sql_exec(
        "CREATE TABLE a(b, c); CREATE TABLE d(c, e); INSERT INTO a VALUES (1, 2); INSERT INTO d VALUES (2, 3)"
    )

    page = database.sql_exec("SELECT * FROM a JOIN d ON a.c = d.c")

    assert page.columns == ("b", "c", "c", "e")
    assert page.rows == [(1, 2, 2, 3)]


def test_an_empty_result_has_its_columns(database: Database) -> None:
    assert database.sql_exec("SELECT 1 AS a, 2 AS b WHERE 0").columns == ("a", "b")


def test_a_write_has_no_columns(database: Database) -> None:
    database.sql_exec("CREATE TABLE t(a)")

    assert database.sql_exec("UPDATE t SET a = 1").columns == ()


@pytest.mark.parametrize("query", ["", " ", ";", "-- only this", "/* only this */", "SELECT 1; -- comment"])
def test_a_query_without_a_last_statement_is_refused(database: Database, query: str) -> None:
    with pytest.raises(SqlError, match="did not contain a statement"):
        database.sql_exec(query)


@pytest.mark.parametrize(
    "query", ["SELECT 1;", " SELECT 1 ;\n ", "-- first\nSELECT 1", "SELECT 1 -- last", "\ufeffSELECT 1"]
)
def test_blanks_and_comments_around_a_statement_are_fine(database: Database, query: str) -> None:
    assert database.sql_exec(query).rows == [(1,)]


def test_all_statements_run_and_the_last_gives_rows(database: Database) -> None:
    page = database.sql_exec(
        "CREATE TABLE t(a); INSERT INTO t VALUES (1), (2); SELECT a + 10 FROM t; UPDATE t SET a = a + 1 RETURNING a; "
        "SELECT a AS last FROM t"
    )

    assert page.columns == ("last",)
    assert page.rows == [(2,), (3,)]


def test_only_the_last_statement_takes_bindings(database: Database) -> None:
    database.sql_exec("CREATE TABLE t(a)")

    page = database.sql_exec("INSERT INTO t VALUES (1); SELECT a + ? FROM t", (5,))

    assert page.rows == [(6,)]


@pytest.mark.parametrize("bindings", [(), (1,), (1, 2)])
@pytest.mark.parametrize("query", ["SELECT ?; SELECT 1", "SELECT ';', ?; SELECT ?"])
def test_bindings_before_the_last_statement_are_refused(
    database: Database, query: str, bindings: tuple[int, ...]
) -> None:
    with pytest.raises(SqlError, match="only the last statement can have parameters"):
        database.sql_exec(query, bindings)


@pytest.mark.parametrize(
    ("query", "bindings", "expected", "given"),
    [("SELECT ?", (), 1, 0), ("SELECT 1", (1,), 0, 1), ("SELECT ?, ?", (1,), 2, 1), ("SELECT 1; SELECT ?;", (), 1, 0)],
)
def test_the_number_of_bindings_must_fit(
    database: Database, query: str, bindings: tuple[int, ...], expected: int, given: int
) -> None:
    with pytest.raises(SqlError, match=f"Wrong number of parameter bindings.* it has {expected}, {given} were given"):
        database.sql_exec(query, bindings)


@pytest.mark.parametrize("last", ["SELEC 2", "SELECT * FROM missing", "INSERT INTO t VALUES (1)"])
def test_statements_before_a_failing_one_took_effect(database: Database, last: str) -> None:
    with pytest.raises(SqlError):
        database.sql_exec(f"CREATE TABLE t(a UNIQUE); INSERT INTO t VALUES (1); {last}")

    assert database.sql_exec("SELECT a FROM t").rows == [(1,)]


def test_the_same_query_can_be_open_twice(database: Database) -> None:
    first = database.sql_exec(NUMBERS, (SQL_PAGE_ROWS + 2,))
    second = database.sql_exec(NUMBERS, (SQL_PAGE_ROWS + 1,))

    assert list(following(database, second.cursor_id)) == [(SQL_PAGE_ROWS + 1,)]
    assert list(following(database, first.cursor_id)) == [(SQL_PAGE_ROWS + 1,), (SQL_PAGE_ROWS + 2,)]


@pytest.mark.parametrize("rows", [0, 1])
def test_a_repeated_query_sees_new_columns(database: Database, rows: int) -> None:
    database.sql_exec("CREATE TABLE t(a)")
    database.sql_exec("INSERT INTO t SELECT 1 WHERE ?", (rows,))
    assert database.sql_exec("SELECT * FROM t").columns == ("a",)

    assert database.sql_exec("ALTER TABLE t ADD COLUMN b; SELECT * FROM t").columns == ("a", "b")

    assert database.sql_exec("SELECT * FROM t").columns == ("a", "b")


def test_reads_open_no_unit(database: Database) -> None:
    database.sql_exec("SELECT * FROM sqlite_schema; PRAGMA table_list; EXPLAIN SELECT 1")

    assert not database.in_unit


@pytest.mark.parametrize("query", ["CREATE TABLE u(a)", "DELETE FROM t", "SELECT 1; DELETE FROM t", "ANALYZE"])
def test_writes_open_the_unit(database: Database, query: str) -> None:
    database.sql_exec("CREATE TABLE t(a)")
    database.commit()

    database.sql_exec(query)

    assert database.in_unit


def test_kv_and_sql_share_the_unit(database: Database) -> None:
    database.kv_put("a", "1")
    database.sql_exec("CREATE TABLE t(a)")

    database.rollback()

    assert database.kv_get("a") is None
    assert table_names(database) == []


# ── errors ───────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("SELECT ;", 'near ";": syntax error at offset 7: SQLITE_ERROR'),
        ("SELECT 1; SELECT ;", 'near ";": syntax error at offset 17: SQLITE_ERROR'),
        ("SELECT 'é'; SELECT ;", 'near ";": syntax error at offset 20: SQLITE_ERROR'),
        ("SELECT * FROM missing", "no such table: missing: SQLITE_ERROR"),
        (
            "CREATE TABLE t(a UNIQUE); INSERT INTO t VALUES (1), (1)",
            "UNIQUE constraint failed: t.a: SQLITE_CONSTRAINT (extended: SQLITE_CONSTRAINT_UNIQUE)",
        ),
    ],
)
def test_error_text_is_that_of_sqlite_with_place_and_code(database: Database, query: str, text: str) -> None:
    with pytest.raises(SqlError) as raised:
        database.sql_exec(query)

    assert str(raised.value) == text
    assert f": {raised.value.sqlite_code}" in text


def test_the_place_is_right_when_a_repeated_query_lost_its_column(database: Database) -> None:
    database.sql_exec("CREATE TABLE t(a)")
    database.commit()
    database.sql_exec("CREATE TABLE u(b)")
    query = "SELECT 1; SELECT t.a, u.b FROM t, u"
    database.sql_exec(query)
    database.rollback()
    database.sql_exec("CREATE TABLE u(c)")

    with pytest.raises(SqlError, match=r"no such column: u\.b at offset 22: SQLITE_ERROR"):
        database.sql_exec(query)


def test_a_failed_statement_leaves_the_unit_open(database: Database) -> None:
    database.sql_exec("CREATE TABLE t(a UNIQUE); INSERT INTO t VALUES (1)")

    with pytest.raises(SqlError, match="SQLITE_CONSTRAINT"):
        database.sql_exec("INSERT INTO t VALUES (2), (1)")

    assert database.in_unit
    assert database.sql_exec("SELECT a FROM t").rows == [(1,)]


@pytest.mark.parametrize("query", ["x" * (SQL_TEXT_BYTES_MAX + 1), "SELECT '" + "é" * (SQL_TEXT_BYTES_MAX // 2) + "'"])
def test_a_query_over_the_limit_is_refused(database: Database, query: str) -> None:
    with pytest.raises(SqlError, match=rf"the limit `text_bytes` is {SQL_TEXT_BYTES_MAX}.*: bind values"):
        database.sql_exec(query)


def test_a_query_with_nul_is_refused(database: Database) -> None:
    with pytest.raises(SqlError, match="NUL character"):
        database.sql_exec("SELECT 'a\0b'")


@pytest.mark.parametrize(
    "query",
    [f"SELECT zeroblob({SQL_ROW_BYTES_MAX + 1})", f"SELECT length(printf('%.*c', {SQL_ROW_BYTES_MAX + 1}, 'x'))"],
)
def test_a_value_over_the_limit_is_refused(database: Database, query: str) -> None:
    with pytest.raises(SqlError, match=r"string or blob too big: SQLITE_TOOBIG"):
        database.sql_exec(query)


def test_limits_are_those_of_sqlite_where_the_reference_is_narrow(database: Database) -> None:
    many = range(1, 102)

    variables = database.sql_exec(
        f"SELECT {' + '.join('?' for _ in many[:51])}, {' + '.join('?' for _ in many[51:])}", tuple(many)
    ).rows
    terms = database.sql_exec(" UNION ALL ".join(f"SELECT {number}" for number in many)).rows

    assert variables == [(sum(many[:51]), sum(many[51:]))]
    assert terms == [(number,) for number in many]


@pytest.mark.parametrize(
    ("query", "text"),
    [
        (" UNION ALL ".join(["SELECT 1"] * 501), "too many terms in compound SELECT"),
        ("SELECT 1" + ", 1" * 100, "too many columns in result set"),
        ("SELECT 1" + " + 1" * 100, "Expression tree is too large"),
        (f"SELECT max({', '.join(['1'] * 128)})", "too many arguments on function max"),
        ("SELECT ?40000", "variable number must be between"),
        ("SELECT 'x' LIKE printf('%.*c', 51, 'x')", "LIKE or GLOB pattern too complex"),
    ],
)
def test_limits_have_sqlites_own_texts(database: Database, query: str, text: str) -> None:
    with pytest.raises(SqlError, match=text):
        database.sql_exec(query)


def test_a_statement_with_a_huge_program_is_refused_and_nothing_else_is(database: Database) -> None:
    database.sql_exec("CREATE TABLE t(a)")

    with pytest.raises(SqlError, match=f"may have {SQL_PROGRAM_STEPS_MAX} steps when compiled") as raised:
        database.sql_exec(f"INSERT INTO t SELECT 1 WHERE 1 IN ({', '.join(['?'] * 30_000)})", (1,) * 30_000)
    database.sql_exec("INSERT INTO t VALUES (1)")

    assert raised.value.sqlite_code == "SQLITE_NOMEM"
    assert database.in_unit
    assert database.sql_exec("SELECT a FROM t").rows == [(1,)]


def test_a_row_that_repeats_a_long_binding_is_refused(database: Database) -> None:
    columns = ", ".join(["?1"] * 100)

    with pytest.raises(SqlError, match="a row of 100 columns with a binding of 1000000 characters"):
        database.sql_exec(f"SELECT {columns}", ("x" * 1_000_000,))

    assert database.sql_exec(f"SELECT {columns}", ("x",)).rows == [("x",) * 100]


def test_text_that_is_not_utf8_says_what_to_do(database: Database) -> None:
    with pytest.raises(SqlError, match=r"not UTF-8 \(`61ff`…\): select CAST\(column AS BLOB\)"):
        database.sql_exec("SELECT CAST(x'61ff' AS TEXT)")


# ── values ───────────────────────────────────────────────────────────────────────────────────────────────────

CELLS = (
    st.none()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False)
    | st.text(st.characters(exclude_categories=["Cs"]))
    | st.binary()
)


@settings(max_examples=60, deadline=None)
@given(st.lists(CELLS, min_size=1, max_size=8))
def test_cells_come_back_as_they_were_bound(cells: list[SqlValue]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "object.sqlite")
        path.write_bytes(new_database())
        database = Database.open(path, number=0)
        names = [f"c{number}" for number in range(len(cells))]
        places = ", ".join("?" for _ in cells)

        selected = database.sql_exec(f"SELECT {places}", cells).rows
        database.sql_exec(f"CREATE TABLE t({', '.join(names)})")
        database.sql_exec(f"INSERT INTO t VALUES ({places})", cells)
        stored = database.sql_exec("SELECT * FROM t").rows
        database.close()

    assert selected == stored == [tuple(cells)]
    assert [type(cell) for cell in stored[0]] == [type(cell) for cell in cells]


def test_not_a_number_becomes_null(database: Database) -> None:
    assert database.sql_exec("SELECT ?", (math.nan,)).rows == [(None,)]


def test_blobs_and_zeroblobs_are_bytes(database: Database) -> None:
    assert database.sql_exec("SELECT zeroblob(2), ?", (b"\xff",)).rows == [(b"\0\0", b"\xff")]


def test_half_of_a_surrogate_pair_becomes_the_replacement_character(database: Database) -> None:
    page = database.sql_exec("SELECT 'a\udc00', ?, ?", ("\ud800x", "\ud83d\ude00"))

    assert page.rows == [("a\ufffd", "\ufffdx", "\U0001f600")]


@pytest.mark.parametrize("value", [2**63, -(2**63) - 1])
def test_an_integer_beyond_64_bits_is_refused(database: Database, value: int) -> None:
    with pytest.raises(SqlError, match=rf"binding 2 is `{value}`.*64 bits"):
        database.sql_exec("SELECT ?, ?", (1, value))


# ── pages and cursors ────────────────────────────────────────────────────────────────────────────────────────


def test_many_rows_come_in_pages(database: Database) -> None:
    count = 2 * SQL_PAGE_ROWS + 3

    page = database.sql_exec(NUMBERS, (count,))

    assert page.rows == [(number,) for number in range(1, SQL_PAGE_ROWS + 1)]
    rest = list(following(database, page.cursor_id))
    assert rest == [(number,) for number in range(SQL_PAGE_ROWS + 1, count + 1)]


def test_large_rows_make_short_pages(database: Database) -> None:
    page = database.sql_exec(f"{ENDLESS} SELECT zeroblob({SQL_PAGE_BYTES // 2}) FROM n LIMIT 5")

    assert len(page.rows) == 2
    assert len(list(following(database, page.cursor_id))) == 3


@pytest.mark.parametrize("query", ["SELECT 7; ", "SELECT 7 UNION SELECT 8; "])
def test_pages_begin_with_the_last_statement(database: Database, query: str) -> None:
    page = database.sql_exec(query + NUMBERS, (SQL_PAGE_ROWS + 1,))

    assert page.rows[0] == (1,)
    assert list(following(database, page.cursor_id)) == [(SQL_PAGE_ROWS + 1,)]


def test_a_closed_cursor_has_no_next_page(database: Database) -> None:
    page = database.sql_exec(NUMBERS, (SQL_PAGE_ROWS + 1,))

    database.sql_close(page.cursor_id)
    database.sql_close(page.cursor_id)

    with pytest.raises(SqlError, match=f"cursor {page.cursor_id} is closed"):
        database.sql_next(page.cursor_id)


def test_the_oldest_of_too_many_cursors_is_closed(database: Database) -> None:
    cursors = [database.sql_exec(NUMBERS, (SQL_PAGE_ROWS + 1,)).cursor_id for _ in range(SQL_OPEN_CURSORS_MAX + 1)]

    assert list(following(database, cursors[1])) == [(SQL_PAGE_ROWS + 1,)]
    with pytest.raises(SqlError, match=f"when {SQL_OPEN_CURSORS_MAX} newer ones are open"):
        database.sql_next(cursors[0])


def test_an_error_while_reading_ends_the_cursor(database: Database) -> None:
    page = database.sql_exec(f"{ENDLESS} SELECT abs(iif(i < 400, 1, -9223372036854775808)) FROM n")

    with pytest.raises(SqlError, match="integer overflow"):
        database.sql_next(page.cursor_id)

    with pytest.raises(SqlError, match="is closed"):
        database.sql_next(page.cursor_id)


@pytest.mark.parametrize("is_writing", [False, True])
def test_a_cursor_survives_the_end_of_its_turn_in_a_buffer(database: Database, *, is_writing: bool) -> None:
    page = database.sql_exec(NUMBERS, (3 * SQL_PAGE_ROWS,))
    if is_writing:
        database.kv_put("a", "1")

    database.commit()

    assert [row for (row,) in following(database, page.cursor_id)] == list(
        range(SQL_PAGE_ROWS + 1, 3 * SQL_PAGE_ROWS + 1)
    )
    database.checkpoint()


def test_rows_of_a_write_survive_the_end_of_its_turn(database: Database) -> None:
    database.sql_exec("CREATE TABLE t(a)")
    page = database.sql_exec(f"INSERT INTO t {NUMBERS} RETURNING a", (2 * SQL_PAGE_ROWS,))

    database.commit()

    assert len(list(following(database, page.cursor_id))) == SQL_PAGE_ROWS
    assert database.sql_exec("SELECT count(*) FROM t").rows == [(2 * SQL_PAGE_ROWS,)]


def test_what_a_write_did_stays_when_its_cursor_is_closed(database: Database) -> None:
    database.sql_exec("CREATE TABLE t(a)")
    page = database.sql_exec(f"INSERT INTO t {NUMBERS} RETURNING a", (2 * SQL_PAGE_ROWS,))

    database.sql_close(page.cursor_id)
    database.commit()

    assert database.sql_exec("SELECT count(*) FROM t").rows == [(2 * SQL_PAGE_ROWS,)]


def test_the_buffer_at_the_end_of_a_turn_is_bounded(database: Database) -> None:
    size = SQL_CURSOR_BUFFER_BYTES_MAX // 8
    large = database.sql_exec(f"{ENDLESS} SELECT zeroblob({size}) FROM n LIMIT 20")
    small = database.sql_exec(NUMBERS, (SQL_PAGE_ROWS + 1,))

    database.commit()

    received = database.sql_next(large.cursor_id).rows
    assert 5 <= len(received) <= 8
    with pytest.raises(SqlError, match=rf"had more than {SQL_CURSOR_BUFFER_BYTES_MAX} bytes left: read it before"):
        database.sql_next(large.cursor_id)
    with pytest.raises(SqlError, match="bytes left"):
        database.sql_next(small.cursor_id)


@pytest.mark.parametrize("before", ["", "INSERT INTO t VALUES (1); "])
def test_a_cursor_that_never_ends_does_not_hold_up_the_end_of_its_turn(database: Database, before: str) -> None:
    database.sql_exec("CREATE TABLE t(a)")
    page = database.sql_exec(f"{before}{ENDLESS} SELECT i FROM n WHERE i <= ?", (SQL_PAGE_ROWS + 1,))

    database.commit()

    assert len(database.sql_exec("SELECT * FROM t").rows) == bool(before)
    assert database.sql_next(page.cursor_id).rows == [(SQL_PAGE_ROWS + 1,)]
    with pytest.raises(SqlError, match="steps to read to its end: read it before the next await"):
        database.sql_next(page.cursor_id)


def test_a_rollback_closes_cursors(database: Database) -> None:
    page = database.sql_exec(NUMBERS, (SQL_PAGE_ROWS + 1,))

    database.rollback()

    with pytest.raises(SqlError, match="is closed"):
        database.sql_next(page.cursor_id)


def test_a_query_leaves_no_garbage(database: Database) -> None:
    database.sql_exec("CREATE TABLE t(a)")
    gc.collect()
    gc.disable()
    try:
        for query in ("SELECT * FROM t", "INSERT INTO t VALUES (1)", f"{ENDLESS} SELECT i FROM n LIMIT 600"):
            assert sum(1 for _ in following(database, database.sql_exec(query).cursor_id)) in {0, 344}
        database.sql_close(database.sql_exec(f"{ENDLESS} SELECT i FROM n").cursor_id)

        assert gc.collect() == 0
    finally:
        gc.enable()


# ── counters ─────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def ten(database: Database) -> Database:
    database.sql_exec("CREATE TABLE t(a INTEGER PRIMARY KEY, b)")
    database.sql_exec(f"INSERT INTO t(b) {NUMBERS}", (10,))
    return database


@pytest.mark.parametrize(
    ("query", "rows_read"),
    [
        ("SELECT * FROM t", 10),
        ("SELECT sum(b) FROM t", 10),
        ("SELECT * FROM t WHERE b = 3", 10),
        ("SELECT * FROM t WHERE a = 3", 1),
        ("SELECT * FROM t WHERE b IN (1, 2, 3)", 10),
        ("SELECT sum(b) FROM t; SELECT 1", 10),
        ("SELECT 1", 1),
    ],
)
def test_rows_read_counts_scanned_rows(ten: Database, query: str, rows_read: int) -> None:
    for _ in range(2):
        assert ten.sql_exec(query).rows_read == rows_read


@pytest.mark.parametrize(
    ("query", "rows_written"),
    [
        ("INSERT INTO t(b) VALUES (1)", 1),
        ("INSERT INTO t(b) VALUES (1) RETURNING a", 1),
        ("UPDATE t SET b = 0", 10),
        ("DELETE FROM t", 10),
        ("DELETE FROM t WHERE a = 1; INSERT INTO t(b) VALUES (1)", 2),
        ("SELECT * FROM t", 0),
        ("CREATE TABLE other(a)", 0),
    ],
)
def test_rows_written_counts_changed_rows(ten: Database, query: str, rows_written: int) -> None:
    assert ten.sql_exec(query).rows_written == rows_written


def test_counters_grow_from_page_to_page(database: Database) -> None:
    first = database.sql_exec(NUMBERS, (SQL_PAGE_ROWS + 5,))

    second = database.sql_next(first.cursor_id)

    assert first.rows_read == SQL_PAGE_ROWS
    assert second.rows_read >= SQL_PAGE_ROWS + 5
    assert second.columns == ("i",)


# ── the deadline ─────────────────────────────────────────────────────────────────────────────────────────────


def test_the_deadline_interrupts_a_statement(database: Database) -> None:
    asked = iter([False, False, True])
    database.deadline = lambda: next(asked)

    with pytest.raises(SqlInterruptedError, match="ran past the time its turn has"):
        database.sql_exec(f"{ENDLESS} SELECT count(*) FROM n")


def test_after_an_interrupt_nothing_goes_on_before_a_rollback(database: Database) -> None:
    database.kv_put("a", "1")
    database.deadline = lambda: True
    with pytest.raises(SqlInterruptedError):
        database.sql_exec(f"CREATE TABLE t(a); INSERT INTO t {ENDLESS} SELECT i FROM n")
    database.deadline = None

    for operation in (
        lambda: database.kv_get("a"),
        lambda: database.kv_put("a", "2"),
        lambda: database.sql_exec("SELECT 1"),
        database.commit,
    ):
        with pytest.raises(SqlInterruptedError):
            operation()
    database.rollback()

    assert database.kv_get("a") is None
    assert table_names(database) == []


def test_the_deadline_holds_for_later_pages(database: Database) -> None:
    page = database.sql_exec(f"{ENDLESS} SELECT i FROM n WHERE i <= {SQL_PAGE_ROWS}")
    database.deadline = lambda: True

    with pytest.raises(SqlInterruptedError):
        database.sql_next(page.cursor_id)


def test_a_statement_that_fills_the_disk_with_what_it_sorts_is_interrupted(database_path: Path) -> None:
    connection = open_connection(database_path)
    unit = Unit(connection, path=database_path, free_bytes=lambda: SQL_TEMPORARY_FREE_BYTES_MIN - 1)
    unit.deadline = lambda: False
    authorizer = Authorizer()
    connection.set_progress_handler(unit.is_overdue, SQL_DEADLINE_STEPS)
    sql = Sql(connection, unit, authorizer)

    with pytest.raises(SqlInterruptedError, match=f"less than {SQL_TEMPORARY_FREE_BYTES_MIN} bytes are free") as raised:
        sql.exec(f"{ENDLESS} SELECT i FROM n ORDER BY -i", ())

    assert raised.value.limit == "disk"
    unit.rollback()
    assert sql.exec("SELECT 1", ()).rows == [(1,)]
    connection.close(force=True)


def test_a_commit_is_not_interrupted(database: Database) -> None:
    database.kv_put("a", "1")
    database.deadline = lambda: True

    for number in range(1_000):
        database.commit()
        database.deadline = None
        database.kv_put("a", str(number))
        database.deadline = lambda: True
    database.commit()

    database.deadline = None
    assert database.kv_get("a") == "999"
