"""`ctx.storage`: one object's SQLite database.

`kv` and `sql` are synchronous; `get`, `put` and the like are the reference's asynchronous face of the same table, and
do their work at the call too. All share one file and one implicit transaction per turn.
Effects: none (it asks `StorageCalls`).
"""

from __future__ import annotations

import builtins
import inspect
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, TypeVar

from perdure.api._alarms import AlarmTime, alarm_ms, alarm_time, past_ms
from perdure.api._ready import Ready
from perdure.api._transactions import SyncTransaction, Transaction, TransactionScope
from perdure.errors import KvError, SqlError
from perdure.limits import KV_BATCH_KEYS_MAX
from perdure.wire import KvRange, SqlPage, SqlValue, decode, encode

if TYPE_CHECKING:
    from perdure.api._host_calls import StorageCalls

T = TypeVar("T")
_MISSING: Final = object()


class Storage:
    """The database of this object, and of no other: `kv` for values by key, `sql` for SQLite; and its alarm.

    `allow_concurrency` and `no_cache` are accepted as the reference takes them, and change nothing here.
    """

    __slots__ = ("_calls", "kv", "sql")

    def __init__(self, calls: StorageCalls) -> None:
        self._calls = calls
        self.kv = Kv(calls)
        self.sql = Sql(calls)

    def get(
        self,
        key: str | Sequence[str],
        *,
        default: Any = None,  # the caller knows what he stored
        allow_concurrency: bool = False,
        no_cache: bool = False,
    ) -> Ready[Any]:
        """The value of `key`, or `default`; of several keys a dict in the order of `list`, missing ones left out."""
        del allow_concurrency, no_cache
        if isinstance(key, str):
            return Ready(self.kv.get(key, default))
        return Ready({found: decode(text, self._calls.channels) for found, text in self._many(_keys(key))})

    def _many(self, keys: Sequence[str]) -> Iterator[tuple[str, str]]:
        while keys:
            page, keys = self._calls.kv_get_many(keys)
            yield from page

    def put(
        self,
        key: str | Mapping[str, object],
        value: object = _MISSING,
        *,
        allow_unconfirmed: bool = False,
        allow_concurrency: bool = False,
        no_cache: bool = False,
    ) -> Ready[None]:
        """Store a copy of `value`, or all entries of a dict, or none of them if one is refused.

        With `allow_unconfirmed` no reply waits until it is durable. Raises ValueNotCloneableError and KvError.
        """
        del allow_concurrency, no_cache
        if isinstance(key, Mapping):
            if value is not _MISSING:
                raise KvError("put() may only be called with a single key-value pair, or with one dict of them")
            entries = [(_key(each), encode(content, self._calls.channels)) for each, content in key.items()]
        elif value is _MISSING:
            raise KvError("put() called with undefined value: give one, or use delete() to forget a key")
        else:
            entries = [(_key(key), encode(value, self._calls.channels))]
        _check_batch(len(entries))
        self._calls.kv_write(entries, [], is_confirmed=not allow_unconfirmed)
        return Ready(None)

    def delete(
        self,
        key: str | Sequence[str],
        *,
        allow_unconfirmed: bool = False,
        allow_concurrency: bool = False,
        no_cache: bool = False,
    ) -> Ready[Any]:
        """Forget `key`, True if there was one; or several keys, how many there were."""
        del allow_concurrency, no_cache
        keys = [_key(key)] if isinstance(key, str) else _keys(key)
        deleted = self._calls.kv_write([], keys, is_confirmed=not allow_unconfirmed) if keys else 0
        return Ready(deleted == 1 if isinstance(key, str) else deleted)

    def list(
        self,
        *,
        prefix: str | None = None,
        start: str | None = None,
        start_after: str | None = None,
        end: str | None = None,
        reverse: bool = False,
        limit: int | None = None,
        allow_concurrency: bool = False,
        no_cache: bool = False,
    ) -> Ready[dict[str, Any]]:
        """The entries of a range, as `kv.list` has them, in a dict in the order of their keys."""
        del allow_concurrency, no_cache
        wanted = KvRange(
            start=start, start_after=start_after, end=end, prefix=prefix, reverse=bool(reverse), limit=limit
        )
        _check_range(wanted)
        return Ready(
            {key: decode(text, self._calls.channels) for page in _pages(self._calls, wanted) for key, text in page}
        )

    def delete_all(self, *, delete_alarm: bool = True) -> Ready[None]:
        """Forget everything: entries, tables, facets, and the alarm unless `delete_alarm` is False.

        It is part of the turn's transaction. Facets that run are reset. Raises UsageError inside a transaction.
        """
        self._calls.delete_all(keeps_alarm=not delete_alarm)
        self.sql.cancel_cursors()
        return Ready(None)

    def sync(self) -> Awaitable[None]:
        """Until everything written before the call is durable, `allow_unconfirmed` or not."""
        return self._calls.sync()

    # ── the past ─────────────────────────────────────────────────────────────────────────────────────────────

    def get_current_bookmark(self) -> Awaitable[str]:
        """The name of the present state of this object and its facets; later ones are greater."""
        return self._calls.bookmark("current", None)

    def get_bookmark_for_time(self, when: datetime | int) -> Awaitable[str]:
        """The bookmark of what was last committed until a time: an aware datetime, or milliseconds since 1970.

        Raises BookmarkError when the history does not go back so far.
        """
        return self._calls.bookmark("at", past_ms(when))

    def on_next_session_restore_bookmark(self, bookmark: str) -> Awaitable[str]:
        """Bring this object, with its facets, back to `bookmark` when it starts the next time, as after `ctx.abort`.

        Returns the bookmark of the state just before that, which takes it back. Raises BookmarkError.
        """
        return self._calls.bookmark("restore", bookmark)

    # ── the alarm ────────────────────────────────────────────────────────────────────────────────────────────

    def set_alarm(
        self, when: AlarmTime, *, allow_unconfirmed: bool = False, allow_concurrency: bool = False
    ) -> Ready[None]:
        """Have the object's `alarm(self, info)` called at `when`, even if it is not in memory then.

        `when`: an aware datetime, a timedelta from now, or milliseconds since 1970. There is one alarm: this one
        replaces it. It is done at the call, and part of the turn's transaction. Raises AlarmError, and FacetError in a
        facet whose parent's class has no `start_facet`.
        """
        del allow_concurrency
        self._calls.alarm_set(alarm_ms(when, now_ms=self._calls.now_ms), is_confirmed=not allow_unconfirmed)
        return Ready(None)

    def get_alarm(self, *, allow_concurrency: bool = False) -> Ready[datetime | None]:
        """When the alarm is due. None without one, and in its handler unless that set a new one."""
        del allow_concurrency
        at_ms = self._calls.alarm_get()
        return Ready(None if at_ms is None else alarm_time(at_ms))

    def delete_alarm(self, *, allow_unconfirmed: bool = False, allow_concurrency: bool = False) -> Ready[None]:
        """Have no alarm. In its handler only one that was set there is deleted."""
        del allow_concurrency
        self._calls.alarm_set(None, is_confirmed=not allow_unconfirmed)
        return Ready(None)

    # ── transactions ─────────────────────────────────────────────────────────────────────────────────────────

    def transaction_sync(self, callback: Callable[[], T] | None = None) -> Any:  # T, or a context manager
        """Run `callback` inside a transaction of this turn: if it raises, what it wrote is undone.

        Without one, a context manager: `with storage.transaction_sync(): …`. They nest; nothing may be awaited inside.
        """
        transaction = SyncTransaction(self._calls)
        return transaction if callback is None else transaction.run(callback)

    def transaction(self, callback: Callable[[Transaction], object] | None = None) -> Any:  # a coroutine, or a scope
        """Run `await callback(txn)` in a transaction that stays open over its awaits, and in a critical section.

        Without one, a context manager: `async with storage.transaction() as txn: …`, or `with storage.transaction(): …`
        when nothing is awaited inside. An exception undoes what was written, and is raised; the object goes on, unless
        it takes more than 30 s. They nest.
        """
        scope = TransactionScope(self, self._calls)
        return scope if callback is None else _transact(scope, callback)


