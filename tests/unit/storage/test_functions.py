from __future__ import annotations

import apsw
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from perdure.errors import SqlError
from perdure.limits import KIB, SQL_JSON_PATCH_WORK_MAX, SQL_ROW_BYTES_MAX
from perdure.storage._database import Database
from perdure.storage._functions import RowBound, override_functions
from perdure.wire import SqlValue

stock = apsw.Connection(":memory:")
ours = apsw.Connection(":memory:")
override_functions(ours, RowBound())

MANY_CHARACTERS = "".join(map(chr, range(64, 98)))
TEXTS = st.text(st.sampled_from("ab-0Fé€\U00010000\0"), max_size=6)
VALUES = (
    TEXTS
    | TEXTS.map(str.encode)
    | st.none()
    | st.integers(-(2**63), 2**63 - 1)
    | st.integers(-20, 20)
    | st.floats(allow_nan=False)
)
JSON = st.recursive(
    st.sampled_from(["null", "true", "1", "-0.5", "0x1F", '"a"', "'b,[{'", '"\\"]"', "Infinity"]),
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda items: f"[{', '.join(items)}]")
        | st.lists(st.tuples(st.sampled_from(["a", '"b"', "'c'"]), inner), max_size=3).map(
            lambda members: "{" + ",".join(f"{name}:{value}" for name, value in members) + "}"
        )
    ),
    max_leaves=8,
)


def outcome(connection: apsw.Connection, expression: str, arguments: tuple[SqlValue, ...]) -> object:
    """Value and type, or the error."""
    try:
        return connection.execute(f"SELECT {expression}, typeof({expression})", arguments).fetchall()
    except apsw.Error as error:
        return type(error), str(error)


def assert_same(expression: str, *arguments: SqlValue) -> None:
    assert outcome(ours, expression, arguments) == outcome(stock, expression, arguments)


# ── against SQLite's own ─────────────────────────────────────────────────────────────────────────────────────


@settings(max_examples=300, deadline=None)
@given(VALUES, VALUES)
@example("é", b"\xa9")
@example(b"\xc3\xa9\xa9", "é")
@example(b"a\xa9b", "b")
@example("abc", "")
def test_instr_is_sqlites(haystack: SqlValue, needle: SqlValue) -> None:
    assert_same("instr(?1, ?2)", haystack, needle)


@settings(max_examples=300, deadline=None)
@given(VALUES, VALUES, VALUES)
@example("abc", "", None)
@example("abc", "\0a", "x")
@example("aaa", "a", "aa")
def test_replace_is_sqlites(value: SqlValue, pattern: SqlValue, replacement: SqlValue) -> None:
    assert_same("replace(?1, ?2, ?3)", value, pattern, replacement)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(["trim", "ltrim", "rtrim"]), VALUES, VALUES | TEXTS.map(lambda text: MANY_CHARACTERS + text))
def test_trimming_is_sqlites(function: str, value: SqlValue, characters: SqlValue) -> None:
    assert_same(f"{function}(?1, ?2)", value, characters)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(["61", "fF", "-", "é", "0", "\0"]), max_size=6).map("".join) | VALUES, VALUES)
def test_unhex_is_sqlites(value: SqlValue, ignored: SqlValue) -> None:
    assert_same("unhex(?1, ?2)", value, ignored)


@settings(max_examples=200, deadline=None)
@given(JSON | VALUES, JSON | VALUES)
def test_patches_are_sqlites(target: SqlValue, patch: SqlValue) -> None:
    assert_same("json_patch(?1, ?2)", target, patch)
    assert_same("jsonb_patch(?1, ?2)", target, patch)


@settings(max_examples=200, deadline=None)
@given(
    JSON | VALUES.filter(lambda value: not isinstance(value, bytes)),
    st.sampled_from(["", " ", "\t\t"]) | st.none() | st.integers(0, 99),
)
def test_json_pretty_is_sqlites(value: SqlValue, indent: SqlValue) -> None:
    assert_same("json_pretty(?1)", value)
    assert_same("json_pretty(?1, ?2)", value, indent)


def test_a_binary_json_is_patched_and_printed(database: Database) -> None:
    query = "SELECT json_pretty(jsonb_patch(jsonb(?), jsonb(?)), '')"

    assert database.sql_exec(query, ('{"a":1}', '{"a":[2]}')).rows == [('{\n"a": [\n2\n]\n}',)]


