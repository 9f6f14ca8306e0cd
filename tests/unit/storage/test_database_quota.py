"""A bound on a database's size is held by SQLite itself, and a full one goes on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from perdure.errors import QuotaExceededError, StorageFailedError
from perdure.limits import KIB, MIB
from perdure.storage import TreeBound
from perdure.storage._database import Database
from perdure.storage._database_quota import DatabaseQuota
from perdure.storage._page_ledger import PageLedger
from perdure.storage._template import PAGE_SIZE


def limit(
    database: Database, own_bytes: int | None, bounds: Sequence[TreeBound] = (), ledger: PageLedger | None = None
) -> PageLedger:
    ledger = ledger or PageLedger()
    database.quota = DatabaseQuota(
        ledger, (1,), scope="app", own_bytes_max=lambda: own_bytes, tree_bounds=lambda: bounds
    )
    return ledger


def pages(database: Database) -> int:
    (row,) = database.host_exec("PRAGMA page_count")
    return int(str(row[0]))


def test_one_statement_cannot_overstep_it(database: Database) -> None:
    limit(database, 64 * KIB)

    with pytest.raises(QuotaExceededError, match=r"`app` may have 65536 bytes \(`database_bytes`\)") as caught:
        database.kv_put("a", "x" * MIB)

    assert (caught.value.quota, caught.value.scope, caught.value.bound) == ("database_bytes", "app", 64 * KIB)
    assert pages(database) * PAGE_SIZE <= 64 * KIB


def test_what_the_turn_wrote_before_stays(database: Database) -> None:
    limit(database, 64 * KIB)
    database.kv_put("a", "1")

    with pytest.raises(QuotaExceededError):
        database.kv_put("b", "x" * MIB)
    database.kv_put("c", "2")
    database.commit()

    assert [database.kv_get(key) for key in "abc"] == ["1", None, "2"]
    assert not database.is_broken


def test_sql_that_grows_for_ever_ends(database: Database, database_path: Path) -> None:
    limit(database, 256 * KIB)
    database.sql_exec("CREATE TABLE t(x)")
    endless = (
        "INSERT INTO t WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT zeroblob(1000) FROM n"
    )

    with pytest.raises(QuotaExceededError):
        database.sql_exec(endless)
    database.commit()

    assert pages(database) * PAGE_SIZE <= 256 * KIB
    assert database.sql_exec("SELECT count(*) FROM t").rows == [(0,)]


def test_deleting_makes_room(database: Database) -> None:
    limit(database, 64 * KIB)
    database.kv_put("a", "x" * 32 * KIB)
    database.commit()
    with pytest.raises(QuotaExceededError):
        database.kv_put("b", "x" * 32 * KIB)

    database.kv_delete("a")
    database.kv_put("b", "x" * 32 * KIB)
    database.commit()

    assert database.kv_get("a") is None


def test_a_raised_bound_counts_from_the_next_unit_on(database: Database) -> None:
    bound = [64 * KIB]
    database.quota = DatabaseQuota(
        PageLedger(), (1,), scope="app", own_bytes_max=lambda: bound[0], tree_bounds=lambda: ()
    )
    with pytest.raises(QuotaExceededError):
        database.kv_put("a", "x" * MIB)
    database.rollback()

    bound[0] = 4 * MIB
    database.kv_put("a", "x" * MIB)

    assert database.commit() is not None


def test_the_tree_bounds_what_its_databases_have_together(database: Database) -> None:
    ledger = limit(database, None, [TreeBound(0, 16, "the tree")])
    ledger.record((2,), 10)

    with pytest.raises(QuotaExceededError, match="`the tree` and the facets below it may have 65536 bytes") as caught:
        database.kv_put("a", "x" * MIB)
    database.kv_put("a", "x" * PAGE_SIZE)
    database.commit()

    assert (caught.value.quota, caught.value.used) == ("tree_bytes", 10 * PAGE_SIZE)
    assert ledger.total(0) <= 16


def test_a_sibling_that_was_quicker_makes_the_commit_fail(database: Database) -> None:
    ledger = limit(database, None, [TreeBound(0, 16, "the tree")])
    database.kv_put("a", "x" * 5 * PAGE_SIZE)
    ledger.record((2,), 14)

    with pytest.raises(QuotaExceededError, match="tree_bytes"):
        database.commit()
    database.rollback()

    assert database.kv_get("a") is None
    assert ledger.total(0) == 14


def test_a_full_disk_is_no_quota(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    limit(database, 64 * KIB)
    monkeypatch.setattr("perdure.storage._unit.UNIT_BYTES_LIKELY_MAX", 0)

    with pytest.raises(StorageFailedError):
        database.kv_put("a", "x" * MIB)

    assert database.is_broken


def test_rows_are_counted(database: Database) -> None:
    database.kv_put("a", "1")
    database.kv_get("a")
    database.sql_exec("CREATE TABLE t(x)")
    read, written = database.rows_read, database.rows_written
    database.sql_exec("INSERT INTO t VALUES (1), (2), (3)")
    database.sql_exec("SELECT * FROM t")

    assert (read, written) == (1, 1)
    assert (database.rows_read - read, database.rows_written - written) == (3, 3)


def test_rows_of_a_long_cursor_are_counted_once(database: Database) -> None:
    database.sql_exec("CREATE TABLE t(x)")
    database.sql_exec(
        "INSERT INTO t WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i+1 FROM n LIMIT 700) SELECT i FROM n"
    )
    before = database.rows_read

    page = database.sql_exec("SELECT * FROM t")
    while page.cursor_id:
        page = database.sql_next(page.cursor_id)

    assert database.rows_read - before == 700


def test_a_batch_is_written_whole_or_not_at_all(database: Database) -> None:
    limit(database, 64 * KIB)

    with pytest.raises(QuotaExceededError):
        database.kv_write([("a", "1"), ("b", "x" * MIB)], [])
    database.kv_put("c", "2")
    database.commit()

    assert [database.kv_get(key) for key in "abc"] == [None, None, "2"]
