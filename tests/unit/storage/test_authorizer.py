from __future__ import annotations

import pytest

from perdure.errors import SqlError
from perdure.storage._authorizer import renames_to_host_name
from perdure.storage._database import Database


def refusal(database: Database, query: str) -> str:
    with pytest.raises(SqlError) as raised:
        database.sql_exec(query)
    assert raised.value.sqlite_code == "SQLITE_AUTH"
    return str(raised.value)


@pytest.fixture
def with_table(database: Database) -> Database:
    database.sql_exec("CREATE TABLE t(a INTEGER PRIMARY KEY, b TEXT); INSERT INTO t VALUES (1, 'x')")
    database.kv_put("secret", "1")
    return database


# ── names of the host ────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "query",
    [
        "SELECT * FROM _cf_KV",
        "SELECT key FROM main._CF_kv",
        "SELECT t.a FROM t JOIN _cf_KV ON t.b = _cf_KV.key",
        "WITH x AS (SELECT value FROM _cf_KV) SELECT 1 FROM x",
        "SELECT (SELECT value FROM _cf_KV)",
        "UPDATE t SET b = (SELECT value FROM _cf_KV)",
        "CREATE TABLE copy AS SELECT * FROM _cf_KV",
        "EXPLAIN SELECT * FROM _cf_KV",
    ],
)
def test_reading_a_host_table_is_prohibited(with_table: Database, query: str) -> None:
    assert "is prohibited" in refusal(with_table, query)


def test_the_text_names_table_and_column(with_table: Database) -> None:
    assert refusal(with_table, "SELECT key FROM _cf_KV").startswith("access to _cf_KV.key is prohibited: SQLITE_AUTH (")


@pytest.mark.parametrize(
    "query",
    [
        "SELECT count(*) FROM _cf_KV",
        "CREATE TABLE _cf_mine(a)",
        "CREATE TABLE _CF_mine(a)",
        "CREATE TABLE [_Cf_mine](a)",
        "CREATE TABLE main._cf_mine(a)",
        "CREATE UNIQUE INDEX _cf_i ON t(b)",
        'DROP TABLE main."_CF_kv"',
        "ALTER TABLE t RENAME TO '_cf_t'",
        "SELECT a FROM t WHERE EXISTS (SELECT 1 FROM _cf_KV)",
        "INSERT INTO t SELECT key, value FROM _cf_KV",
        "PRAGMA foreign_key_check(_CF_kv)",
        "PRAGMA foreign_key_list(_cf_KV)",
        "PRAGMA index_list(_cf_KV)",
        "PRAGMA table_xinfo(_cf_KV)",
        "SELECT * FROM pragma_index_list('_cf_KV')",
        "SELECT (SELECT count(*) FROM pragma_table_info(m.name)) FROM sqlite_schema m",
        "CREATE TABLE IF NOT EXISTS _cf_KV(a)",
        "CREATE VIEW _cF_view AS SELECT 1",
        "CREATE INDEX _cf_index ON t(b)",
        "CREATE INDEX i ON _cf_KV(value)",
        "CREATE TRIGGER _cf_trigger AFTER INSERT ON t BEGIN SELECT 1; END",
        "CREATE TRIGGER r AFTER INSERT ON _cf_KV BEGIN SELECT 1; END",
        "CREATE VIRTUAL TABLE _cf_fts USING fts5(a)",
        "CREATE VIRTUAL TABLE _cf USING fts5(a)",
        "INSERT INTO _cf_KV VALUES ('a', 1)",
        "UPDATE _cf_KV SET value = 1",
        "DELETE FROM _cf_KV",
        "DROP TABLE _cf_KV",
        "ALTER TABLE _cf_KV ADD COLUMN c",
        "ALTER TABLE _cf_KV RENAME TO mine",
        "ALTER TABLE t RENAME TO _cf_t",
        'ALTER TABLE t RENAME/* ; */TO"_CF_t"',
        "ALTER TABLE t RENAME -- to x\n TO \ufeff[_cf_t]",
        "SELECT '/*'; ALTER TABLE t RENAME TO _cf_t; SELECT '*/'",
        "PRAGMA table_info(_cf_KV)",
        "PRAGMA quick_check('_cf_KV')",
        "SELECT * FROM pragma_table_info('_cf_KV')",
        "REPLACE INTO _cf_KV VALUES ('a', 1)",
        "CREATE TABLE child(k REFERENCES _cf_KV(key) ON DELETE CASCADE)",
        'CREATE TABLE child(k, FOREIGN KEY(k) REFERENCES/**/"_CF_kv"(key))',
        "ALTER TABLE t ADD COLUMN k REFERENCES [_cf_KV](key)",
    ],
)
def test_host_names_are_refused(with_table: Database, query: str) -> None:
    assert "not authorized" in refusal(with_table, query) or "prohibited" in refusal(with_table, query)


