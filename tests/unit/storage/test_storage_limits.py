"""StorageLimits: what is raised is raised, what is above SQLite's ceiling is not, and errors say whose limit it is."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest

from perdure.errors import ConfigurationError, KvError, SqlError
from perdure.limits import KV_ENTRY_BYTES_MAX, MIB
from perdure.storage import SANDBOXED, SQLITES_OWN, Database, StorageLimits
from perdure.storage._storage_limits import ceilings, effective

NESTED_TRIGGERS = "".join(
    f"CREATE TABLE t{n}(a); CREATE TRIGGER r{n} AFTER INSERT ON t{n} BEGIN INSERT INTO t{n + 1} VALUES (1); END;"
    for n in range(12)
)
# For each limit a query that its default refuses, and SQLite's own takes.
BEYOND = {
    "row_bytes": "SELECT length(replace(hex(zeroblob(1500000)), '0', '00'))",
    "text_bytes": f"SELECT 1 -- {'x' * 100_000}\n + 1",
    "columns": "SELECT 1" + ", 1" * 100,
    "expression_depth": "SELECT 1" + " + 1" * 100,
    "like_pattern_bytes": "SELECT 'x' LIKE printf('%.*c', 51, 'x')",
    "trigger_depth": f"{NESTED_TRIGGERS} CREATE TABLE t12(a); INSERT INTO t0 VALUES (1); SELECT count(*) FROM t12",
    "program_steps": f"SELECT 1 WHERE 1 IN ({','.join(['abs(1)'] * 14_000)})",
}


@pytest.mark.parametrize("name", BEYOND)
def test_each_default_refuses_what_sqlite_takes(database: Database, name: str) -> None:
    with pytest.raises(SqlError) as refused:
        database.sql_exec(BEYOND[name])
    database.rollback()
    database.limits = replace(SANDBOXED, **{name: None, "text_bytes": None})

    rows = database.sql_exec(BEYOND[name]).rows

    assert name in str(refused.value) or "steps when compiled" in str(refused.value)
    assert len(rows) <= 1


@pytest.mark.parametrize("name", sorted(set(BEYOND) - {"row_bytes", "program_steps"}))
def test_an_error_names_the_limit_and_who_can_raise_it(database: Database, name: str) -> None:
    with pytest.raises(SqlError, match=f"the limit `{name}` is {effective(SANDBOXED)[name]}.*owner can raise it"):
        database.sql_exec(BEYOND[name])


def test_sqlites_own_limit_is_nobodys_to_raise(database: Database) -> None:
    database.limits = SQLITES_OWN

    with pytest.raises(SqlError, match=f"the limit `columns` is {ceilings()['columns']}, SQLite's own"):
        database.sql_exec("SELECT 1" + ", 1" * ceilings()["columns"])


def test_trusted_code_has_sqlites_own() -> None:
    own = {**effective(SQLITES_OWN), "kv_entry_bytes": 0}

    assert own == {**ceilings(), "kv_entry_bytes": 0}
    assert SQLITES_OWN.kv_entry_bytes == KV_ENTRY_BYTES_MAX


def test_what_is_above_sqlites_own_is_sqlites_own() -> None:
    highest = StorageLimits(**{field.name: 2**40 for field in fields(StorageLimits)})

    assert effective(highest) == ceilings()


def test_limits_can_be_lowered_and_raised_again(database: Database) -> None:
    database.limits = StorageLimits(columns=16)
    with pytest.raises(SqlError, match="the limit `columns` is 16"):
        database.sql_exec("SELECT 1" + ", 1" * 16)

    database.limits = SANDBOXED

    assert len(database.sql_exec("SELECT 1" + ", 1" * 16).rows[0]) == 17
    assert database.limits == SANDBOXED


def test_an_entry_of_kv_may_be_as_large_as_its_owner_says(database: Database) -> None:
    with pytest.raises(KvError, match=f"may be {KV_ENTRY_BYTES_MAX}.*owner can raise `kv_entry_bytes`"):
        database.kv_put("a", "x" * 3 * MIB)
    database.limits = replace(SANDBOXED, kv_entry_bytes=3 * MIB + 1)

    database.kv_put("a", "x" * 3 * MIB)

    assert len(database.kv_get("a") or "") == 3 * MIB
    with pytest.raises(KvError, match=f"may be {3 * MIB + 1}"):
        database.kv_put("ab", "x" * 3 * MIB)


def test_our_own_work_goes_on_under_the_least_limits(database: Database) -> None:
    for field in fields(StorageLimits):
        with pytest.raises(ConfigurationError, match=f"StorageLimits\\({field.name}=0\\): give a whole number from"):
            StorageLimits(**{field.name: 0})
    database.limits = StorageLimits(65_536, 4_096, 16, 16, 32, 8, 8, 1, 1, 2_000, 1_024)

    database.kv_put("a", "1")
    database.alarm.set(2, now_ms=1)
    database.sql_exec("CREATE TABLE t(a)")

    assert database.commit() is not None
    assert database.kv_get("a") == "1"
