"""`sql.exec` and its cursors (spec 3.7).

A query may hold several statements: all run, the last one takes the bindings and gives the rows. Rows leave in pages.
A cursor that is not read to its end holds a statement open, so at the end of its turn what is left of it is read into
a bounded buffer.

What is counted is close to what SQLite did, not equal: `rows_read` is the larger of the rows given and the rows passed
in full scans (SQLite counts no steps along an index), known when the statement has ended. `rows_written` counts rows
inserted, updated and deleted, those of triggers, foreign key actions and tables behind virtual tables included, index
entries not. Effects: disk.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import chain, islice, repeat
from sys import getsizeof
from typing import Final, TypeVar

import apsw

from perdure.errors import PerdureError, SqlError
from perdure.limits import (
    SQL_CURSOR_BUFFER_BYTES_MAX,
    SQL_DEADLINE_STEPS,
    SQL_DRAIN_STEPS_MAX,
    SQL_OPEN_CURSORS_MAX,
    SQL_PAGE_BYTES,
    SQL_PAGE_ROWS,
    SQL_ROW_COLUMNS_SURELY_FIT,
    SQL_STATEMENT_HEAP_BYTES_MAX,
)
from perdure.storage._authorizer import Authorizer
from perdure.storage._heap import GUEST_HEAP
from perdure.storage._storage_limits import SANDBOXED, StorageLimits, advice, effective, hint_for
from perdure.storage._text import utf8_size, well_formed
from perdure.storage._unit import Unit
from perdure.wire import SqlPage, SqlValue

Row = tuple[SqlValue, ...]
Result = TypeVar("Result")

_METER: Final = object()  # names our trace callback among those a connection may have
_CHARACTER_BYTES_MAX: Final = 4
_INTEGERS: Final = range(-(2**63), 2**63)

# A cached statement keeps the columns it had, and `SELECT *` after ALTER TABLE has others. A pragma takes effect, and
# asks the authorizer, while it is prepared.
_NEVER_CACHED: Final = re.compile("pragma|alter|drop", re.IGNORECASE)

# Statements of guests are cached apart from the host's: the same text, prepared by the host, was never authorized.
_GUEST_STATEMENT: Final = apsw.SQLITE_PREPARE_PERSISTENT


class Sql:
    """The SQL side of one database, for guests."""

    __slots__ = ("_authorizer", "_connection", "_cursor_id_last", "_cursors", "_unit", "limits")

    def __init__(self, connection: apsw.Connection, unit: Unit, authorizer: Authorizer) -> None:
        self._connection = connection
        self._unit = unit
        self._authorizer = authorizer
        self._cursors: dict[int, _Execution] = {}
        self._cursor_id_last = 0
        self.limits = SANDBOXED

    def exec(self, query: str, bindings: Sequence[SqlValue]) -> SqlPage:
        """Run `query`; the first page of its last statement's rows. Raises SqlError."""
        self._unit.check()
        query, bindings = _checked(query, bindings, self.limits)
        execution = _Execution(self._connection, self._unit, self._authorizer, query)
        rows = self._as_guest(execution, lambda: execution.start(bindings))
        cursor_id = 0 if execution.is_done else self._keep(execution)
        return execution.page(rows, cursor_id)

    def next(self, cursor_id: int) -> SqlPage:
        """The following page."""
        self._unit.check()
        execution = self._cursors.get(cursor_id)
        if execution is None:
            raise SqlError(
                f"cursor {cursor_id} is closed: it ends with its rows, with an error or a rollback, and when "
                f"{SQL_OPEN_CURSORS_MAX} newer ones are open; read it sooner, or use LIMIT",
                sqlite_code="SQLITE_ABORT",
            )
        try:
            rows = execution.take_buffered() if execution.is_buffered else self._as_guest(execution, execution.take)
        except PerdureError:
            if not execution.is_buffered:  # Else it says the same whenever it is asked.
                del self._cursors[cursor_id]
            raise
        if execution.is_done:
            del self._cursors[cursor_id]
        return execution.page(rows, 0 if execution.is_done else cursor_id)

    def close(self, cursor_id: int) -> None:
        """Forget a cursor; an unknown one is forgotten already."""
        execution = self._cursors.pop(cursor_id, None)
        if execution is not None:
            execution.close()

    def settle_writers(self) -> None:
        """Close what would stand in the way of a savepoint: statements that wrote, and have rows left."""
        if any(execution.writes for execution in self._cursors.values()):
            self.settle()

    def settle(self) -> None:
        """The end of the turn: no statement stays open, what is left of them is buffered within limits."""
        if not self._cursors:
            return
        unit = self._unit
        deadline = unit.deadline
        room = SQL_CURSOR_BUFFER_BYTES_MAX - sum(cursor.buffer_bytes for cursor in self._cursors.values())
        steps_are_over = partial(next, repeat(False, SQL_DRAIN_STEPS_MAX // SQL_DEADLINE_STEPS), True)  # noqa: FBT003
        try:
            for execution in self._cursors.values():
                if not execution.is_buffered:
                    # Interrupting a statement that wrote would undo what it wrote; its rows are ready anyway.
                    unit.deadline = None if execution.writes else steps_are_over
                    self._drain(execution, room)
                    room -= execution.buffer_bytes
        finally:
            unit.deadline = deadline

    def cancel(self) -> None:
        """What the open cursors read is deleted: whoever reads on gets an error."""
        for execution in self._cursors.values():
            execution.cancel()

    def discard(self) -> None:
        """Close all cursors: what they read is undone or gone."""
        for execution in self._cursors.values():
            execution.close()
        self._cursors.clear()

    def _keep(self, execution: _Execution) -> int:
        if len(self._cursors) >= SQL_OPEN_CURSORS_MAX:
            self.close(next(iter(self._cursors)))
        self._cursor_id_last += 1
        self._cursors[self._cursor_id_last] = execution
        return self._cursor_id_last

    def _drain(self, execution: _Execution, room: int) -> None:
        try:
            self._in_guest_mode(execution, lambda: execution.drain(room))
        except apsw.InterruptError:
            execution.fail(_unread_error(f"took more than {SQL_DRAIN_STEPS_MAX} steps to read to its end"))
        except apsw.Error as error:
            execution.fail(self._unit.explained(error))
        except UnicodeDecodeError as error:
            execution.fail(_not_text_error(error))

    def _as_guest(self, execution: _Execution, act: Callable[[], Result]) -> Result:
        """Run a step of a guest's statement. The errors of apsw become ours, and end the cursor."""
        try:
            return self._in_guest_mode(execution, act)
        except (apsw.Error, UnicodeDecodeError) as error:
            raise self._explained(error, execution) from error

    def _in_guest_mode(self, execution: _Execution, act: Callable[[], Result]) -> Result:
        self._authorizer.enter_guest(execution.query)
        self._connection.trace_v2(apsw.SQLITE_TRACE_PROFILE, execution.count_scanned, id=_METER)
        try:
            with GUEST_HEAP:
                return act()
        except BaseException:
            execution.close()
            raise
        finally:
            self._connection.trace_v2(0, None, id=_METER)
            self._authorizer.leave_guest()

    def _explained(self, error: apsw.Error | UnicodeDecodeError, execution: _Execution) -> PerdureError:
        match error:
            case UnicodeDecodeError():
                return _not_text_error(error)
            case apsw.SQLError() if str(error).startswith("cannot VACUUM"):
                return SqlError("not authorized: SQLITE_AUTH (`VACUUM` is the host's work)", sqlite_code="SQLITE_AUTH")
            case apsw.NoMemError() if self._connection.in_transaction is self._unit.is_open:
                return _too_complex_error(self.limits)
            case _:
                hint = self._authorizer.refusal or hint_for(str(error), self.limits)
                return self._unit.explained(error, offset=execution.offset, hint=hint)


class _Execution:
    """One call of `exec`: its statements while they run, the rows of the last one while they are read."""

    __slots__ = (
        "_authorizer",
        "_buffer",
        "_changes_before",
        "_columns",
        "_connection",
        "_consumed",
        "_cursor",
        "_error",
        "_is_last",
        "_rows",
        "_rows_given",
        "_rows_scanned",
        "_rows_written",
        "_statement_start",
        "_told",
        "_unit",
        "buffer_bytes",
        "is_buffered",
        "is_done",
        "query",
        "writes",
    )

    def __init__(self, connection: apsw.Connection, unit: Unit, authorizer: Authorizer, query: str) -> None:
        self._connection = connection
        self._unit = unit
        self._authorizer = authorizer
        self.query = query
        self.buffer_bytes = 0
        self.is_buffered = False
        self.is_done = False
        self.writes = False
        self._buffer: deque[Row] = deque()
        self._changes_before = connection.total_changes()
        self._columns: tuple[str, ...] = ()
        self._consumed = 0
        self._cursor = connection.cursor()
        self._cursor.exec_trace = self._before_statement
        self._error: PerdureError | None = None
        self._is_last = False
        self._rows: Iterator[Row] = self._cursor
        self._rows_given = 0
        self._rows_scanned = 0
        self._rows_written = 0
        self._statement_start = 0
        self._told = (0, 0)

    @property
    def offset(self) -> int:
        """Bytes of the query before the statement that failed: the last one, or the one that was to be prepared."""
        return utf8_size(self.query[: self._statement_start if self._is_last else self._consumed])

    # ── while statements run ─────────────────────────────────────────────────────────────────────────────────

    def start(self, bindings: Sequence[SqlValue]) -> list[Row]:
        """Run all statements, the last one up to its first page."""
        can_cache = not self._authorizer.has_changed_meanings and not _NEVER_CACHED.search(self.query)
        row: Row | None = None
        try:
            self._cursor.execute(self.query, bindings, can_cache=can_cache, prepare_flags=_GUEST_STATEMENT)
            while not self._is_last:
                row = next(self._cursor, None)  # Dropped, unless the step led into the last statement.
                assert row is not None or self._is_last, "apsw ran less than the query has"
        except apsw.BindingsError as error:
            raise self._bindings_error(len(bindings)) from error
        if row is not None:
            self._rows = chain([row], self._cursor)
        rows = self.take()
        self._rows_written = self._connection.total_changes() - self._changes_before
        return rows

    def _before_statement(self, cursor: apsw.Cursor, text: str, bindings: apsw.Bindings | None) -> bool:
        """Called by apsw when a statement is prepared and has not begun."""
        if not cursor.has_vdbe:
            raise SqlError("SQL code did not contain a statement: nothing, or only a comment, follows the last `;`")
        self._statement_start = self._consumed
        self._consumed += len(text)
        self._is_last = self._consumed >= len(self.query)
        if not self._is_last and cursor.bindings_count:
            raise _bindings_before_last_error()
        if self._is_last:
            self._columns = tuple(name for name, _ in cursor.get_description())
            if len(self._columns) > SQL_ROW_COLUMNS_SURELY_FIT:
                _check_row_of_bindings(len(self._columns), bindings)
        if self._authorizer.has_full_text:
            self._unit.check_may_take_long()
        self.writes = not cursor.is_readonly
        if self.writes or self._authorizer.needs_unit:
            self._authorizer.leave_guest()
            self._unit.open()
            self._authorizer.enter_guest(self.query)
        return True

    def count_scanned(self, event: dict[str, object]) -> None:
        """SQLite's counters of a statement that ended. A full scan takes one step less than it has rows."""
        counters = event["stmt_status"]
        assert isinstance(counters, dict), "apsw reports counters by name"
        steps = int(counters["SQLITE_STMTSTATUS_FULLSCAN_STEP"])
        if steps:
            self._rows_scanned += steps + 1

    def _bindings_error(self, given: int) -> SqlError:
        """The error for a number of bindings that does not fit the statement apsw stopped at."""
        if _has_further_statement(self.query[self._consumed :]):
            return _bindings_before_last_error()
        return SqlError(
            f"Wrong number of parameter bindings for SQL query: it has {self._cursor.bindings_count}, "
            f"{given} were given",
            sqlite_code="SQLITE_RANGE",
        )

    # ── while rows are read ──────────────────────────────────────────────────────────────────────────────────

    def take(self) -> list[Row]:
        """Rows up to a page, from SQLite."""
        rows: list[Row] = []
        size = 0
        for row in self._rows:
            rows.append(row)
            size += sum(map(getsizeof, row))
            if len(rows) >= SQL_PAGE_ROWS or size >= SQL_PAGE_BYTES:
                return rows
        self.is_done = True
        self.close()
        return rows

    def take_buffered(self) -> list[Row]:
        """Rows up to a page, from the buffer. Raises what made an end of the buffering."""
        rows = [self._buffer.popleft() for _ in range(min(SQL_PAGE_ROWS, len(self._buffer)))]
        if not rows and self._error is not None:
            raise self._error.with_traceback(None)
        self.is_done = not self._buffer and self._error is None
        return rows

    def drain(self, room: int) -> None:
        """Read all rows into the buffer, or as many as `room` bytes hold."""
        self.is_buffered = True
        for row in self._rows:
            self.buffer_bytes += sum(map(getsizeof, row))
            if self.buffer_bytes > room:
                self.fail(_unread_error(f"had more than {SQL_CURSOR_BUFFER_BYTES_MAX} bytes left"))
                return
            self._buffer.append(row)
        self.close()

    def cancel(self) -> None:
        """Give no more rows: what they were read from is deleted."""
        self._buffer.clear()
        self.is_buffered = True
        self.fail(SqlError("query was canceled because the database was deleted", sqlite_code="SQLITE_ABORT"))

    def fail(self, error: PerdureError) -> None:
        """End the rows here; who reads on gets `error`."""
        self._error = error
        self.close()

    def page(self, rows: list[Row], cursor_id: int) -> SqlPage:
        self._rows_given += len(rows)
        rows_read = max(self._rows_given, self._rows_scanned)
        self._unit.rows_read += rows_read - self._told[0]
        self._unit.rows_written += self._rows_written - self._told[1]
        self._told = (rows_read, self._rows_written)
        return SqlPage(self._columns, rows, cursor_id, rows_read, self._rows_written)

    def close(self) -> None:
        """End the statement, and the cycle of references through its callback. What it wrote stays."""
        self._cursor.close(force=True)


# ── checks and messages ──────────────────────────────────────────────────────────────────────────────────────


def _checked(query: str, bindings: Sequence[SqlValue], limits: StorageLimits) -> tuple[str, Sequence[SqlValue]]:
    """Query and bindings as SQLite can take them."""
    if not query.isascii():
        query = well_formed(query)
    if utf8_size(query) > effective(limits)["text_bytes"]:
        raise SqlError(
            f"the query is {utf8_size(query)} bytes, {advice('text_bytes', limits)}: bind values with `?`",
            sqlite_code="SQLITE_TOOBIG",
        )
    if "\0" in query:
        raise SqlError("the query holds a NUL character: bind the text that has it with `?`")
    return query, [_bindable(value, place) for place, value in enumerate(bindings, 1)] if bindings else bindings


def _check_row_of_bindings(columns: int, bindings: apsw.Bindings | None) -> None:
    """Refuse a row that could repeat a long binding so often that it takes too much memory: SQLite copies none."""
    longest = max((len(value) for value in bindings or () if isinstance(value, str | bytes)), default=0)
    if columns * longest * _CHARACTER_BYTES_MAX > SQL_STATEMENT_HEAP_BYTES_MAX:
        raise SqlError(
            f"a row of {columns} columns with a binding of {longest} characters may take more than "
            f"{SQL_STATEMENT_HEAP_BYTES_MAX} bytes: select fewer columns at once",
            sqlite_code="SQLITE_TOOBIG",
        )


def _bindable(value: SqlValue, place: int) -> SqlValue:
    if type(value) is str:
        return value if value.isascii() else well_formed(value)
    if type(value) is int and value not in _INTEGERS:
        raise SqlError(
            f"binding {place} is `{value}`, SQLite's integers have 64 bits: bind str(value)",
            sqlite_code="SQLITE_MISMATCH",
        )
    return value


def _has_further_statement(text: str) -> bool:
    """Whether something follows the first statement of `text`."""
    ends = (place for place, character in enumerate(text, 1) if character == ";")
    end = next((end for end in ends if apsw.complete(text[:end])), len(text))
    return any(not character.isspace() for character in islice(text, end, None))


def _bindings_before_last_error() -> SqlError:
    return SqlError(
        "When executing multiple SQL statements in a single call, only the last statement can have parameters: "
        "call exec once for each statement that has some",
        sqlite_code="SQLITE_RANGE",
    )


def _unread_error(what: str) -> SqlError:
    return SqlError(
        f"this cursor was still open when its turn ended, and {what}: read it before the next await",
        sqlite_code="SQLITE_ABORT",
    )


def _too_complex_error(limits: StorageLimits) -> SqlError:
    steps = effective(limits)["program_steps"]
    return SqlError(
        f"the statement needs too much memory: SQLITE_NOMEM; it may have {steps} steps when compiled, "
        f"and take {SQL_STATEMENT_HEAP_BYTES_MAX} bytes: nest less, split it, or handle smaller values",
        sqlite_code="SQLITE_NOMEM",
    )


def _not_text_error(error: UnicodeDecodeError) -> SqlError:
    return SqlError(
        f"the result holds text that is not UTF-8 (`{error.object[:16].hex()}`…): select CAST(column AS BLOB)",
        sqlite_code="SQLITE_MISMATCH",
    )