@pytest.mark.parametrize("name", ["v", "V2"])
def test_a_view_or_trigger_opens_no_way_to_a_host_table(with_table: Database, name: str) -> None:
    with_table.sql_exec(f"CREATE VIEW {name} AS SELECT * FROM _cf_KV")
    with_table.sql_exec("CREATE TRIGGER thief AFTER INSERT ON t BEGIN UPDATE t SET b = (SELECT value FROM _cf_KV); END")

    assert "prohibited" in refusal(with_table, f"SELECT * FROM {name}")
    assert "prohibited" in refusal(with_table, "INSERT INTO t VALUES (2, '')")


def test_external_content_opens_no_way_to_a_host_table(with_table: Database) -> None:
    with_table.sql_exec("CREATE VIRTUAL TABLE thief USING fts5(value, content='_cf_KV', content_rowid='key')")

    assert "prohibited" in refusal(with_table, "SELECT * FROM thief")
    assert "prohibited" in refusal(with_table, "INSERT INTO thief(thief) VALUES ('rebuild')")


def test_a_foreign_key_opens_no_way_to_a_host_table(with_table: Database) -> None:
    with_table.commit()
    with_table.sql_exec("PRAGMA foreign_keys = off")
    with_table.host_exec("CREATE TABLE child(key REFERENCES _cf_KV(key) ON DELETE CASCADE)")  # as in an imported file
    with_table.sql_exec("CREATE TABLE loot(a, b)")
    with_table.sql_exec(
        "CREATE TRIGGER thief AFTER DELETE ON child "
        "BEGIN INSERT INTO loot SELECT * FROM _cf_KV; DELETE FROM _cf_KV; END"
    )
    with_table.sql_exec("INSERT INTO child VALUES ('bait')")
    with_table.kv_put("bait", "1")
    with_table.commit()
    with_table.sql_exec("PRAGMA foreign_keys = on")

    with pytest.raises(SqlError, match=r"_cf_KV\.key is prohibited"):
        with_table.kv_delete("bait")

    assert with_table.sql_exec("SELECT * FROM loot").rows == []
    assert with_table.kv_get("secret") == "1"


def test_what_the_host_prepared_is_not_lent_to_a_guest(with_table: Database) -> None:
    query = "SELECT value FROM _cf_KV WHERE key = ?"
    assert with_table.kv_get("secret") == "1"
    assert with_table.host_exec(query, ("secret",)) == [("1",)]

    with pytest.raises(SqlError, match="prohibited"):
        with_table.sql_exec(query, ("secret",))


def test_a_refused_statement_stays_refused(with_table: Database) -> None:
    first = refusal(with_table, "ALTER TABLE t RENAME TO _cf_t")

    assert refusal(with_table, "ALTER TABLE t RENAME TO _cf_t") == first


def test_the_host_is_never_asked(with_table: Database) -> None:
    with_table.host_exec("CREATE TABLE _cf_OWN(a)")
    with_table.sql_exec("ALTER TABLE t ADD COLUMN c")

    assert with_table.host_exec("SELECT * FROM _cf_OWN") == []
    assert with_table.kv_get("secret") == "1"


def test_names_of_the_host_may_be_seen(database: Database) -> None:
    assert database.sql_exec("SELECT name FROM sqlite_schema").rows == [("_cf_KV",)]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("alter table t rename to `_cf_x`", True),
        ("select $a('); alter table t rename to _cf_x; select '", True),
        ("/* ' */ alter table t rename/**/to/**/_CF_x", True),
        ("alter table t rename to _cf", True),
        ("alter table t rename to x_cf_", False),
        ("alter table t rename column a to _cf_x", False),
        ("alter table t rename a to _cf_x", False),
        ("select 'rename to _cf_x'", False),
        ("rename/*", False),
    ],
)
def test_the_target_of_a_rename_is_found(query: str, *, expected: bool) -> None:
    assert renames_to_host_name(query) is expected


