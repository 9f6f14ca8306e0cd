"""Differences between two states of one database: keys, rows and schema, as far as a bound allows. Effects: disk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import apsw

from perdure.errors import DamagedDataError
from perdure.history._targets import reading
from perdure.limits import DIFF_ROWS_MAX, DIFF_SQL_STEPS_MAX

_SCHEMA: Final = "SELECT name, sql FROM {}.sqlite_schema WHERE sql IS NOT NULL AND lower(substr(name, 1, 4)) <> '_cf_'"
_KV: Final = "_cf_KV"
_EMPTY: Final = ":memory:"
_IN_MEMORY: Final = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE | apsw.SQLITE_OPEN_URI
_STEPS: Final = 100_000


@dataclass(frozen=True, slots=True)
class RowsDiff:
    """Which keys, of a table or of kv, are there only after, only before, or in both with other values.

    A key is the values of the primary key, or the rowid where there is none. At most `DIFF_ROWS_MAX` of each;
    `is_truncated`: there are more.
    """

    added: list[tuple[object, ...]]
    removed: list[tuple[object, ...]]
    changed: list[tuple[object, ...]]
    is_truncated: bool

    @property
    def is_empty(self) -> bool:
        return not (self.added or self.removed or self.changed)


@dataclass(frozen=True, slots=True)
class DatabaseDiff:
    """What became of one database. `path`: the names of facets that lead to it. `schema`: the text of what differs.

    `fate` is `changed`, `added` or `removed`.
    """

    path: tuple[str, ...]
    fate: str
    kv: RowsDiff
    tables: dict[str, RowsDiff] = field(default_factory=dict)
    schema: list[str] = field(default_factory=list)

    @property
    def is_empty(self) -> bool:
        return self.fate == "changed" and self.kv.is_empty and not self.tables and not self.schema


def diff_files(path: tuple[str, ...], before: Path | None, after: Path | None) -> DatabaseDiff:
    """Compare two files of one database; None: there was none. Raises DamagedDataError when SQLite cannot read one."""
    fate = "added" if before is None else "removed" if after is None else "changed"
    connection = reading(before) if before is not None else apsw.Connection(_EMPTY, flags=_IN_MEMORY)
    steps = 0

    def is_overdue() -> bool:
        nonlocal steps
        steps += _STEPS
        return steps > DIFF_SQL_STEPS_MAX

    try:
        connection.set_progress_handler(is_overdue, _STEPS)
        connection.execute("ATTACH ? AS after", (_EMPTY if after is None else f"{after.as_uri()}?immutable=1",))
        return DatabaseDiff(path, fate, _kv_diff(connection), _table_diffs(connection), _schema_diff(connection))
    except apsw.InterruptError as error:
        raise DamagedDataError(
            f"comparing `{'/'.join(path)}` takes too long: choose bookmarks that are closer to each other"
        ) from error
    except apsw.Error as error:
        raise DamagedDataError(f"a database of the past cannot be compared: {error}") from error
    finally:
        connection.close()


def _kv_diff(connection: apsw.Connection) -> RowsDiff:
    return _rows_diff(connection, _KV, ("key",), ("key", "value"))


def _schema_diff(connection: apsw.Connection) -> list[str]:
    before, after = (dict(connection.execute(_SCHEMA.format(schema))) for schema in ("main", "after"))
    removed = [f"- {sql}" for name, sql in sorted(before.items()) if after.get(name) != sql]
    return removed + [f"+ {sql}" for name, sql in sorted(after.items()) if before.get(name) != sql]


def _table_diffs(connection: apsw.Connection) -> dict[str, RowsDiff]:
    """Tables whose columns are the same in both; of others the schema tells."""
    diffs: dict[str, RowsDiff] = {}
    for name in sorted(_tables(connection, "main") | _tables(connection, "after")):
        before, after = (_columns(connection, schema, name) for schema in ("main", "after"))
        if before and after and before != after:
            continue
        columns, keys = after or before or ((), ())
        diff = _rows_diff(connection, name, keys or (_rowid(columns),), columns)
        if not diff.is_empty:
            diffs[name] = diff
    return diffs


def _tables(connection: apsw.Connection, schema: str) -> set[str]:
    rows = connection.execute("SELECT name FROM pragma_table_list WHERE schema = ? AND type = 'table'", (schema,))
    return {name for (name,) in rows if not name.startswith("sqlite_") and name[:4].lower() != "_cf_"}


_Columns = tuple[tuple[str, ...], tuple[str, ...]]


def _columns(connection: apsw.Connection, schema: str, table: str) -> _Columns | tuple[()]:
    """A table's columns, and those of its primary key; nothing when there is no such table."""
    rows = connection.execute("SELECT name, pk FROM pragma_table_info(?, ?)", (table, schema)).fetchall()
    if not rows:
        return ()
    keys = sorted((pk, name) for name, pk in rows if pk)
    return tuple(str(name) for name, _ in rows), tuple(str(name) for _, name in keys)


def _rowid(columns: Sequence[str]) -> str:
    taken = {name.lower() for name in columns}
    return next((name for name in ("rowid", "_rowid_", "oid") if name not in taken), columns[0])


def _rows_diff(connection: apsw.Connection, table: str, keys: Sequence[str], columns: Sequence[str]) -> RowsDiff:
    there = [_has(connection, schema, table) for schema in ("main", "after")]
    named = _quoted(table)
    wanted = ", ".join(f"x.{_quoted(key)}" for key in keys)
    same = " AND ".join(f"x.{_quoted(key)} IS y.{_quoted(key)}" for key in keys)
    differs = " OR ".join(f"x.{_quoted(name)} IS NOT y.{_quoted(name)}" for name in columns if name not in keys)

    def only_in(schema: str, other: str, *, compares: bool) -> list[tuple[object, ...]]:
        query = f"SELECT {wanted} FROM {schema}.{named} AS x"  # noqa: S608 - names are quoted
        if compares:
            query += f" WHERE NOT EXISTS (SELECT 1 FROM {other}.{named} AS y WHERE {same})"  # noqa: S608
        return connection.execute(f"{query} LIMIT {DIFF_ROWS_MAX + 1}").fetchall()

    removed = only_in("main", "after", compares=there[1]) if there[0] else []
    added = only_in("after", "main", compares=there[0]) if there[1] else []
    changed: list[tuple[object, ...]] = []
    if all(there) and differs:
        query = f"SELECT {wanted} FROM main.{named} AS x JOIN after.{named} AS y ON {same} WHERE {differs}"  # noqa: S608
        changed = connection.execute(f"{query} LIMIT {DIFF_ROWS_MAX + 1}").fetchall()
    lists = (added, removed, changed)
    is_truncated = any(len(found) > DIFF_ROWS_MAX for found in lists)
    return RowsDiff(added[:DIFF_ROWS_MAX], removed[:DIFF_ROWS_MAX], changed[:DIFF_ROWS_MAX], is_truncated)


def _has(connection: apsw.Connection, schema: str, table: str) -> bool:
    query = f"SELECT count(*) FROM {schema}.sqlite_schema WHERE type = 'table' AND name = ?"  # noqa: S608
    return bool(connection.execute(query, (table,)).get)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
