"""Transactions of the user's code, batches and the end of everything, on a real database."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from perdure.errors import KvError, ObjectResetError, SqlError, StorageFailedError, UsageError
from perdure.limits import KV_ENTRY_BYTES_MAX, KV_LIST_PAGE_BYTES
from perdure.storage._database import Database
from perdure.storage._template import new_database
from perdure.wire import KvRange

COUNT_TO_1000 = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n LIMIT 1000) SELECT x FROM n"


def rows(database: Database, query: str) -> list[tuple[object, ...]]:
    return list(database.sql_exec(query).rows)


def test_40_rolling_back_a_nested_transaction_keeps_the_outer_one(database: Database) -> None:
    outer = database.begin(is_sync=True)
    database.sql_exec("CREATE TABLE t(x)")
    inner = database.begin(is_sync=True)
    database.sql_exec("CREATE TABLE u(x)")
    database.kv_put("k", "1")

    database.roll_back(inner)
    database.release(outer)

    assert rows(database, "SELECT count(*) FROM t") == [(0,)]
    assert database.kv_get("k") is None
    with pytest.raises(SqlError, match="no such table: u"):
        database.sql_exec("SELECT * FROM u")


def test_a_transaction_that_may_span_turns_is_committed_when_it_ends(database: Database) -> None:
    number = database.begin(is_sync=False)
    database.kv_put("k", "1")

    assert database.commit() is None
    assert database.kv_get("k") == "1"
    database.release(number)
    assert database.commit() is not None


def test_what_ends_the_turn_badly_undoes_a_transaction_of_several_turns(database: Database) -> None:
    database.begin(is_sync=False)
    database.kv_put("k", "1")
    database.commit()

    database.rollback()

    assert database.kv_get("k") is None
    assert not database.in_transaction
    database.kv_put("k", "2")
    assert database.commit() is not None


def test_a_transaction_of_one_turn_that_is_left_open_breaks_the_database(database: Database) -> None:
    database.begin(is_sync=True)
    database.kv_put("k", "1")

    with pytest.raises(ObjectResetError, match="still open when its turn ended"):
        database.commit()
    with pytest.raises(ObjectResetError, match="still open when its turn ended"):
        database.kv_get("k")


def test_33_a_transaction_cannot_be_committed_after_a_critical_error(database_path: Path) -> None:
    database = Database.open(database_path, number=0)
    database._connection.pragma("max_page_count", 3)
    number = database.begin(is_sync=True)
    with pytest.raises(StorageFailedError, match="SQLITE_FULL"):
        database.kv_put("k", "x" * 100_000)

    with pytest.raises(StorageFailedError, match="Cannot commit transaction due to an earlier SQL critical error"):
        database.release(number)

    database.close()


def test_statements_that_have_rows_left_do_not_stand_in_the_way(database: Database) -> None:
    database.sql_exec("CREATE TABLE t(x)")
    page = database.sql_exec(f"INSERT INTO t {COUNT_TO_1000} RETURNING x")
    reading = database.sql_exec(COUNT_TO_1000)

    number = database.begin(is_sync=True)
    database.release(number)

    assert len(database.sql_next(page.cursor_id).rows) > 0
    assert len(database.sql_next(reading.cursor_id).rows) > 0
    database.commit()


# ── confirmation ─────────────────────────────────────────────────────────────────────────────────────────────


def test_27_a_unit_without_confirmed_writes_is_not_confirmed(database: Database) -> None:
    database.kv_write([("a", "1")], is_confirmed=False)

    captured = database.commit()

    assert captured is not None
    assert not captured.is_confirmed


@pytest.mark.parametrize("is_first", [True, False])
def test_28_one_confirmed_write_makes_the_unit_confirmed(database: Database, *, is_first: bool) -> None:
    database.sql_exec("CREATE TABLE t(x)")
    database.commit()
    if is_first:
        database.sql_exec("INSERT INTO t VALUES (1)")
    database.kv_write([("a", "1")], is_confirmed=False)
    if not is_first:
        database.kv_put("b", "1")

    captured = database.commit()

    assert captured is not None
    assert captured.is_confirmed


def test_rolling_back_forgets_that_something_was_confirmed(database: Database) -> None:
    database.kv_write([("a", "1")], is_confirmed=False)
    number = database.begin(is_sync=True)
    database.kv_put("b", "1")
    database.roll_back(number)

    captured = database.commit()

    assert captured is not None
    assert not captured.is_confirmed


# ── batches ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_36_a_batch_says_how_many_it_deleted(database: Database) -> None:
    database.kv_write([("a", "1"), ("b", "2")])

    assert database.kv_write([("c", "3")], ["a", "b", "missing"]) == 2
    assert database.kv_list(KvRange()) == [("c", "3")]


@pytest.mark.parametrize(("key", "value"), [("", "1"), ("b", "x" * KV_ENTRY_BYTES_MAX)])
def test_37_a_batch_with_an_entry_that_is_refused_stores_nothing(database: Database, key: str, value: str) -> None:
    with pytest.raises(KvError):
        database.kv_write([("a", "1"), (key, value)], ["c"])

    assert database.kv_get("a") is None
    assert not database.in_unit


def test_many_are_read_in_pages(database: Database) -> None:
    value = "x" * (KV_LIST_PAGE_BYTES // 3)
    keys = ["a", "b", "c", "d", "e"]
    database.kv_write([(key, value) for key in keys if key != "b"])

    page, asked = database.kv_get_many(keys)

    assert [key for key, _ in page] == ["a", "c", "d", "e"][: len(page)]
    assert asked == 5 if len(page) == 4 else asked < 5
    rest, _ = database.kv_get_many(keys[asked:])
    assert [key for key, _ in [*page, *rest]] == ["a", "c", "d", "e"]


# ── delete_all ───────────────────────────────────────────────────────────────────────────────────────────────

SCHEMA = """
CREATE TABLE parent(id INTEGER PRIMARY KEY AUTOINCREMENT, child REFERENCES child);
CREATE TABLE child(id INTEGER PRIMARY KEY, parent REFERENCES parent ON DELETE RESTRICT);
CREATE INDEX i ON child(parent);
CREATE VIEW v AS SELECT * FROM parent;
CREATE TRIGGER t INSTEAD OF INSERT ON v BEGIN INSERT INTO parent VALUES (new.id, NULL); END;
CREATE VIRTUAL TABLE words USING fts5(word);
CREATE VIRTUAL TABLE places USING rtree(id, low, high);
CREATE TABLE "an ""odd"" name"(x);
INSERT INTO parent VALUES (1, NULL); INSERT INTO child VALUES (1, 1); INSERT INTO words VALUES ('a');
ANALYZE;
"""


def test_42_nothing_of_the_guests_is_left(database: Database) -> None:
    database.host_exec("CREATE TABLE _cf_HOST(x)")
    database.host_exec("INSERT INTO _cf_HOST VALUES (7)")
    database.sql_exec(SCHEMA)
    database.kv_put("k", "1")
    database.commit()
    database.kv_put("later", "1")

    database.delete_all()

    names = {name for (name,) in database.host_exec("SELECT name FROM sqlite_schema")}
    assert names <= {"_cf_KV", "_cf_HOST", "sqlite_sequence"}
    assert database.host_exec("SELECT x FROM _cf_HOST") == [(7,)]
    assert database.kv_get("k") is None
    assert database.kv_get("later") is None
    assert rows(database, "PRAGMA foreign_keys") == [(1,)]
    database.sql_exec("CREATE TABLE parent(id INTEGER PRIMARY KEY AUTOINCREMENT); INSERT INTO parent DEFAULT VALUES")
    assert rows(database, "SELECT id FROM parent") == [(1,)]
    assert database.commit() is not None


def test_42_it_is_part_of_the_unit(database: Database) -> None:
    database.sql_exec(SCHEMA)
    database.kv_put("k", "1")
    database.commit()
    database.delete_all()

    database.rollback()

    assert database.kv_get("k") == "1"
    assert rows(database, "SELECT word FROM words") == [("a",)]


def test_a_violated_constraint_goes_with_the_tables(database: Database) -> None:
    database.sql_exec(SCHEMA)
    database.commit()
    database.sql_exec("PRAGMA defer_foreign_keys = on")
    database.sql_exec("INSERT INTO child VALUES (2, 99)")

    database.delete_all()

    assert database.commit() is not None


def test_open_cursors_are_cancelled(database: Database) -> None:
    page = database.sql_exec(COUNT_TO_1000)

    database.delete_all()

    for _ in range(2):
        with pytest.raises(SqlError, match="query was canceled because the database was deleted"):
            database.sql_next(page.cursor_id)


@pytest.mark.parametrize("is_sync", [True, False])
def test_it_is_refused_inside_a_transaction(database: Database, *, is_sync: bool) -> None:
    database.kv_put("k", "1")
    number = database.begin(is_sync=is_sync)

    with pytest.raises(UsageError, match=r"Cannot call deleteAll\(\) within a transaction"):
        database.delete_all()

    database.release(number)
    assert database.kv_get("k") == "1"


# ── everything at once, beside a model ───────────────────────────────────────────────────────────────────────

KEYS = st.sampled_from(["a", "b", "c"])


class Machine(RuleBasedStateMachine):
    """A database and a stack of dicts: the last one is what is seen, the first what was committed."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = tempfile.TemporaryDirectory()
        path = Path(self.directory.name) / "a.sqlite"
        path.write_bytes(new_database())
        self.database = Database.open(path, number=0)
        self.database.sql_exec("CREATE TABLE t(k PRIMARY KEY, v)")
        self.database.commit()
        self.committed: dict[str, str] = {}
        self.stack: list[tuple[int, bool, dict[str, str]]] = []
        self.now: dict[str, str] = {}

    @rule(key=KEYS, value=st.integers(), is_confirmed=st.booleans())
    def put(self, key: str, value: int, is_confirmed: bool) -> None:  # noqa: FBT001  # hypothesis passes it by name
        self.database.kv_write([(key, str(value))], is_confirmed=is_confirmed)
        self.now[key] = str(value)

    @rule(key=KEYS)
    def delete(self, key: str) -> None:
        assert self.database.kv_delete(key) == (key in self.now)
        self.now.pop(key, None)

    @rule(key=KEYS, value=st.integers(-9, 9))
    def sql(self, key: str, value: int) -> None:
        self.database.sql_exec("INSERT OR REPLACE INTO t VALUES (?, ?)", ["sql " + key, value])
        self.now["sql " + key] = str(value)

    @precondition(lambda self: len(self.stack) < 5)
    @rule(is_sync=st.booleans())
    def begin(self, is_sync: bool) -> None:  # noqa: FBT001  # hypothesis passes it by name
        self.stack.append((self.database.begin(is_sync=is_sync), is_sync, dict(self.now)))

    @precondition(lambda self: self.stack)
    @rule()
    def release(self) -> None:
        self.database.release(self.stack.pop()[0])

    @precondition(lambda self: self.stack)
    @rule()
    def roll_back(self) -> None:
        number, _, self.now = self.stack.pop()
        self.database.roll_back(number)

    @precondition(lambda self: not self.stack)
    @rule()
    def delete_all(self) -> None:
        self.database.delete_all()
        self.database.sql_exec("CREATE TABLE t(k PRIMARY KEY, v)")
        self.now = {}

    @precondition(lambda self: not (self.stack and self.stack[-1][1]))
    @rule()
    def end_turn(self) -> None:
        self.database.commit()
        if all(is_sync for _, is_sync, _ in self.stack):
            self.committed = dict(self.now)

    @rule()
    def lose_the_turn(self) -> None:
        self.database.rollback()
        self.stack, self.now = [], dict(self.committed)

    @invariant()
    def it_holds_what_the_model_holds(self) -> None:
        listed = self.database.host_exec("SELECT key, value FROM _cf_KV UNION ALL SELECT k, v FROM t")
        listed_now = {str(key): str(value) for key, value in listed}
        assert listed_now == self.now

    def teardown(self) -> None:
        self.database.close()
        self.directory.cleanup()


TestTransactions = Machine.TestCase
TestTransactions.settings = settings(max_examples=25, stateful_step_count=30, deadline=None)