def test_a_long_query_of_open_comments_costs_little() -> None:
    assert not renames_to_host_name("rename/*" * 12_000 + "'" * 12_000)


# ── statements ───────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("BEGIN", "`BEGIN`"),
        ("BEGIN IMMEDIATE", "`BEGIN`"),
        ("COMMIT", "`COMMIT`"),
        ("END", "`COMMIT`"),
        ("ROLLBACK", "`ROLLBACK`"),
        ("SAVEPOINT a", "`SAVEPOINT`"),
        ("RELEASE a", "`RELEASE`"),
        ("ROLLBACK TO a", "`SAVEPOINT`"),
    ],
)
def test_transactions_are_refused_with_what_to_use(database: Database, query: str, named: str) -> None:
    text = refusal(database, query)

    assert "To execute a transaction" in text
    assert "transaction()" in text
    assert "transactionSync()" in text
    assert named in text


@pytest.mark.parametrize(
    "query",
    [
        "CREATE TEMP TABLE x(a)",
        "CREATE TEMPORARY TABLE x AS SELECT 1",
        "CREATE TABLE temp.x(a)",
        'CREATE TABLE "TEMP".x AS SELECT * FROM t',
        "CREATE VIEW temp.x AS SELECT 1",
        "CREATE VIRTUAL TABLE temp.x USING fts5(a)",
        "CREATE TRIGGER temp.x AFTER INSERT ON main.t BEGIN SELECT 1; END",
        "CREATE TEMP VIEW x AS SELECT 1",
        "CREATE TEMP TRIGGER x AFTER INSERT ON t BEGIN SELECT 1; END",
        "ATTACH ':memory:' AS other",
        "DETACH main",
        "VACUUM",
        "VACUUM INTO '/nowhere/else'",
        "CREATE VIRTUAL TABLE x USING dbstat",
        "CREATE VIRTUAL TABLE x USING fts4(a)",
        "CREATE VIRTUAL TABLE x USING geopoly(a)",
        "SELECT * FROM carray(1, 2)",
        "SELECT * FROM pragma_optimize",
        "SELECT * FROM PRAGMA_Optimize",
    ],
)
def test_what_reaches_beyond_the_database_is_refused(with_table: Database, query: str) -> None:
    text = refusal(with_table, query)

    assert "not authorized" in text or "prohibited" in text


def test_tables_that_come_with_sqlite_are_not_there(database: Database) -> None:
    with pytest.raises(SqlError, match="no such table: dbstat"):
        database.sql_exec("SELECT * FROM dbstat")


def test_the_schema_cannot_be_written(database: Database) -> None:
    with pytest.raises(SqlError, match="may not be modified"):
        database.sql_exec("UPDATE sqlite_schema SET sql = ''")


@pytest.mark.parametrize(
    "query",
    [
        "CREATE INDEX i ON t(b)",
        "CREATE VIEW v AS SELECT a FROM t",
        "CREATE TRIGGER r AFTER INSERT ON t BEGIN UPDATE t SET b = 'y'; END; INSERT INTO t VALUES (9, '')",
        "CREATE TABLE g(a, b GENERATED ALWAYS AS (a * 2))",
        "ALTER TABLE t RENAME TO t2",
        "ALTER TABLE t RENAME COLUMN b TO c",
        "ALTER TABLE t ADD COLUMN c DEFAULT 3",
        "ALTER TABLE t DROP COLUMN b",
        "DROP TABLE t",
        "ANALYZE",
        "ANALYZE t",
        "REINDEX",
        "EXPLAIN QUERY PLAN SELECT * FROM t",
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5) SELECT sum(i) FROM n",
        "SELECT * FROM json_each('[1, 2]'), json_tree('{}')",
        'SELECT a FROM t WHERE b = "literal"',
        "CREATE VIRTUAL TABLE f USING FTS5(body); DROP TABLE f",
        "CREATE VIRTUAL TABLE r USING rTree_i32(id, low, high)",
    ],
)
def test_everything_inside_the_database_is_allowed(with_table: Database, query: str) -> None:
    with_table.sql_exec(query)


