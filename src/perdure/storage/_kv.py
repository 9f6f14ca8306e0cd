"""Values by key, in the table `_cf_KV` of the object's database (spec 3.2, 3.3).

A value is the text of an expression, which this room does not read. Keys are in the order of their UTF-8 bytes, which
is the order of their code points, which is how Python compares strings. Effects: disk.
"""

from __future__ import annotations

import builtins
from collections.abc import Iterable, Sequence
from typing import Final, cast

import apsw

from perdure.errors import KvError, QuotaExceededError
from perdure.limits import KV_ENTRY_BYTES_MAX, KV_LIST_PAGE_BYTES, KV_LIST_PAGE_ROWS
from perdure.storage._text import utf8_size, well_formed
from perdure.storage._unit import Unit
from perdure.wire import KvRange

_GET: Final = "SELECT value FROM _cf_KV WHERE key = ?"
_PUT: Final = "INSERT INTO _cf_KV VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value"
# Written as a query, SQLite can undo the statement alone when it finds no page left; else it undoes the whole unit.
_PUT_UNDER_QUOTA: Final = "INSERT INTO _cf_KV SELECT ?, ? WHERE true ON CONFLICT DO UPDATE SET value = excluded.value"
_DELETE: Final = "DELETE FROM _cf_KV WHERE key = ?"

_CHARACTER_BYTES_MAX: Final = 4
_LAST_CHARACTER: Final = "\U0010ffff"
_LAST_BEFORE_SURROGATES: Final = "\ud7ff"
_FIRST_AFTER_SURROGATES: Final = "\ue000"


class Kv:
    """The key-value side of one database."""

    __slots__ = ("_connection", "_execute", "_unit", "entry_bytes_max")

    def __init__(self, connection: apsw.Connection, unit: Unit) -> None:
        self._connection = connection
        self._unit = unit
        self.entry_bytes_max = KV_ENTRY_BYTES_MAX
        # One cursor for all: what it finds is read at once, and a new one for each call costs as much as the search.
        self._execute = connection.cursor().execute

    def get(self, key: str) -> str | None:
        """The value of `key`, or None."""
        unit = self._unit
        if unit.failure is not None:
            unit.check()
        try:
            value = self._execute(_GET, (key,)).get
        except apsw.Error as error:
            raise unit.explained(error) from error
        except UnicodeDecodeError as error:
            raise unit.damaged_by(error) from error
        except UnicodeEncodeError:
            return self.get(well_formed(key))
        unit.rows_read += 1
        if value is None or type(value) is str:
            return value
        raise unit.damaged_by(f"the value of `{key[:32]}` is no text")

    def put(self, key: str, value: str) -> None:
        """Store `value`. Raises KvError when the key is empty or both are too big."""
        unit = self._unit
        if unit.failure is not None:
            unit.check()
        if not key or (len(key) + len(value)) * _CHARACTER_BYTES_MAX > self.entry_bytes_max:
            _check_entry(key, value, self.entry_bytes_max)
        if not unit.savepoints.is_confirmed:
            unit.open()
        try:
            self._execute(_PUT if unit.quota is None else _PUT_UNDER_QUOTA, (key, value))
            unit.rows_written += 1
        except apsw.Error as error:
            raise unit.explained(error) from error
        except UnicodeEncodeError:
            self.put(well_formed(key), well_formed(value))

    def delete(self, key: str) -> bool:
        """Forget `key`; True if there was one."""
        unit = self._unit
        unit.check()
        unit.open()
        try:
            self._execute(_DELETE, (key,))
        except apsw.Error as error:
            raise unit.explained(error) from error
        except UnicodeEncodeError:
            return self.delete(well_formed(key))
        changed = self._connection.changes()
        unit.rows_written += changed
        return changed > 0

    def get_many(self, keys: Sequence[str]) -> tuple[builtins.list[tuple[str, str]], int]:
        """The entries of the first keys, in their order, missing ones left out; and how many keys that were.

        No more are read once the values have `KV_LIST_PAGE_BYTES`.
        """
        page: list[tuple[str, str]] = []
        size = 0
        for asked, key in enumerate(keys, 1):
            value = self.get(key)
            if value is not None:
                page.append((key, value))
                size += len(value)
                if size >= KV_LIST_PAGE_BYTES:
                    return page, asked
        return page, len(keys)

    def write(self, puts: Iterable[tuple[str, str]], deletes: Sequence[str], *, is_confirmed: bool) -> int:
        """Store and forget several entries, all or none; how many of `deletes` were there. Raises KvError."""
        unit = self._unit
        unit.check()
        puts = [(well_formed(key), well_formed(value)) for key, value in puts]
        for key, value in puts:
            _check_entry(key, value, self.entry_bytes_max)  # All before any, so that nothing is left half done.
        unit.open(is_confirmed=is_confirmed)
        if unit.quota is None:
            return self._write(puts, deletes)
        batch = unit.begin(is_sync=True)  # So that all of it is undone where no page is left for a part.
        try:
            deleted = self._write(puts, deletes)
        except QuotaExceededError:
            if unit.failure is None:
                unit.roll_back(batch)
            raise
        unit.release(batch)
        return deleted

    def _write(self, puts: Sequence[tuple[str, str]], deletes: Sequence[str]) -> int:
        unit, deleted = self._unit, 0
        try:
            if puts:
                self._connection.executemany(_PUT if unit.quota is None else _PUT_UNDER_QUOTA, puts)
            for key in deletes:
                self._execute(_DELETE, (well_formed(key),))
                deleted += self._connection.changes()
        except apsw.Error as error:
            raise unit.explained(error) from error
        unit.rows_written += len(puts) + deleted
        return deleted

    def list(self, wanted: KvRange) -> list[tuple[str, str]]:
        """The first entries of a range: at most `KV_LIST_PAGE_ROWS`, and none after `KV_LIST_PAGE_BYTES`.

        Raises KvError when the range makes no sense.
        """
        unit = self._unit
        unit.check()
        query, bindings = _range_query(wanted)
        page: list[tuple[str, str]] = []
        size = 0
        try:
            for key, value in cast("Iterable[tuple[str, str]]", self._execute(query, bindings)):
                if type(key) is not str or type(value) is not str:
                    raise unit.damaged_by("a key or value is no text")
                page.append((key, value))
                size += len(value)
                if size >= KV_LIST_PAGE_BYTES:
                    self._execute("")  # The statement ends here: one that is read half would hold up the checkpoint.
                    break
        except apsw.Error as error:
            raise unit.explained(error) from error
        except UnicodeDecodeError as error:
            raise unit.damaged_by(error) from error
        unit.rows_read += len(page)
        return page


