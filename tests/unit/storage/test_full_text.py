"""`highlight` and `snippet` of our own: as FTS5's, in linear time, with a bound."""

from __future__ import annotations

import time
from pathlib import Path

import apsw
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perdure.errors import SqlError, SqlInterruptedError
from perdure.limits import SQL_MARKED_BYTES_MAX
from perdure.storage import Database
from perdure.storage._full_text import define_full_text_functions
from perdure.storage._functions import RowBound

WORDS = st.lists(st.sampled_from(["a", "b", "c", "ä", "😀", "-", ". "]), max_size=40).map(" ".join)
QUERIES = st.sampled_from(["a", "b", '"a b"', 'a OR "b a"', '"a b a" OR b', "a NOT c", "x:a", 'a AND "b c"', "a*"])


def filled(*texts: str, is_ours: bool = True, options: str = "") -> apsw.Connection:
    connection = apsw.Connection(":memory:")
    if is_ours:
        define_full_text_functions(connection, RowBound())
    connection.execute(f"CREATE VIRTUAL TABLE f USING fts5(x, y{options})")
    connection.execute("INSERT INTO f VALUES (?, ?)", [*texts, ""][:2])
    return connection


def rows(connection: apsw.Connection, expression: str, query: str) -> list[object]:
    return [
        row[0] for row in connection.execute(f"SELECT {expression} FROM f WHERE f MATCH ?", (query,))
    ]  # of this file


@given(WORDS, WORDS, QUERIES, st.integers(0, 2), st.sampled_from(["", ", detail=none", ", tokenize=porter"]))
@settings(max_examples=200, deadline=None)
def test_highlight_marks_what_fts5_marks(first: str, second: str, query: str, column: int, options: str) -> None:
    if "none" in options and not query.isalpha():
        query = "b"
    expression = f"highlight(f, {column}, '<', '>')"

    ours = rows(filled(first, second, options=options), expression, query)

    assert ours == rows(filled(first, second, is_ours=False, options=options), expression, query)


@given(WORDS, st.sampled_from(["a", '"a b"', 'a OR "b a"', "b"]), st.integers(1, 12))
@settings(max_examples=200, deadline=None)
def test_a_snippet_is_a_piece_of_the_highlighted_text(text: str, query: str, size: int) -> None:
    for snippet in rows(filled(text), f"snippet(f, 0, '', '', '', {size})", query):
        assert str(snippet) in text
        assert sum(word in "abcä" for word in str(snippet).split()) <= size
    for snippet in rows(filled(text), f"snippet(f, -1, '<', '>', '…', {size})", query):
        assert "<" in str(snippet) or size < query.count(" ") + 1


def test_a_snippet_is_where_most_of_the_phrases_are() -> None:
    text = "cat " + "word " * 30 + "cat dog bird " + "word " * 30 + "dog"

    (snippet,) = rows(filled(text), "snippet(f, 0, '[', ']', '…', 5)", "cat OR dog OR bird")

    assert snippet == "…word [cat] [dog] [bird] word…"


def test_a_snippet_of_any_column_is_of_the_one_that_has_it() -> None:
    connection = filled("nothing of the kind", "the quick fox")

    assert rows(connection, "snippet(f, -1, '<', '>', '…', 8)", "quick") == ["the <quick> fox"]
    assert rows(connection, "snippet(f, 9, '<', '>', '…', 8)", "quick") == [""]


def test_the_longest_text_takes_a_moment() -> None:
    connection = filled("a " * (SQL_MARKED_BYTES_MAX // 2))

    started_s = time.process_time()
    (marked,) = rows(connection, "highlight(f, 0, '', '')", '"a a a a a a a a"')

    assert marked == "a " * (SQL_MARKED_BYTES_MAX // 2)
    assert time.process_time() - started_s < 2


@pytest.mark.parametrize(
    ("text", "expression", "query", "message"),
    [
        ("a " * SQL_MARKED_BYTES_MAX, "highlight(f, 0, '<', '>')", "a", "cannot be interrupted, the limit is 262144"),
        ("a " * SQL_MARKED_BYTES_MAX, "snippet(f, 0, '<', '>', '…', 5)", "a", "cannot be interrupted"),
        ("a " * 100_000, "highlight(f, 0, '<', '>')", " OR ".join(["a"] * 30), "for 30 phrases cannot be interrupted"),
        ("a " * 10_000, "highlight(f, 0, printf('%1000d', 1), '')", "a", "too big"),
        ("a", "highlight(f, 0)", "a", "wrong number of arguments"),
        ("a", "highlight(f, 'x', '<', '>')", "a", "takes a number"),
    ],
)
def test_what_is_too_much_is_refused(text: str, expression: str, query: str, message: str) -> None:
    with pytest.raises(SqlError, match=message):
        rows(filled(text), expression, query)


def test_nulls_are_empty() -> None:
    connection = filled("a b")

    assert rows(connection, "highlight(f, 0, NULL, 5)", "b") == ["a b5"]


# ── what no deadline reaches ─────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("module", ["fts5", "FTS5", '"fts5"', "/* fts4 */ [Fts5]"])
def test_a_database_with_a_full_text_table_may_take_long(database: Database, database_path: Path, module: str) -> None:
    database.sql_exec("CREATE TABLE notes(fts5); CREATE VIRTUAL TABLE r USING rtree(id, low, high)")
    before = database.may_take_long

    database.sql_exec(f"CREATE VIRTUAL TABLE f USING {module}(x)")

    assert (before, database.may_take_long) == (False, True)
    database.commit()
    database.close()
    reopened = Database.open(database_path, number=0)
    assert reopened.may_take_long
    reopened.close()


def test_a_turn_that_must_be_short_makes_no_full_text_table(database: Database) -> None:
    database.begin_turn(is_overdue=lambda: False, must_be_short=True)
    database.kv_put("a", "1")

    with pytest.raises(SqlInterruptedError) as caught:
        database.sql_exec("CREATE VIRTUAL TABLE f USING fts5(x); INSERT INTO f VALUES ('a b'); SELECT 1")

    assert caught.value.limit == "loop"
    with pytest.raises(SqlInterruptedError):
        database.kv_get("a")
    database.rollback()
    database.end_turn()
    assert database.kv_get("a") is None
    assert database.sql_exec("SELECT count(*) FROM sqlite_schema WHERE name = 'f'").rows == [(0,)]