def test_analyze_leaves_the_host_out(with_table: Database) -> None:
    with_table.sql_exec("ANALYZE")

    assert with_table.sql_exec("SELECT DISTINCT tbl FROM sqlite_stat1").rows == [("t",)]


# ── pragmas ──────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "query",
    [
        "PRAGMA hard_heap_limit",
        "PRAGMA hard_heap_limit = 1",
        "PRAGMA page_size = 8192",
        "PRAGMA max_page_count",
        "PRAGMA data_version = 5",
        "PRAGMA journal_mode = DELETE",
        "PRAGMA journal_mode",
        "PRAGMA locking_mode = NORMAL",
        "PRAGMA wal_checkpoint(TRUNCATE)",
        "PRAGMA synchronous = FULL",
        "PRAGMA writable_schema = ON",
        "PRAGMA trusted_schema = ON",
        "PRAGMA user_version = 5",
        "PRAGMA temp_store_directory = '/tmp'",
        "PRAGMA foreign_keys = maybe",
        "PRAGMA table_info",
        "PRAGMA database_list",
        "PRAGMA cache_size",
        "PRAGMA compile_options",
        "PRAGMA incremental_vacuum",
        "PRAGMA integrity_check",
        "PRAGMA mmap_size = 1",
        "PRAGMA query_only = 1",
        "PRAGMA schema_version = 5",
        "PRAGMA secure_delete = 1",
        "PRAGMA shrink_memory",
        "PRAGMA soft_heap_limit = 1",
        "PRAGMA temp_store = 2",
        "PRAGMA threads = 4",
        "PRAGMA nosuch",
        "SELECT * FROM pragma_database_list",
        "EXPLAIN PRAGMA journal_mode",
    ],
)
def test_other_pragmas_are_refused(database: Database, query: str) -> None:
    assert "not authorized" in refusal(database, query)


@pytest.mark.parametrize(
    "query",
    [
        "PRAGMA data_version",
        "PRAGMA page_size",
        "PRAGMA table_info(t)",
        "PRAGMA main.table_xinfo('t')",
        "PRAGMA table_list",
        "PRAGMA index_list(t)",
        "PRAGMA index_info(i)",
        "PRAGMA index_xinfo(i)",
        "PRAGMA foreign_key_list(t)",
        "PRAGMA foreign_key_check",
        "PRAGMA foreign_key_check(t)",
        "PRAGMA quick_check",
        "PRAGMA quick_check(3)",
        "PRAGMA optimize",
        "PRAGMA optimize(0x10002)",
        "PRAGMA foreign_keys",
        "PRAGMA defer_foreign_keys = tRuE",
        "PRAGMA recursive_triggers = 'on'",
        "PRAGMA Case_Sensitive_Like = 0",
        "SELECT name FROM pragma_table_info('t')",
    ],
)
def test_pragmas_about_the_guests_own_tables_are_allowed(with_table: Database, query: str) -> None:
    with_table.sql_exec(query)


def test_foreign_keys_are_on_and_can_be_switched_before_the_first_write(database: Database) -> None:
    assert database.sql_exec("PRAGMA foreign_keys").rows == [(1,)]

    database.sql_exec("PRAGMA foreign_keys = off")

    assert database.sql_exec("PRAGMA foreign_keys").rows == [(0,)]


def test_a_pragma_takes_effect_each_time(database: Database) -> None:
    for _ in range(3):
        database.sql_exec("PRAGMA recursive_triggers = on")
        assert database.sql_exec("PRAGMA recursive_triggers").rows == [(1,)]
        database.sql_exec("PRAGMA recursive_triggers = off")
        assert database.sql_exec("PRAGMA recursive_triggers").rows == [(0,)]


@pytest.mark.parametrize("query", ["PRAGMA optimize", "PRAGMA optimize(0x10002)", "PRAGMA defer_foreign_keys = on"])
def test_pragmas_that_act_in_a_transaction_open_the_unit(database: Database, query: str) -> None:
    for _ in range(2):
        database.sql_exec(query)

        assert database.in_unit
        database.commit()


