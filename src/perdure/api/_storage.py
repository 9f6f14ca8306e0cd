"""`ctx.storage`: the synchronous face of one object's SQLite database.

`kv` and `sql` share one file and one implicit transaction per turn. Effects: none (it asks `StorageCalls`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from perdure.errors import KvError, SqlError
from perdure.wire import KvRange, SqlPage, SqlValue, decode, encode

if TYPE_CHECKING:
    from perdure.api._host_calls import StorageCalls


class Storage:
    """The database of this object, and of no other: `kv` for values by key, `sql` for SQLite."""

    __slots__ = ("_calls", "kv", "sql")

    def __init__(self, calls: StorageCalls) -> None:
        self._calls = calls
        self.kv = Kv(calls)
        self.sql = Sql(calls)


class Kv:
    """Values by string key, in the order of the keys' UTF-8 bytes.

    A value is anything `perdure.wire.encode` takes; what `get` returns is a fresh copy.
    """

    __slots__ = ("_calls", "_listing")

    def __init__(self, calls: StorageCalls) -> None:
        self._calls = calls
        self._listing = 0

    def get(self, key: str, default: Any = None) -> Any:  # Any: the caller knows what he stored
        """The value of `key`, or `default`."""
        text = self._calls.kv_get(_key(key))
        return default if text is None else decode(text)

    def put(self, key: str, value: object) -> None:
        """Store a copy of `value`. Raises ValueNotCloneableError, or KvError when key and value exceed 2 MiB."""
        self._calls.kv_put(_key(key), encode(value))

    def delete(self, key: str) -> bool:
        """Forget `key`; True if there was one."""
        return self._calls.kv_delete(_key(key))

    def list(
        self,
        *,
        prefix: str | None = None,
        start: str | None = None,
        start_after: str | None = None,
        end: str | None = None,
        reverse: bool = False,
        limit: int | None = None,
    ) -> Iterator[tuple[str, object]]:
        """The entries of a range, lazily: `start` inclusive, `end` and `start_after` exclusive.

        With `reverse` the range stays the same and is walked from its high end. Only the newest listing of an
        object is live: an older one raises KvError at its next step. Writing while listing is allowed.
        """
        if start is not None and start_after is not None:
            raise KvError("kv.list() got both start and start_after: give one of them")
        if limit is not None and limit <= 0:
            raise KvError(f"List limit must be positive, not `{limit}`")
        self._listing += 1
        wanted = KvRange(start=start, start_after=start_after, end=end, prefix=prefix, reverse=reverse, limit=limit)
        return self._walk(wanted, self._listing)

    def _walk(self, wanted: KvRange, listing: int) -> Iterator[tuple[str, object]]:
        while True:
            self._check_live(listing)
            page = self._calls.kv_list(wanted)
            for key, text in page:
                self._check_live(listing)
                yield key, decode(text)
            if wanted.limit is not None:
                wanted = replace(wanted, limit=wanted.limit - len(page))
            if not page or wanted.limit == 0:
                return
            last = page[-1][0]
            wanted = replace(wanted, end=last) if wanted.reverse else replace(wanted, start=None, start_after=last)

    def _check_live(self, listing: int) -> None:
        if listing != self._listing:
            raise KvError(
                "this kv.list() iterator was invalidated by a new call to kv.list(): read one to its end first, "
                "or wrap it in list()"
            )


def _key(key: object) -> str:
    if not isinstance(key, str):
        raise KvError(f"a key of storage.kv is a string, not `{type(key).__name__}`: use str(key)")
    if not key:
        raise KvError("a key of storage.kv must not be empty")
    return key


class Sql:
    """SQLite, synchronously."""

    __slots__ = ("_calls",)

    def __init__(self, calls: StorageCalls) -> None:
        self._calls = calls

    def exec(self, query: str, *bindings: object) -> Cursor:
        """Run `query` with `?` placeholders bound to None, bool, int, float, str or bytes.

        Several statements may stand in one query; only the last takes bindings and gives rows. Raises SqlError.
        """
        if not isinstance(query, str):
            raise SqlError(f"a query is a string, not `{type(query).__name__}`", sqlite_code="SQLITE_MISUSE")
        return Cursor(
            self._calls,
            self._calls.sql_exec(query, [_binding(value, place) for place, value in enumerate(bindings, 1)]),
        )

    @property
    def database_size(self) -> int:
        """Bytes in use by this database."""
        return self._calls.database_size()


def _binding(value: object, place: int) -> SqlValue:
    if isinstance(value, bool):
        return int(value)
    if value is None or isinstance(value, int | float | str | bytes):
        return value
    if isinstance(value, bytearray | memoryview):
        return bytes(value)
    raise SqlError(
        f"binding {place} is a `{type(value).__name__}`, SQLite stores None, bool, int, float, str and bytes: "
        "convert it first (json.dumps(...) for lists and dicts, .isoformat() for dates)",
        sqlite_code="SQLITE_MISMATCH",
    )


Row = dict[str, SqlValue]


class Cursor:
    """The rows of one statement: iterate it, or ask `one()`, `all()`, `raw()`, `scalar()`.

    Rows are dicts; of columns with the same name the last wins (`raw()` keeps both). A cursor ends with its turn:
    read it before the next `await` on anything outside.
    """

    __slots__ = ("_calls", "_page", "_position", "columns")

    def __init__(self, calls: StorageCalls, page: SqlPage) -> None:
        self._calls = calls
        self._page = page
        self._position = 0
        self.columns = page.columns

    def __iter__(self) -> Iterator[Row]:
        for row in self._rows():
            yield dict(zip(self.columns, row, strict=True))

    def _rows(self) -> Iterator[tuple[SqlValue, ...]]:
        while True:
            while self._position < len(self._page.rows):
                self._position += 1
                yield self._page.rows[self._position - 1]
            if not self._page.cursor_id:
                return
            self._page = self._calls.sql_next(self._page.cursor_id)
            self._position = 0

    def all(self) -> list[Row]:
        """Every row that is left."""
        return list(self)

    to_array = all

    def one(self) -> Row:
        """The only row. Raises SqlError when there is none, or more than one."""
        rows = self._rows()
        first = next(rows, None)
        if first is None:
            raise SqlError("Expected exactly one result from SQL query, but got no results")
        if next(rows, None) is not None:
            raise SqlError("Expected exactly one result from SQL query, but got multiple results")
        return dict(zip(self.columns, first, strict=True))

    def scalar(self) -> SqlValue:
        """The first column of the first row that is left, or None."""
        row = next(self._rows(), None)
        return row[0] if row else None

    def raw(self) -> Iterator[tuple[SqlValue, ...]]:
        """The rows as tuples; shares its position with the cursor."""
        return self._rows()

    @property
    def column_names(self) -> Sequence[str]:
        """The names of the columns, repeated ones kept."""
        return self.columns

    @property
    def rows_read(self) -> int:
        """Rows scanned so far, as SQLite counts them."""
        return self._page.rows_read

    @property
    def rows_written(self) -> int:
        """Rows written so far."""
        return self._page.rows_written