# ── where SQLite's own may stand ─────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE t(a, b AS (replace(a, 'x', 'y')))",
        "CREATE TABLE t(a CHECK (instr(a, 'x')), b AS ('y') STORED)",
        "CREATE TABLE t(a, b DEFAULT (trim('.y', '.')))",
    ],
)
def test_they_may_stand_in_a_schema(database: Database, statement: str) -> None:
    database.sql_exec(statement)
    database.sql_exec("CREATE INDEX i ON t(rtrim(a, '.'))")
    database.sql_exec("CREATE TRIGGER g AFTER INSERT ON t BEGIN UPDATE t SET a = ltrim(a, '.'); END")

    database.sql_exec("INSERT INTO t(a) VALUES ('.x')")

    assert database.sql_exec("SELECT b FROM t WHERE rtrim(a, '.') = 'x'").rows in ([("y",)], [(".y",)])


def test_a_patch_inside_of_another_json_function_is_refused_not_quoted(database: Database) -> None:
    for query in (
        "SELECT json_array(json_patch('{}', '{}'))",
        "SELECT json_patch('{}', '{}'), json_group_array(1)",
    ):
        with pytest.raises(SqlError, match=r"write json\(jsonb_patch\(…\)\) for json_patch"):
            database.sql_exec(query)

    assert database.sql_exec("SELECT json_array(json(jsonb_patch('{}', '{\"a\":1}')))").rows == [('[{"a":1}]',)]
    assert database.sql_exec("SELECT json_patch('{}', '{}')").rows == [("{}",)]


# ── bounds ───────────────────────────────────────────────────────────────────────────────────────────────────


def members(prefix: str, count: int) -> str:
    return "{" + ",".join(f'"{prefix}{number}":1' for number in range(count)) + "}"


def test_a_large_patch_of_a_large_document_is_refused(database: Database) -> None:
    target, patch = members("a", 20_000), members("b", 20_000)

    with pytest.raises(SqlError, match=rf"20000 members.*bytes times members may be {SQL_JSON_PATCH_WORK_MAX}"):
        database.sql_exec("SELECT json_patch(?, ?)", (target, patch))
    with pytest.raises(SqlError, match="takes too long"):
        database.sql_exec("SELECT jsonb_patch(jsonb(?), jsonb(?))", (target, patch))

    assert database.sql_exec("SELECT length(json_patch(?, ?))", (target, members("b", 100))).rows == [(209_681,)]


@pytest.mark.parametrize(
    "query",
    [
        f"SELECT replace(printf('%.*c', {SQL_ROW_BYTES_MAX // 2}, 'a'), 'a', 'bbb')",
        "SELECT replace(printf('%.*c', 4000000, 'a'), 'a', printf('%.*c', 4000000, 'b'))",
        f"SELECT json_pretty('{'[' * 400}{'1,' * 10_000}1{']' * 400}')",
        "SELECT json_pretty('[[[[1]]]]', printf('%.*c', 2000000, ' '))",
    ],
)
def test_a_result_over_the_limit_is_refused_before_it_is_made(database: Database, query: str) -> None:
    with pytest.raises(SqlError, match="string or blob too big: SQLITE_TOOBIG"):
        database.sql_exec(query)


@pytest.mark.parametrize(
    ("query", "needle", "result"),
    [
        ("SELECT instr(?, ?)", "a" * (SQL_ROW_BYTES_MAX // 2) + "b", 0),
        ("SELECT length(replace(?, ?, 'x'))", "a" * (SQL_ROW_BYTES_MAX // 2) + "b", SQL_ROW_BYTES_MAX - KIB),
        ("SELECT length(trim(?, ?))", "b" * (SQL_ROW_BYTES_MAX // 2) + "a", 0),
        ("SELECT length(unhex(replace(?, 'a', '-'), ?))", "b" * (SQL_ROW_BYTES_MAX // 2) + "-", 0),
    ],
    ids=["instr", "replace", "trim", "unhex"],
)
def test_what_takes_sqlite_hours_ends(database: Database, query: str, needle: str, result: int) -> None:
    long_text = "a" * (SQL_ROW_BYTES_MAX - KIB)

    assert database.sql_exec(query, (long_text, needle)).rows == [(result,)]