# ── functions ────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "call",
    [
        "sqlite_version()",
        "sqlite_source_id()",
        "sqlite_compileoption_get(0)",
        "load_extension('x')",
        "fts3_tokenizer('x')",
        "sqlite_log(1, 'x')",
        "fts5_source_id()",
        "fts5(NULL)",
        "sqlite_compileoption_used('x')",
        "rtreenode(2, x'00')",
        "rtreedepth(x'00')",
        "subtype(1)",
    ],
)
def test_other_functions_are_refused_by_name(database: Database, call: str) -> None:
    with pytest.raises(SqlError, match=f"not authorized to use function: {call.partition('(')[0]}.*see the list of"):
        database.sql_exec(f"SELECT {call}")


@pytest.mark.parametrize(
    "call", ["sqlite_rename_table(1,2,3,4,5,6,7)", "sqlite_drop_column(1,2,3)", "sqlite_fail('x', 'y')"]
)
def test_what_alter_table_uses_is_not_callable(database: Database, call: str) -> None:
    with pytest.raises(SqlError):
        database.sql_exec(f"SELECT {call}")


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("abs(-3)", 3),
        ("cos(0)", 1.0),
        ("round(log2(8))", 3.0),
        ("'{\"a\": 5}' ->> 'a'", 5),
        ("json_extract('[1, 2]', '$[1]')", 2),
        ("printf('%03d', 7)", "007"),
        ("strftime('%Y', 0, 'unixepoch')", "1970"),
        ("hex(zeroblob(2))", "0000"),
        ("iif(1, 'yes', 'no')", "yes"),
        ("'abc' LIKE 'A%'", 1),
        ("'abc' GLOB 'a*'", 1),
        ("concat_ws('-', 1, 2)", "1-2"),
        ("unhex('61')", b"a"),
    ],
)
def test_functions(database: Database, expression: str, expected: object) -> None:
    assert database.sql_exec(f"SELECT {expression}").rows == [(expected,)]


def test_full_text_search(database: Database) -> None:
    database.sql_exec(
        "CREATE VIRTUAL TABLE notes USING fts5(body); CREATE VIRTUAL TABLE w USING fts5vocab(notes, 'row')"
    )
    database.sql_exec("INSERT INTO notes VALUES ('the quick fox'), ('a slow dog')")

    page = database.sql_exec("SELECT body, bm25(notes) < 0 FROM notes WHERE notes MATCH 'quick'")

    assert page.rows == [("the quick fox", 1)]
    assert database.sql_exec("SELECT count(*) FROM w").rows == [(6,)]


def test_full_text_functions_are_ours(database: Database) -> None:
    database.sql_exec("CREATE VIRTUAL TABLE notes USING fts5(body); INSERT INTO notes VALUES ('the quick fox')")

    page = database.sql_exec(
        "SELECT highlight(notes, 0, '<', '>'), snippet(notes, 0, '[', ']', '…', 2) FROM notes WHERE notes MATCH 'fox'"
    )

    assert page.rows == [("the quick <fox>", "…quick [fox]")]
    database.sql_exec("INSERT INTO notes VALUES (?)", ["long " * 60_000])
    for function in ("highlight(notes, 0, '<', '>')", "snippet(notes, -1, '[', ']', '…', 2)"):
        with pytest.raises(SqlError, match="cannot be interrupted, the limit is 262144"):
            database.sql_exec(f"SELECT {function} FROM notes WHERE notes MATCH 'long'")


def test_rtree(database: Database) -> None:
    database.sql_exec(
        "CREATE VIRTUAL TABLE boxes USING rtree(id, low, high); INSERT INTO boxes VALUES (1, 0, 5), (2, 8, 9)"
    )

    assert database.sql_exec("SELECT id FROM boxes WHERE low < 3").rows == [(1,)]
    assert database.sql_exec("SELECT rtreecheck('boxes')").rows == [("ok",)]


def test_window_functions(database: Database) -> None:
    page = database.sql_exec("SELECT row_number() OVER (ORDER BY column1 DESC) FROM (VALUES (1), (2))")

    assert page.rows == [(1,), (2,)]
