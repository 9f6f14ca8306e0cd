"""The one door back: answers what a guest's object asks of its own database.

Runs on whichever thread runs the guest, which owns the actor's connection for the turn. Everything that comes in was
written by a guest. Effects: disk.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from perdure.api import facet_name
from perdure.errors import (
    AlarmError,
    GuestCrashedError,
    KvError,
    LimitExceededError,
    PerdureError,
    QuotaExceededError,
    SqlError,
    SqlInterruptedError,
)
from perdure.isolates import InlineOverrunError
from perdure.limits import ALARM_MS_MAX, FACET_LIST_PAGE_NAMES, KV_BATCH_KEYS_MAX, SQL_VARIABLES_MAX
from perdure.objects._actor import Actor
from perdure.objects._alarm_rules import set_alarm
from perdure.wire import HostOp, KvRange, SqlPage, SqlValue, read_json
from perdure.workers import CheckedCode, ExportCalls, GuestLoaders, WorkerHost

if TYPE_CHECKING:
    from perdure.storage import Database

_OPTIONS_MAX: Final = 100
_BINDING_VALUES_MAX: Final = 3 * SQL_VARIABLES_MAX  # a cell with a tag counts three times
_BATCH_VALUES_MAX: Final = 2 * KV_BATCH_KEYS_MAX + 10
_SAFE: Final = 2**53 - 1
_INTEGER: Final = re.compile(r"-?[0-9]{1,19}")
_COMPACT: Final = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode


class ObjectHost(WorkerHost):
    """Answers the host calls of the isolate that runs one object."""

    def __init__(
        self,
        code: CheckedCode,
        actor: Actor,
        *,
        language: str,
        facet_names: Callable[[str, int], list[str]],
        check_facet_change: Callable[[str], None],
        tell: Callable[..., object],
        exports: ExportCalls,
        loaders: GuestLoaders,
    ) -> None:
        super().__init__(code, label=actor.label, clock=actor.clock, exports=exports, loaders=loaders)
        self.request_id = 0
        self._actor = actor
        self._facet_names = facet_names
        self._check_facet_change = check_facet_change
        self._tell = tell
        self._exact_integers = language == "python"
        self._answers.update(
            {
                HostOp.KV_GET: self._kv_get,
                HostOp.KV_PUT: self._kv_put,
                HostOp.KV_DELETE: self._kv_delete,
                HostOp.KV_GET_MANY: self._kv_get_many,
                HostOp.KV_LIST: self._kv_list,
                HostOp.KV_WRITE: self._kv_write,
                HostOp.SQL_EXEC: self._sql_exec,
                HostOp.SQL_NEXT: self._sql_next,
                HostOp.SQL_CLOSE: self._sql_close,
                HostOp.SAVEPOINT: self._savepoint,
                HostOp.DELETE_ALL: self._delete_all,
                HostOp.DATABASE_SIZE: lambda key, payload: str(self._database.database_size),
                HostOp.ALARM_GET: self._alarm_get,
                HostOp.ALARM_SET: self._alarm_set,
                HostOp.FACET_LIST: self._facet_list,
                HostOp.FACET_CHANGE: self._facet_change,
            }
        )

    def host_call(self, op: int, key: str, payload: str) -> str:
        """The reply to one host call; a statement that was stopped ends the isolate."""
        try:
            return super().host_call(op, key, payload)
        except SqlInterruptedError as error:
            if error.limit == "loop":
                raise InlineOverrunError(f"{error}: it is repeated on a thread") from None
            prefix = "the guest ran out of CPU time inside a SQL statement: " if error.limit == "cpu" else ""
            raise LimitExceededError(f"{prefix}{error}", limit=error.limit) from None
        except (ValueError, RecursionError) as error:  # The guest's half of the API writes none of these.
            raise GuestCrashedError(f"the guest's runtime made a malformed host call ({op}): {error}") from None

    def heard(self, level: str, line: str) -> None:
        """A line of the guest's log, as it was logged."""
        if self._actor.voice.is_heard:
            self._tell("log", request_id=self.request_id, level=level, text=line)

    def refused(self, error: PerdureError) -> None:
        """The guest is told that it cannot have something: it may go on."""
        if isinstance(error, QuotaExceededError) and self._actor.voice.is_heard:
            self._tell(
                "limit",
                request_id=self.request_id,
                limit=error.quota,
                text=str(error),
                type_name=type(error).__name__,
            )

    def _facet_list(self, start_after: str, limit: str) -> str:
        return _COMPACT(self._facet_names(start_after, min(int(limit), FACET_LIST_PAGE_NAMES)))

    def _facet_change(self, _: str, name: str) -> str:
        self._check_facet_change(facet_name(read_json(name)))
        return ""

    @property
    def _database(self) -> Database:
        return self._actor.database

    def _kv_get(self, key: str, _: str) -> str:
        return self._actor.database.kv_get(key) or ""

    def _kv_put(self, key: str, payload: str) -> str:
        self._actor.database.kv_put(key, payload)
        return ""

    def _kv_delete(self, key: str, _: str) -> str:
        return "1" if self._database.kv_delete(key) else ""

    def _kv_list(self, _: str, payload: str) -> str:
        return _entries(self._database.kv_list(_range(payload)))

    def _kv_get_many(self, _: str, payload: str) -> str:
        keys = sorted(set(_texts(read_json(payload, values_max=_BATCH_VALUES_MAX))))
        page, asked = self._database.kv_get_many(keys)
        return f'{{"r":{_entries(page)},"m":{_COMPACT(keys[asked:])}}}'

    def _kv_write(self, _: str, payload: str) -> str:
        match read_json(payload, values_max=_BATCH_VALUES_MAX):
            case {**batch}:
                puts, deletes = _texts(batch.get("p", [])), _texts(batch.get("d", []))
                pairs = list(zip(puts[::2], puts[1::2], strict=True))
                return str(self._database.kv_write(pairs, deletes, is_confirmed=batch.get("u") != 1))
            case _:
                raise ValueError("a batch is an object")

    def _savepoint(self, action: str, payload: str) -> str:
        match action:
            case "begin":
                return str(self._database.begin(is_sync=payload != "async"))
            case "release":
                self._database.release(_cursor_id(payload))
            case "rollback":
                self._database.roll_back(_cursor_id(payload))
            case _:
                raise ValueError("a savepoint is begun, released or rolled back")
        return ""

    def _delete_all(self, option: str, _: str) -> str:
        self._actor.check_may_delete_all()
        self._database.delete_all(keeps_alarm=option == "keep alarm")
        return ""

    def _sql_exec(self, query: str, payload: str) -> str:
        page = self._database.sql_exec(query, _bindings(payload))
        return self._page(page, names=True)

    def _sql_next(self, cursor: str, _: str) -> str:
        return self._page(self._database.sql_next(_cursor_id(cursor)), names=False)

    def _sql_close(self, cursor: str, _: str) -> str:
        self._database.sql_close(_cursor_id(cursor))
        return ""

    def _alarm_get(self, _key: str, _payload: str) -> str:
        at_ms = self._database.alarm.get()
        return "" if at_ms is None else str(at_ms)

    def _alarm_set(self, option: str, payload: str) -> str:
        set_alarm(self._actor, _alarm_time(payload) if payload else None, is_confirmed=option != "unconfirmed")
        return ""

    def _page(self, page: SqlPage, *, names: bool) -> str:
        tree: dict[str, object] = {"n": page.columns} if names else {}
        tree["r"] = [[self._cell(value) for value in row] for row in page.rows]
        tree["c"] = page.cursor_id
        tree["i"] = [page.rows_read, page.rows_written]
        return _COMPACT(tree)

    def _cell(self, value: SqlValue) -> object:
        if isinstance(value, bytes):
            return ["b", base64.b64encode(value).decode("ascii")]
        if isinstance(value, int) and not self._exact_integers and not -_SAFE <= value <= _SAFE:
            return ["i", str(value)]
        if isinstance(value, float) and not math.isfinite(value):
            return ["inf" if value > 0 else "-inf"]
        return value


