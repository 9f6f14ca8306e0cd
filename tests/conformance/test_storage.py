"""The asynchronous face of storage, confirmation, transactions of one turn, the end of everything (spec 2.3 to 3.6)."""

from __future__ import annotations

import pytest
from tests.conformance.flavours import Subject, failure, is_reset, topic

from perdure.testing import World

pytestmark = pytest.mark.subject("storage")


# ── the asynchronous face (3.3) ──────────────────────────────────────────────────────────────────────────────


async def test_case_36_missing_keys(subject: Subject) -> None:
    await subject.call("putAll", {"a": 1, "b": 2})

    assert await subject.call("get", "missing") is None
    assert await subject.call("forget", "missing") is False
    assert await subject.call("forget", "a") is True
    await subject.call("put", "a", 1)
    assert await subject.call("forget", ["a", "b", "missing"]) == 2
    assert await subject.call("list", {}) == []


async def test_several_keys_come_sorted_without_missing_ones(subject: Subject) -> None:
    await subject.call("putAll", {"\U0001f600": 4, "c": 3, "a": 1, "￿": 5})

    found = await subject.call("getEntries", ["￿", "c", "missing", "\U0001f600", "a", "a"])

    assert found == [["a", 1], ["c", 3], ["￿", 5], ["\U0001f600", 4]]


async def test_a_list_has_the_order_of_its_keys(subject: Subject) -> None:
    await subject.call("putAll", {f"k{number:03}": number for number in range(300)})

    assert await subject.call("list", {"prefix": "k", "limit": 2}) == [["k000", 0], ["k001", 1]]
    found = await subject.call("list", {"startAfter": "k100", "reverse": True})
    assert [value for _, value in found] == list(range(299, 100, -1))


async def test_case_37_a_batch_with_a_value_that_cannot_be_stored_stores_nothing(subject: Subject) -> None:
    assert await subject.call("putOneBad")

    assert await subject.call("list", {}) == []


async def test_case_37_a_batch_with_an_entry_that_is_too_big_stores_nothing(subject: Subject) -> None:
    error = await failure(subject.call("putAll", {"a": 1, "b": "x" * (2 * 1024 * 1024)}))

    assert "2097152" in str(error)
    assert await subject.call("list", {}) == []


async def test_what_put_refuses(subject: Subject) -> None:
    assert "put() called with undefined value" in str(await failure(subject.call("putNothing")))
    error = await failure(subject.call("putEntriesAndAValue"))
    assert "put() may only be called with a single key-value pair" in str(error)


@pytest.mark.parametrize("flavour", ["javascript"])
async def test_undefined_values_of_a_batch_are_skipped(world: World, flavour: str) -> None:
    subject = Subject(world, flavour, topic("storage"))

    await subject.call("putSkippingUndefined")

    assert await subject.call("list", {}) == [["a", 1]]


async def test_awaiting_storage_does_not_end_the_unit(subject: Subject) -> None:
    error = await failure(subject.call("writeOverAwaits"))

    assert "between" in str(error)
    subject.renew()
    assert await subject.call("list", {}) == []


# ── confirmation (2.4) ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("what", ["put", "many", "delete", "rolled back"])
async def test_case_27_unconfirmed_writes_hold_nothing_back(subject: Subject, what: str) -> None:
    await subject.call("put", "u", 0)

    with subject.world.journal_held():
        assert await subject.call("unconfirmed", what) == "answered"


@pytest.mark.parametrize("what", ["mixed", "then sql"])
async def test_case_28_one_confirmed_write_holds_back_the_reply(subject: Subject, what: str) -> None:
    await subject.call("sql", "CREATE TABLE t(x)")

    with subject.world.journal_held():
        answering = subject.begin("unconfirmed", what)
        await subject.world.advance(1)
        assert not answering.done()

    assert await answering == "answered"


async def test_case_e7_sync_waits_for_what_was_written_before(subject: Subject) -> None:
    await subject.call("put", "u", 0)
    assert await subject.call("sync") == "synced"

    with subject.world.journal_held():
        assert await subject.call("sync") == "synced"
        syncing = subject.begin("unconfirmedThenSync")
        await subject.world.advance(1)
        assert not syncing.done()

    assert await syncing == "synced"


async def test_case_e7_later_writes_do_not_delay_sync(subject: Subject) -> None:
    await subject.call("put", "u", 0)
    with subject.world.journal_held():
        syncing = subject.begin("syncBeforeMore")
        await subject.world.settle()

    assert await syncing == "synced"
    assert await subject.call("note", "after") == ["syncing", "synced", "after"]


# ── transactions of one turn (3.6) ───────────────────────────────────────────────────────────────────────────


async def test_case_38_a_sync_transaction_keeps_or_undoes(subject: Subject) -> None:
    assert await subject.call("syncTransaction", "k", 1, False) == "foo"
    assert await subject.call("read", "k") == 1
    assert await subject.call("syncTransaction", "k", 2, True) == "undo it"
    assert await subject.call("read", "k") == 1


async def test_case_40_only_the_inner_one_is_undone(subject: Subject) -> None:
    await subject.call("nestedSyncTransactions")

    assert await subject.call("read", "outer") == 1
    assert await subject.call("read", "inner") is None


async def test_case_40_a_table_made_before_an_error_is_undone(subject: Subject) -> None:
    assert "no such table: no_such_table" in await subject.call("syncTransactionWithBadSql")

    assert "no such table: made" in str(await failure(subject.call("sql", "SELECT * FROM made")))


async def test_case_41_the_first_put_may_be_undone(subject: Subject) -> None:
    assert await subject.call("syncTransaction", "k", 1, True) == "undo it"

    await subject.call("put", "k", 2)

    assert await subject.call("read", "k") == 2