async def _transact(scope: TransactionScope, callback: Callable[[Transaction], object]) -> object:
    async with scope as transaction:
        result = callback(transaction)
        return await result if inspect.isawaitable(result) else result


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
        return default if text is None else decode(text, self._calls.channels)

    def put(self, key: str, value: object) -> None:
        """Store a copy of `value`. Raises ValueNotCloneableError, or KvError when key and value exceed 2 MiB."""
        self._calls.kv_put(_key(key), encode(value, self._calls.channels))

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
        wanted = KvRange(
            start=start, start_after=start_after, end=end, prefix=prefix, reverse=bool(reverse), limit=limit
        )
        _check_range(wanted)
        self._listing += 1
        return self._walk(wanted, self._listing)

    def _walk(self, wanted: KvRange, listing: int) -> Iterator[tuple[str, object]]:
        self._check_live(listing)
        for page in _pages(self._calls, wanted):
            for key, text in page:
                self._check_live(listing)
                yield key, decode(text, self._calls.channels)
            self._check_live(listing)

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


def _keys(keys: object) -> builtins.list[str]:
    if not isinstance(keys, Iterable) or isinstance(keys, bytes | Mapping):
        raise KvError(f"a key of storage is a string, or a list of them, not `{type(keys).__name__}`")
    checked = [_key(key) for key in keys]
    _check_batch(len(checked))
    return checked


