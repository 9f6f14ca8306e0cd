"""Database: one SQLite file, one connection, and the unit in which a turn writes.

SQLite never syncs here: durable is what the journal has, so the pages of each commit are read from the `-wal` file
and handed on. A database is used by one thread at a time. Effects: disk.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final, Protocol, TypeVar

import apsw

from perdure.errors import DamagedDataError, ObjectResetError, StorageFailedError, UsageError
from perdure.limits import DATABASE_BYTES_MAX, SQL_DEADLINE_STEPS
from perdure.storage._alarm import Alarm
from perdure.storage._authorizer import MODULES, Authorizer
from perdure.storage._capture import Captured, WalTail
from perdure.storage._content import delete_content
from perdure.storage._full_text import define_full_text_functions, has_full_text_tables
from perdure.storage._functions import RowBound, override_functions
from perdure.storage._kv import Kv
from perdure.storage._layout import wal_path
from perdure.storage._sql import Sql
from perdure.storage._storage_limits import SANDBOXED, StorageLimits, apply, effective
from perdure.storage._template import APPLICATION_ID, PAGE_SIZE
from perdure.storage._unit import PageQuota, Unit, damaged
from perdure.wire import KvRange, SqlPage, SqlValue

Result = TypeVar("Result")

# The directory's lock is ours, so files need none; SQLite's default VFS walks a list of all open ones at each open.
DEFAULT_VFS: Final = "unix-none"

_FORMAT_VERSIONS_AT: Final = 18  # in the header of a database file
_FORMAT_VERSIONS_OF_WAL: Final = b"\2\2"

_SETTINGS: Final = {
    apsw.SQLITE_DBCONFIG_DEFENSIVE: 1,
    apsw.SQLITE_DBCONFIG_DQS_DDL: 1,
    apsw.SQLITE_DBCONFIG_DQS_DML: 1,
    apsw.SQLITE_DBCONFIG_ENABLE_ATTACH_CREATE: 0,
    apsw.SQLITE_DBCONFIG_ENABLE_ATTACH_WRITE: 0,
    apsw.SQLITE_DBCONFIG_ENABLE_FKEY: 1,
    apsw.SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION: 0,
    apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE: 1,
    apsw.SQLITE_DBCONFIG_TRUSTED_SCHEMA: 0,
}


def open_connection(path: Path, *, vfs: str = DEFAULT_VFS) -> apsw.Connection:
    """A connection to a database file that exists, set up as all of ours are.

    Raises DamagedDataError when SQLite cannot read it or it is none of ours, StorageFailedError when it cannot be
    opened for writing.
    """
    _check_is_whole(path)
    try:
        connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE, vfs=vfs)
    except apsw.CantOpenError as error:
        raise StorageFailedError(f"database `{path}` cannot be opened: is it there, and may it be written?") from error
    try:
        _set_up(connection)
        if connection.readonly("main") and os.access(path, os.W_OK):
            raise damaged(path, "its header says that it must not be written")
        if connection.readonly("main"):
            raise StorageFailedError(f"database `{path}` may not be written: check who owns it, and its mode")
        if connection.pragma("page_size") != PAGE_SIZE:
            raise damaged(path, f"its pages have {connection.pragma('page_size')} bytes, ours {PAGE_SIZE}")
        if connection.pragma("application_id") != APPLICATION_ID:
            raise damaged(path, "it was made by another application, or its header was changed")
    except BaseException as error:
        connection.close(force=True)
        if isinstance(error, apsw.NotADBError | apsw.CorruptError | apsw.SQLError):
            raise damaged(path, str(error)) from error
        if isinstance(error, apsw.Error):
            raise StorageFailedError(f"database `{path}` cannot be opened: {error}") from error
        raise
    return connection


def _check_is_whole(path: Path) -> None:
    """SQLite reads the rest of a page that was cut off as zeros. A half page may be there while a log replaces it."""
    try:
        size = path.stat().st_size
    except OSError:
        return  # SQLite says why.
    if size % PAGE_SIZE and not wal_path(path).exists():
        raise damaged(path, f"it was cut off: its {size} bytes are no whole number of pages")


def _set_up(connection: apsw.Connection) -> None:
    for option, value in _SETTINGS.items():
        connection.config(option, value)
    connection.limit(apsw.SQLITE_LIMIT_ATTACHED, 0)
    connection.limit(apsw.SQLITE_LIMIT_WORKER_THREADS, 0)
    apply(SANDBOXED, connection)
    connection.drop_modules(MODULES)
    # Before the first look at the file: a WAL that is entered in exclusive mode needs no shared memory file.
    connection.pragma("locking_mode", "exclusive")
    # Reads header and schema, so that a file that is none of ours is found out now, and is left as it is.
    connection.execute("SELECT key FROM _cf_KV LIMIT 1").fetchall()
    connection.pragma("journal_mode", "wal")
    connection.pragma("synchronous", "off")
    connection.pragma("max_page_count", DATABASE_BYTES_MAX // PAGE_SIZE)
    connection.wal_autocheckpoint(0)


class CommitTail(Protocol):
    """Where the pages of a commit are read."""

    def read_or_none(self) -> Captured | None: ...
    def close(self) -> None: ...


class Database:
    """The storage of one object or facet: `kv_…` and `sql_…` for guests, `host_exec` for us.

    Everything written from the first write to `commit` is one transaction, the unit. What breaks the database breaks
    it for good: every later operation raises the same error (`rollback` and `close` never do).
    """

    __slots__ = (
        "_authorizer",
        "_connection",
        "_has_deleted_all",
        "_host",
        "_is_confirmed",
        "_kv",
        "_row_bound",
        "_sql",
        "_tail",
        "_unit",
        "alarm",
    )

    def __init__(self, connection: apsw.Connection, *, path: Path, tail: CommitTail) -> None:
        self._connection = connection
        self._tail = tail
        self._has_deleted_all = False
        self._unit = Unit(connection, path=path)
        self._row_bound = RowBound()
        override_functions(connection, self._row_bound)
        define_full_text_functions(connection, self._row_bound)  # Before the authorizer: FTS5 is asked in SQL.
        authorizer = self._authorizer = Authorizer()
        authorizer.has_full_text = has_full_text_tables(connection)
        connection.authorizer = authorizer
        connection.set_progress_handler(self._unit.is_overdue, SQL_DEADLINE_STEPS)
        self._host = connection.cursor()
        self._host.exec_trace = self._before_host_statement
        self._sql = Sql(connection, self._unit, authorizer)
        self._kv = Kv(connection, self._unit)
        self._is_confirmed = True  # of the host's statement that runs
        self.alarm: Final = Alarm(self)
        """When its object wants to be woken."""

    @classmethod
    def open(cls, path: Path, *, number: int, vfs: str = DEFAULT_VFS) -> Database:
        """The database in a file that exists. Blocks for about 0.1 ms. Raises as `open_connection` does."""
        connection = open_connection(path, vfs=vfs)
        try:
            tail = WalTail(wal_path(path), number=number, page_size=PAGE_SIZE)
        except BaseException:
            connection.close()
            raise
        return cls(connection, path=path, tail=tail)

    # ── kv ───────────────────────────────────────────────────────────────────────────────────────────────────

    def kv_get(self, key: str) -> str | None:
        """The value of `key`, or None."""
        return self._kv.get(key)

    def kv_put(self, key: str, value: str) -> None:
        """Store `value`. Raises KvError when the key is empty, or key and value are too big together."""
        self._kv.put(key, value)

    def kv_delete(self, key: str) -> bool:
        """Forget `key`; True if there was one."""
        return self._kv.delete(key)

    def kv_get_many(self, keys: Sequence[str]) -> tuple[list[tuple[str, str]], int]:
        """The entries of the first keys, missing ones left out, and how many keys that were: a page of them."""
        return self._kv.get_many(keys)

    def kv_write(
        self, puts: Iterable[tuple[str, str]], deletes: Sequence[str] = (), *, is_confirmed: bool = True
    ) -> int:
        """Store and forget several entries, all or none; how many of `deletes` were there. Raises KvError.

        Unless `is_confirmed`, no reply waits for them to be durable.
        """
        return self._kv.write(puts, deletes, is_confirmed=is_confirmed)

    def kv_list(self, wanted: KvRange) -> list[tuple[str, str]]:
        """The first entries of a range, at most `KV_LIST_PAGE_ROWS`. Raises KvError when the range makes no sense."""
        return self._kv.list(wanted)

    # ── SQL ──────────────────────────────────────────────────────────────────────────────────────────────────

    def sql_exec(self, query: str, bindings: Sequence[SqlValue] = ()) -> SqlPage:
        """Run a guest's SQL; the first page of the last statement's rows. Raises SqlError."""
        return self._sql.exec(query, bindings)

    def sql_next(self, cursor_id: int) -> SqlPage:
        """The following page. Raises SqlError when the cursor is closed, or could not be kept beyond its turn."""
        return self._sql.next(cursor_id)

    def sql_close(self, cursor_id: int) -> None:
        """Forget a cursor before its end."""
        self._sql.close(cursor_id)

    @property
    def may_take_long(self) -> bool:
        """Whether one step of SQL may take long here, where no deadline reaches: it has tables for full-text search."""
        return self._authorizer.has_full_text

    def begin_turn(self, *, is_overdue: Callable[[], bool], must_be_short: bool) -> None:
        """A guest's turn begins, on the thread that runs it; `end_turn` comes when it is over.

        If it `must_be_short`, making a table for full-text search is interrupted, like what is overdue.
        """
        self._unit.deadline, self._unit.must_be_short = is_overdue, must_be_short

    def end_turn(self) -> None:
        """It is over: what the host asks afterwards has no deadline."""
        self._unit.deadline, self._unit.must_be_short = None, False

    def host_exec(
        self, query: str, bindings: Sequence[SqlValue] = (), *, is_confirmed: bool = True
    ) -> list[tuple[SqlValue, ...]]:
        """Run a statement of our own, inside the unit if it writes. Nothing is forbidden to it.

        Unless `is_confirmed`, no reply waits for what it writes.
        """
        self._is_confirmed = is_confirmed
        self._unit.check()
        try:
            return self._host.execute(query, bindings).fetchall()
        except apsw.Error as error:
            raise self._unit.explained(error) from error
        except UnicodeDecodeError as error:
            raise self._unit.damaged_by(error) from error

    def delete_all(self, *, keeps_alarm: bool = False) -> None:
        """Delete all entries, tables, views, triggers and virtual tables, and the alarm, inside the unit.

        Open cursors are cancelled. Raises UsageError inside a transaction.
        """
        self._unit.check()
        if self._unit.savepoints.depth:
            raise UsageError("Cannot call deleteAll() within a transaction: call it before, or after")
        self._sql.cancel()
        if self._connection.status(apsw.SQLITE_DBSTATUS_DEFERRED_FKS)[0]:
            self._unit.rollback()  # The violated constraint would be counted although its tables are gone.
        self._unit.open()
        try:
            delete_content(self._connection)
        except apsw.Error as error:
            raise self._unit.explained(error) from error
        if not keeps_alarm:
            self.alarm.delete()
        self._has_deleted_all = True

    @property
    def has_deleted_all(self) -> bool:
        """Whether `delete_all` was called in the unit that is open, for `take_deleted_all`."""
        return self._has_deleted_all

    def take_deleted_all(self) -> bool:
        """Whether `delete_all` was called since this was asked last: then facets go too. Undone by `rollback`."""
        had, self._has_deleted_all = self._has_deleted_all, False
        return had

    def _before_host_statement(self, cursor: apsw.Cursor, _query: str, _bindings: apsw.Bindings | None) -> bool:
        if not cursor.is_readonly:
            self._unit.open(is_confirmed=self._is_confirmed)
        return True

    # ── the unit ─────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def in_unit(self) -> bool:
        """Whether something was written since the last commit."""
        return self._unit.is_open

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open that may outlive the turn: until it ends, nothing is committed."""
        return self._unit.savepoints.is_explicit

    def begin(self, *, is_sync: bool) -> int:
        """Open a transaction inside the unit, or inside another one; its number, for `release` or `roll_back`.

        `is_sync`: it must end within its turn, else the turn's end breaks the database. Raises UsageError when too
        many are open.
        """
        self._unit.check()
        self._sql.settle_writers()
        return self._unit.begin(is_sync=is_sync)

    def release(self, number: int) -> None:
        """The transaction ended well. Raises UsageError unless it is the innermost one that is open."""
        if self._unit.failure is not None:
            raise StorageFailedError(
                f"Cannot commit transaction due to an earlier SQL critical error: {self._unit.failure}"
            ) from self._unit.failure
        self._sql.settle_writers()
        self._unit.release(number)

    def roll_back(self, number: int) -> None:
        """Undo what a transaction wrote, and end it. Raises UsageError unless it is the innermost."""
        self._unit.check()
        self._sql.settle_writers()
        self._unit.roll_back(number)

    @property
    def rows_read(self) -> int:
        """Rows that `kv_…` and `sql_…` have read since it was opened."""
        return self._unit.rows_read

    @property
    def rows_written(self) -> int:
        """Rows that `kv_…` and `sql_…` have written since it was opened."""
        return self._unit.rows_written

    @property
    def limits(self) -> StorageLimits:
        """How large what SQL and kv handle may be; those of sandboxed code unless it is set."""
        return self._sql.limits

    @limits.setter
    def limits(self, limits: StorageLimits) -> None:
        if limits == self._sql.limits:
            return
        apply(limits, self._connection)
        self._sql.limits = limits
        self._kv.entry_bytes_max = effective(limits)["kv_entry_bytes"]
        self._row_bound.size = effective(limits)["row_bytes"]

    @property
    def quota(self) -> PageQuota | None:
        """What bounds its size, beside `DATABASE_BYTES_MAX`."""
        return self._unit.quota

    @quota.setter
    def quota(self, quota: PageQuota | None) -> None:
        self._unit.quota = quota

    @property
    def is_broken(self) -> bool:
        """Whether disk, file or a violated constraint broke it: then the file may hold what it should not."""
        return isinstance(self._unit.failure, StorageFailedError | DamagedDataError)

    @property
    def deadline(self) -> Callable[[], bool] | None:
        """Asked while SQL runs; once it says True the statement is interrupted with SqlInterruptedError.

        Nothing but `rollback` is possible then.
        """
        return self._unit.deadline

    @deadline.setter
    def deadline(self, deadline: Callable[[], bool] | None) -> None:
        self._unit.deadline = deadline

    def commit(self) -> Captured | None:
        """End the turn, also one that only read: the pages it changed, or None. Cursors still open are buffered.

        While a transaction is open that may outlive the turn, nothing is committed. Raises StorageFailedError, and
        breaks the database, when a deferred constraint is violated or the disk fails, and ObjectResetError when a
        transaction is open that had to end before.
        """
        self._unit.check()
        self._sql.settle()
        self._unit.check()
        savepoints = self._unit.savepoints
        if savepoints.left_open is not None:
            raise self._unit.break_(
                ObjectResetError(
                    "transaction_sync() was still open when its turn ended, and the object was reset: await nothing "
                    "inside it, or use `async with storage.transaction()`"
                )
            )
        if not self._unit.is_open or savepoints.is_explicit:
            return None
        alarm = self.alarm.change_or_none()
        is_confirmed = self._unit.commit()
        self.alarm.settled()
        try:
            captured = self._tail.read_or_none()
        except StorageFailedError as error:
            raise self._unit.break_(error) from error
        return None if captured is None else captured._replace(alarm=alarm, is_confirmed=is_confirmed)

    def rollback(self) -> None:
        """Undo what the turn wrote, and close its cursors."""
        self._sql.discard()
        self._unit.rollback()
        self.alarm.settled()
        self._has_deleted_all = False

    def host_turn(
        self,
        work: Callable[[Database], Result],
        *,
        deadline: Callable[[], bool],
        may_write: bool,
        is_unbounded: bool = False,
    ) -> tuple[Result, Captured | None]:
        """A turn of the host's between two of the object's: its result, and the pages it changed.

        What `work` wrote is committed when it returns and undone when it raises. It may read the guest's SQL and change
        no setting of the connection; unless it `may_write`, what writes is refused with SqlError. No quota holds for it
        if it `is_unbounded`: what the host keeps of a full object must find room.
        """
        assert not self.in_unit, "a turn of the host begins between two units"
        unit, before, quota = self._unit, self._unit.deadline, self._unit.quota
        if is_unbounded:
            unit.quota = None
        unit.deadline, unit.is_read_only, self._authorizer.keeps_settings = deadline, not may_write, True
        try:
            return work(self), self.commit()
        except BaseException:
            unit.rollback()  # Not `self.rollback`: cursors of the object's own were buffered before, and stay.
            raise
        finally:
            unit.deadline, unit.is_read_only, self._authorizer.keeps_settings = before, False, False
            unit.quota = quota

    # ── the file ─────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def database_size(self) -> int:
        """Bytes in use, free pages not counted."""
        pages, free_pages = (
            int(str(self.host_exec(f"PRAGMA {name}")[0][0])) for name in ("page_count", "freelist_count")
        )
        return (pages - free_pages) * PAGE_SIZE

    def copy_to(self, path: Path) -> None:
        """Write what is committed into a new file, page for page."""
        target = apsw.Connection(str(path))
        try:
            target.pragma("synchronous", "off")
            with target.backup("main", self._connection, "main") as backup:
                backup.step()
        finally:
            target.close()
        with path.open("r+b") as file:
            # The copy was written without a `-wal`, and says so where the original does not.
            file.seek(_FORMAT_VERSIONS_AT)
            file.write(_FORMAT_VERSIONS_OF_WAL)

    def checkpoint(self) -> None:
        """Move what the `-wal` file holds into the database, and empty it. Syncs nothing. Raises apsw.Error."""
        assert not self.in_unit, "a checkpoint moves what is committed: commit first"
        self._connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)

    def close(self) -> None:
        """Close the file; what was not committed is undone. Later calls raise ObjectResetError."""
        self.rollback()
        self._unit.break_(ObjectResetError("storage is no longer accessible: this instance of the object has ended"))
        self._tail.close()
        self._connection.close(force=True)