async def test_a_sync_transaction_takes_no_async_function(subject: Subject) -> None:
    error = await failure(subject.call("asyncInASyncTransaction"))

    assert "a function that is not async" in str(error)
    assert await subject.call("list", {}) == []


# ── failures (2.5) ───────────────────────────────────────────────────────────────────────────────────────────

FAMILY = """
CREATE TABLE parent(id INTEGER PRIMARY KEY);
CREATE TABLE child(id INTEGER PRIMARY KEY, parent REFERENCES parent);
INSERT INTO parent VALUES (1);
"""


async def test_case_32_a_violated_deferred_constraint_resets_the_object(subject: Subject) -> None:
    await subject.call("sql", FAMILY)

    error = await failure(
        subject.call(
            "sql", "PRAGMA defer_foreign_keys = on; INSERT INTO child VALUES (1, 1); INSERT INTO child VALUES (2, 9)"
        )
    )

    assert "constraints were violated" in str(error)
    assert "FOREIGN KEY constraint failed" in str(error)
    assert is_reset(error)
    assert "constraints were violated" in str(await failure(subject.call("sql", "SELECT 1")))
    subject.renew()
    assert await subject.call("sql", "SELECT count(*) FROM child") == [[0]]


async def test_a_statements_own_error_leaves_the_unit_open(subject: Subject) -> None:
    await subject.call("sql", FAMILY)

    assert "FOREIGN KEY" in await subject.call("catchSql", "INSERT INTO child VALUES (2, 9)")

    assert await subject.call("sql", "SELECT count(*) FROM child") == [[0]]
    assert await subject.call("count") == 0


# ── the end of everything (3.4) ──────────────────────────────────────────────────────────────────────────────


async def test_case_42_nothing_is_left(subject: Subject) -> None:
    await subject.call("put", "early", 1)
    await subject.call("sql", "CREATE TABLE t(id INTEGER PRIMARY KEY AUTOINCREMENT); INSERT INTO t DEFAULT VALUES")

    assert await subject.call("putAndDeleteAll") == [None, None]

    assert "no such table" in str(await failure(subject.call("sql", "SELECT * FROM t")))
    await subject.call("sql", "CREATE TABLE t(id INTEGER PRIMARY KEY AUTOINCREMENT); INSERT INTO t DEFAULT VALUES")
    assert await subject.call("sql", "SELECT id FROM t") == [[1]]
    await subject.evict()
    assert await subject.call("list", {}) == []


async def test_case_42_a_reset_before_the_commit_keeps_everything(subject: Subject) -> None:
    await subject.call("put", "early", 1)

    await failure(subject.call("deleteAllAndAbort"))

    subject.renew()
    assert await subject.call("read", "early") == 1


async def test_case_42_facets_are_reset_and_deleted_with_everything(subject: Subject) -> None:
    await subject.call("putInFacet", "f", "k", 1)
    await subject.call("putInFacet", "g", "k", 1)

    await subject.call("deleteAll")

    assert await subject.call("facetNames") == []
    assert await subject.call("readInFacet", "f", "k") is None
    await subject.call("putInFacet", "f", "k", 2)
    await subject.crash()
    assert await subject.call("facetNames") == ["f"]
    assert await subject.call("readInFacet", "f", "k") == 2


async def test_case_42_facets_survive_a_reset_before_the_commit(subject: Subject) -> None:
    await subject.call("putInFacet", "f", "k", 1)

    await failure(subject.call("deleteAllAndAbort"))

    subject.renew()
    assert await subject.call("readInFacet", "f", "k") == 1


async def test_open_cursors_are_cancelled(subject: Subject) -> None:
    for said in await subject.call("readBeyondTheEnd"):
        assert "query was canceled because the database was deleted" in said


async def test_delete_all_is_refused_in_a_sync_transaction(subject: Subject) -> None:
    await subject.call("put", "k", 1)

    error = await failure(subject.call("deleteAllInASyncTransaction"))

    assert "Cannot call deleteAll() within a transaction" in str(error)
    assert await subject.call("read", "k") == 1


@pytest.mark.parametrize("keeps", [True, False])
async def test_case_43_the_alarm_goes_too_unless_it_is_kept(subject: Subject, *, keeps: bool) -> None:
    assert await subject.call("alarmAndDeleteAll", keeps) is keeps


async def test_case_41_the_first_alarm_may_be_undone(subject: Subject) -> None:
    await subject.call("alarmInASyncTransaction")
    assert await subject.call("hasAlarm") is False

    assert await subject.call("alarmInATransaction", "rollback") is False
    assert await subject.call("alarmInATransaction", "keep") is True


# ── the rest of SQL (3.7) ────────────────────────────────────────────────────────────────────────────────────


async def test_case_e10_the_wrong_number_of_bindings(subject: Subject) -> None:
    assert "Wrong number of parameter bindings" in str(await failure(subject.call("sql", "SELECT ?", 1, 2)))
    assert "Wrong number of parameter bindings" in str(await failure(subject.call("sql", "SELECT ?")))


async def test_case_e11_bytes_and_null(subject: Subject) -> None:
    rows = await subject.call("sql", "SELECT ?, ?, zeroblob(2), hex(?)", b"\x01\xff", None, b"\x01\xff")

    assert rows == [[b"\x01\xff", None, b"\0\0", "01FF"]]


async def test_case_e12_terms_of_a_compound_select_have_a_bound(subject: Subject) -> None:
    """Ours is SQLite's own, 500, where the reference allows 5."""
    assert len(await subject.call("sql", " UNION ALL ".join(["SELECT 1"] * 500))) == 500

    error = await failure(subject.call("sql", " UNION ALL ".join(["SELECT 1"] * 501)))

    assert "too many terms in compound SELECT" in str(error)