def _check_batch(size: int) -> None:
    if size > KV_BATCH_KEYS_MAX:
        raise KvError(f"{size} keys in one call, the limit is {KV_BATCH_KEYS_MAX}: call it several times")


def _check_range(wanted: KvRange) -> None:
    for name in ("start", "start_after", "end", "prefix"):
        bound = getattr(wanted, name)
        if bound is not None and not isinstance(bound, str):
            raise KvError(f"list() takes keys: {name} is a string, not `{type(bound).__name__}`")
    if wanted.limit is not None and type(wanted.limit) is not int:
        raise KvError(f"list() takes a whole number as its limit, not `{wanted.limit!r:.60}`")
    if wanted.start is not None and wanted.start_after is not None:
        raise KvError("list() got both start and start_after: give one of them")
    if wanted.limit is not None and wanted.limit <= 0:
        raise KvError(f"List limit must be positive, not `{wanted.limit}`")


def _pages(calls: StorageCalls, wanted: KvRange) -> Iterator[Sequence[tuple[str, str]]]:
    """The entries of a range, some at a time, as they are when they are reached."""
    while True:
        page = calls.kv_list(wanted)
        yield page
        if wanted.limit is not None:
            wanted = replace(wanted, limit=wanted.limit - len(page))
        if not page or wanted.limit == 0:
            return
        last = page[-1][0]
        wanted = replace(wanted, end=last) if wanted.reverse else replace(wanted, start=None, start_after=last)


class Sql:
    """SQLite, synchronously."""

    __slots__ = ("_calls", "_deletions")

    def __init__(self, calls: StorageCalls) -> None:
        self._calls = calls
        self._deletions = 0

    def cancel_cursors(self) -> None:
        """Let no cursor give more rows: what they were read from is deleted."""
        self._deletions += 1

    @property
    def deletions(self) -> int:
        """How often everything was deleted: a cursor from before is at its end."""
        return self._deletions

    def exec(self, query: str, *bindings: object) -> Cursor:
        """Run `query` with `?` placeholders bound to None, bool, int, float, str or bytes.

        Several statements may stand in one query; only the last takes bindings and gives rows. Raises SqlError.
        """
        if not isinstance(query, str):
            raise SqlError(f"a query is a string, not `{type(query).__name__}`", sqlite_code="SQLITE_MISUSE")
        return Cursor(
            self,
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
    """The rows of one statement: iterate it, step with `next(cursor)`, or ask `one()`, `all()`, `raw()`, `scalar()`.

    Rows are dicts; of columns with the same name the last wins (`raw()` keeps both). A cursor ends with its turn:
    read it before the next `await` on anything outside.
    """

    __slots__ = ("_calls", "_deletions", "_page", "_position", "_read_before", "_sql", "columns")

    def __init__(self, sql: Sql, calls: StorageCalls, page: SqlPage) -> None:
        self._sql = sql
        self._deletions = sql.deletions
        self._calls = calls
        self._page = page
        self._position = 0
        self._read_before = 0  # by the pages before this one
        self.columns = page.columns

    def __iter__(self) -> Iterator[Row]:
        for row in self._rows():
            yield dict(zip(self.columns, row, strict=True))

    def __next__(self) -> Row:
        for row in self:
            return row
        raise StopIteration

    def _rows(self) -> Iterator[tuple[SqlValue, ...]]:
        while True:
            while self._position < len(self._page.rows):
                if self._deletions != self._sql.deletions:
                    raise SqlError("query was canceled because the database was deleted", sqlite_code="SQLITE_ABORT")
                self._position += 1
                yield self._page.rows[self._position - 1]
            if not self._page.cursor_id:
                return
            self._read_before = self._page.rows_read
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
        """Rows scanned so far, one row ahead of what was given.

        Rows come in pages, whose counts are SQLite's; within a page, what was scanned is shared among its rows.
        """
        size = len(self._page.rows)
        if not size:
            return self._page.rows_read
        scanned = self._page.rows_read - self._read_before
        return self._read_before + scanned * min(self._position + 1, size) // size

    @property
    def rows_written(self) -> int:
        """Rows written so far."""
        return self._page.rows_written