def _entries(rows: Sequence[tuple[str, str]]) -> str:
    return "[" + ",".join(f"[{json.dumps(key)},{value}]" for key, value in rows) + "]"


def _texts(tree: object) -> list[str]:
    if not isinstance(tree, list) or not all(isinstance(text, str) for text in tree):
        raise ValueError("a list of texts was expected")
    return tree


def _range(payload: str) -> KvRange:
    tree = read_json(payload or "{}", values_max=_OPTIONS_MAX)
    if not isinstance(tree, dict):
        raise KvError("kv.list() takes options: start, start_after, end, prefix, reverse, limit")
    texts: dict[str, str | None] = {}
    for name in ("start", "start_after", "end", "prefix"):
        text = tree.get(name)
        if text is not None and not isinstance(text, str):
            raise KvError(f"kv.list(): {name} is a string")
        texts[name] = text
    limit = tree.get("limit")
    if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int) or limit <= 0):
        raise KvError(f"List limit must be positive, not `{limit}`")
    return KvRange(**texts, reverse=tree.get("reverse") is True, limit=limit)


def _bindings(payload: str) -> Sequence[SqlValue]:
    cells = read_json(payload or "[]", values_max=_BINDING_VALUES_MAX)
    if not isinstance(cells, list):
        raise SqlError("bindings are a list", sqlite_code="SQLITE_MISUSE")
    return [_binding(cell) for cell in cells]


def _binding(cell: object) -> SqlValue:
    match cell:
        case None | bool() | int() | float() | str():
            return int(cell) if isinstance(cell, bool) else cell
        case ["b", str(text)]:
            try:
                return base64.b64decode(text, validate=True)
            except binascii.Error as error:
                raise SqlError(f"a blob is no base64: {error}", sqlite_code="SQLITE_MISMATCH") from None
        case ["i", str(digits)] if _INTEGER.fullmatch(digits):
            return int(digits)
        case ["inf"]:
            return math.inf
        case ["-inf"]:
            return -math.inf
        case _:
            raise SqlError("a binding is null, a number, a string, bytes or a boolean", sqlite_code="SQLITE_MISMATCH")


def _alarm_time(payload: str) -> int:
    if not payload.isdecimal() or len(payload) > len(str(ALARM_MS_MAX)) or not 0 < int(payload) <= ALARM_MS_MAX:
        raise AlarmError(f"an alarm's time is a number of milliseconds up to {ALARM_MS_MAX}, not `{payload[:20]}`")
    return int(payload)


def _cursor_id(text: str) -> int:
    if not text.isdecimal() or len(text) > 15:
        raise SqlError("no such cursor", sqlite_code="SQLITE_MISUSE")
    return int(text)