def _check_entry(key: str, value: str, bytes_max: int) -> None:
    if not key:
        raise KvError("a key of storage.kv must not be empty")
    size = utf8_size(key) + utf8_size(value)
    if size > bytes_max:
        raise KvError(
            f"entry `{key[:32]}` is {size} bytes, key and value together may be {bytes_max}: split it over several "
            "keys, or keep it in a table of storage.sql; the platform's owner can raise `kv_entry_bytes`"
        )


def _range_query(wanted: KvRange) -> tuple[str, list[str | int]]:
    """SQL for one page of a range. The index is entered at one bound and left at the other."""
    if wanted.start is not None and wanted.start_after is not None:
        raise KvError("kv.list() got both start and startAfter: give one of them")
    if wanted.limit is not None and wanted.limit <= 0:
        raise KvError(f"List limit must be positive, not `{wanted.limit}`")
    lower, lower_bound = _lower_bound(wanted)
    conditions, bindings = [f"key {lower} ?"], [lower_bound]
    upper_bound = _upper_bound_or_none(wanted)
    if upper_bound is not None:
        conditions.append("key < ?")
        bindings.append(upper_bound)
    order = "DESC" if wanted.reverse else "ASC"
    rows = KV_LIST_PAGE_ROWS if wanted.limit is None else min(wanted.limit, KV_LIST_PAGE_ROWS)
    query = f"SELECT key, value FROM _cf_KV WHERE {' AND '.join(conditions)} ORDER BY key {order} LIMIT ?"  # noqa: S608 - only operators
    return query, [*bindings, rows]


def _lower_bound(wanted: KvRange) -> tuple[str, str]:
    """Operator and operand: the highest of the lower bounds."""
    prefix = well_formed(wanted.prefix or "")
    if wanted.start_after is not None:
        after = well_formed(wanted.start_after)
        return (">", after) if after >= prefix else (">=", prefix)
    return ">=", max(prefix, well_formed(wanted.start or ""))


def _upper_bound_or_none(wanted: KvRange) -> str | None:
    """The lowest of the upper bounds, exclusive."""
    ends = [wanted.end and well_formed(wanted.end), _end_of_prefix_or_none(well_formed(wanted.prefix or ""))]
    return min((end for end in ends if end is not None), default=None)


def _end_of_prefix_or_none(prefix: str) -> str | None:
    """The first string behind all that begin with `prefix`, None when nothing lies behind them."""
    stem = prefix.rstrip(_LAST_CHARACTER)
    if not stem:
        return None
    last = stem[-1]
    following = _FIRST_AFTER_SURROGATES if last == _LAST_BEFORE_SURROGATES else chr(ord(last) + 1)
    return stem[:-1] + following
