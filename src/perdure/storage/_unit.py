"""The implicit transaction of one turn, and what becomes of a database when SQLite fails (spec 2.3, 2.5).

The first write opens the unit, `commit` ends it; transactions of the user's code are savepoints inside. Most errors
are a statement's own affair. Three kinds are not: after a failed disk, a damaged file or a violated deferred constraint
the database is broken for good; after an interrupted statement, or one that overstepped a quota, the unit may be lost,
and nothing goes on before `rollback`.
Effects: disk.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Final, Protocol

import apsw

from perdure.errors import (
    DamagedDataError,
    PerdureError,
    QuotaExceededError,
    SqlError,
    SqlInterruptedError,
    StorageFailedError,
)
from perdure.limits import DATABASE_BYTES_MAX, SQL_TEMPORARY_FREE_BYTES_MIN, SQL_TEMPORARY_LOOKS, UNIT_BYTES_LIKELY_MAX
from perdure.storage._savepoints import Savepoints
from perdure.storage._template import PAGE_SIZE
from perdure.storage._temporary_space import free_temporary_bytes, temporary_directory

_DISK_FAILED: Final = frozenset(
    {
        apsw.SQLITE_CANTOPEN,
        apsw.SQLITE_FULL,
        apsw.SQLITE_IOERR,
        apsw.SQLITE_NOMEM,
        apsw.SQLITE_PROTOCOL,
        apsw.SQLITE_READONLY,
    }
)
_UNIT_LOST: Final = SqlInterruptedError, QuotaExceededError
_FILE_DAMAGED: Final = frozenset({apsw.SQLITE_CORRUPT, apsw.SQLITE_NOTADB})


class PageQuota(Protocol):
    """How many pages a database may have. Asked on whichever thread uses it."""

    def pages_max(self) -> int:
        """The bound for a unit that begins now."""
        ...

    def claim(self, pages: int) -> None:
        """A unit that leaves this many pages is about to be committed. Raises QuotaExceededError."""
        ...

    def exceeded(self) -> QuotaExceededError:
        """The error for a statement that found no page left."""
        ...


class Unit:
    """Open from the first write to the end of the turn.

    `deadline` is asked while statements run; when it says True the statement is interrupted. What runs under a
    deadline is also interrupted when temporary files leave too little of the disk. What no deadline reaches is refused
    while a unit `must_be_short`. `failure` is what every operation
    raises from now on, or None. While `is_read_only` it cannot be opened. The caller of `open` has called `check`.
    """

    __slots__ = (
        "_connection",
        "_free_bytes",
        "_is_disk_short",
        "_looks",
        "_pages_max",
        "_path",
        "deadline",
        "failure",
        "is_open",
        "is_read_only",
        "must_be_short",
        "quota",
        "rows_read",
        "rows_written",
        "savepoints",
    )

    def __init__(
        self, connection: apsw.Connection, *, path: Path, free_bytes: Callable[[], int] = free_temporary_bytes
    ) -> None:
        self._connection = connection
        self._free_bytes = free_bytes
        self._is_disk_short = False
        self._looks = 0
        self._pages_max = DATABASE_BYTES_MAX // PAGE_SIZE  # as SQLite has it now
        self._path = path
        self.deadline: Callable[[], bool] | None = None
        self.failure: PerdureError | None = None
        self.is_open = False
        self.is_read_only = False
        self.must_be_short = False
        self.savepoints = Savepoints()
        self.quota: PageQuota | None = None
        self.rows_read = 0
        """Rows that guests' calls have read since the database was opened; `rows_written` those they have written."""
        self.rows_written = 0

    def check(self) -> None:
        """Raises what broke the database, if something did."""
        if self.failure is not None:
            raise self.failure.with_traceback(None)

    def is_overdue(self) -> bool:
        """Whether the running statement must end: SQLite's progress handler."""
        deadline = self.deadline
        if deadline is None:
            return False
        self._looks += 1
        if self._looks % SQL_TEMPORARY_LOOKS == 0:
            self._is_disk_short = self._free_bytes() < SQL_TEMPORARY_FREE_BYTES_MIN
        return self._is_disk_short or deadline()

    def check_may_take_long(self) -> None:
        """A statement begins whose steps may be long. Raises SqlInterruptedError if it must not: the unit is lost."""
        if self.must_be_short:
            raise self.break_(
                SqlInterruptedError("SQL was interrupted: full-text search may take longer than its turn", limit="loop")
            )

    def open(self, *, is_confirmed: bool = True) -> None:
        """Begin, unless it is open already. `is_confirmed`: what is written now must hold back replies."""
        if not self.is_open:
            if self.is_read_only:
                raise SqlError("this statement writes, and only reading was asked for", sqlite_code="SQLITE_READONLY")
            try:
                self._connection.execute("BEGIN IMMEDIATE")
                self._bound(DATABASE_BYTES_MAX // PAGE_SIZE if self.quota is None else self.quota.pages_max())
            except apsw.Error as error:
                raise self.explained(error) from error
            self.is_open = True
        if is_confirmed:
            self.savepoints.is_confirmed = True

    def _bound(self, pages_max: int) -> None:
        if pages_max != self._pages_max:
            # SQLite answers with what holds now: more, while the file is larger than that.
            self._pages_max = self._connection.pragma("max_page_count", pages_max)

    def begin(self, *, is_sync: bool) -> int:
        """Open a transaction of the user's code; its number. Raises UsageError when it is nested too deeply."""
        self.open(is_confirmed=False)
        savepoint = self.savepoints.begin(is_sync=is_sync)
        try:
            self._connection.execute(f"SAVEPOINT {savepoint.name}")
        except apsw.Error as error:
            self.savepoints.release()
            raise self.explained(error) from error
        return savepoint.number

    def release(self, number: int) -> None:
        """The transaction ended well. Raises UsageError unless it is the innermost."""
        savepoint = self.savepoints.innermost(number)
        self._execute(f"RELEASE {savepoint.name}")
        self.savepoints.release()

    def roll_back(self, number: int) -> None:
        """Undo what was written in a transaction, and end it. Raises UsageError unless it is the innermost."""
        savepoint = self.savepoints.innermost(number)
        self._execute(f"ROLLBACK TO {savepoint.name}; RELEASE {savepoint.name}")
        self.savepoints.roll_back()

    def _execute(self, query: str) -> None:
        deadline, self.deadline = self.deadline, None  # It is short, and half of it must not be done.
        try:
            self._connection.execute(query)
        except apsw.Error as error:
            raise self.explained(error) from error
        finally:
            self.deadline = deadline

    def commit(self) -> bool:
        """Make what was written visible to the next connection; whether it must hold back replies.

        Any failure breaks the database, but QuotaExceededError, when a tree has become too large: roll back then.
        """
        if self.quota is not None:
            self.quota.claim(self._connection.pragma("page_count"))
        deadline, self.deadline = self.deadline, None  # A commit is not work of the turn: it ends, or it fails.
        try:
            self._connection.execute("COMMIT")
        except apsw.ConstraintError as error:
            raise self.break_(
                StorageFailedError(
                    "Durable Object was reset and rolled back to its last known good state because the application "
                    f"left the database in a state where constraints were violated: {_text(error)}"
                )
            ) from error
        except apsw.Error as error:
            raise self.break_(StorageFailedError(f"commit of `{self._path.name}` failed: {_text(error)}")) from error
        finally:
            self.deadline = deadline
        self.is_open = False
        is_confirmed = self.savepoints.is_confirmed
        self.savepoints.clear()
        return is_confirmed

    def rollback(self) -> None:
        """Undo the unit, if there is one. Ends the trouble after an interrupted statement, and no other."""
        deadline, self.deadline = self.deadline, None
        self.is_open = False
        self.savepoints.clear()
        if isinstance(self.failure, _UNIT_LOST):
            self.failure = None
        try:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
        except apsw.Error as error:
            self.break_(StorageFailedError(f"rollback of `{self._path.name}` failed: {_text(error)}"))
        finally:
            self.deadline = deadline

    def break_(self, failure: PerdureError) -> PerdureError:
        """From now on every operation raises this; returns it. What broke first stays the reason."""
        if self.failure is None or isinstance(self.failure, _UNIT_LOST):
            self.failure = failure
        return self.failure

    def damaged_by(self, reason: object) -> PerdureError:
        """The error to raise when what we wrote ourselves cannot be read back, after breaking the database."""
        return self.break_(damaged(self._path, str(reason)[:200]))

    def explained(self, error: apsw.Error, *, offset: int = 0, hint: str = "") -> PerdureError:
        """The error to raise for SQLite's, after drawing the consequences.

        `offset`: bytes of SQL text before the statement that failed. `hint`: what SQLite could not say.
        """
        code = _code(error)
        text = _text(error, offset=offset)
        if code == apsw.SQLITE_INTERRUPT:
            return self.break_(self._interruption())
        if code == apsw.SQLITE_FULL and self.quota is not None and self._is_by_quota():
            exceeded = self.quota.exceeded()
            # SQLite undoes the statement; when it had to undo the whole unit, nothing goes on before `rollback`.
            return exceeded if self._connection.in_transaction or not self.is_open else self.break_(exceeded)
        if code == apsw.SQLITE_FULL:
            return self.break_(StorageFailedError(f"{text}; {self._sizes()}"))
        if code in _DISK_FAILED:
            return self.break_(StorageFailedError(text))
        # A virtual table calls it damage when its own content contradicts itself, which SQL of a guest can bring about.
        if code in _FILE_DAMAGED and _extended_code(error) != apsw.SQLITE_CORRUPT_VTAB:
            return self.break_(damaged(self._path, text))
        if self.is_open and not self._connection.in_transaction:
            return self.break_(StorageFailedError(f"{text}; SQLite rolled back everything this turn had written"))
        return SqlError(f"{text} ({hint})" if hint else text, sqlite_code=_name(code))

    def _interruption(self) -> SqlInterruptedError:
        if not self._is_disk_short:
            return SqlInterruptedError("SQL was interrupted: it ran past the time its turn has")
        self._is_disk_short = False
        return SqlInterruptedError(
            f"SQL was interrupted: less than {SQL_TEMPORARY_FREE_BYTES_MIN} bytes are free in "
            f"`{temporary_directory()}`, where SQLite keeps what it sorts: sort less at once, or use an index",
            limit="disk",
        )

    def _is_by_quota(self) -> bool:
        """Whether it was the quota, and not the disk, that had no page left: SQLite's code is the same.

        The nearer of both is to blame; a quota that no unit reaches from here is not.
        """
        try:
            disk = os.statvfs(self._path.parent)
        except OSError:
            return False
        room_bytes = (self._pages_max - int(str(self._connection.pragma("page_count")))) * PAGE_SIZE
        return room_bytes <= UNIT_BYTES_LIKELY_MAX and room_bytes < disk.f_bavail * disk.f_frsize

    def _sizes(self) -> str:
        """What tells a full database from a full disk."""
        page_size, pages, pages_max = (
            int(str(self._connection.pragma(name))) for name in ("page_size", "page_count", "max_page_count")
        )
        return (
            f"a database may have {pages_max * page_size} bytes, this one had {pages * page_size} before: "
            "delete what is not needed, or make room on the disk"
        )


def damaged(path: Path, reason: str) -> DamagedDataError:
    """The error for a file that SQLite cannot read."""
    return DamagedDataError(
        f"database `{path}` is damaged: {reason}; keep a copy of it and of its `-wal`, then restore it from a backup"
    )


def _code(error: apsw.Error) -> int:
    """The primary result code; errors that apsw itself raises have none."""
    return getattr(error, "result", apsw.SQLITE_MISUSE)


def _extended_code(error: apsw.Error) -> int:
    return getattr(error, "extendedresult", _code(error))


def _text(error: apsw.Error, *, offset: int = 0) -> str:
    """SQLite's message, ` at offset N` when known, and the name of the code."""
    code = _code(error)
    extended = _extended_code(error)
    place = getattr(error, "error_offset", -1)
    text = f"{error} at offset {offset + place}" if place >= 0 else str(error)
    detail = "" if extended == code else f" (extended: {_name(extended)})"
    return f"{text}: {_name(code)}{detail}"


def _name(code: int) -> str:
    """`SQLITE_CONSTRAINT`, or with an extended code `SQLITE_CONSTRAINT_UNIQUE`."""
    name = apsw.mapping_result_codes.get(code) or apsw.mapping_extended_result_codes.get(code)
    return str(name or code)
