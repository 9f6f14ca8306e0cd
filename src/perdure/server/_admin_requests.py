"""What an operator may ask of a data directory, as values, and how they are read from a line of JSON.

A request is an object whose `do` names it; its other members are the fields of its class. Whoever asks owns the
machine, but what arrives is parsed as hostile all the same: sizes are bounded, unknown and missing members are refused
by name.
Effects: none.
"""

from __future__ import annotations

import json
from dataclasses import MISSING, asdict, dataclass, field, fields
from typing import Final

from perdure.errors import UsageError
from perdure.limits import (
    ADMIN_ITEMS_DEFAULT,
    ADMIN_ITEMS_MAX,
    ADMIN_REQUEST_BYTES_MAX,
    ALARM_MS_MAX,
    COMMITS_LISTED_MAX,
    SQL_VARIABLES_MAX,
)
from perdure.wire import read_json


@dataclass(frozen=True, slots=True)
class ListObjects:
    """Objects, in the order of their ids within their class. `pattern`: "", `Class`, `Class/NAME-PREFIX`."""

    pattern: str = ""
    after: str = ""
    limit: int = ADMIN_ITEMS_DEFAULT


@dataclass(frozen=True, slots=True)
class ShowTree:
    """An object and its facets, with their sizes."""

    object: str


@dataclass(frozen=True, slots=True)
class RunSql:
    """SQL in one database, as its own code could run it; only reading unless `may_write`.

    `at`: in what it was at a moment, which is a bookmark, or `@` and milliseconds since 1970; nothing is now.
    """

    object: str
    query: str
    bindings: tuple[int | float | str | None, ...] = ()
    may_write: bool = False
    limit: int = ADMIN_ITEMS_DEFAULT
    at: str = ""


@dataclass(frozen=True, slots=True)
class ListKv:
    """The key-value entries of one database."""

    object: str
    prefix: str = ""
    after: str = ""
    limit: int = ADMIN_ITEMS_DEFAULT


@dataclass(frozen=True, slots=True)
class DeleteObject:
    """An object with all its facets, or one facet with all below it. `is_confirmed`: even for good."""

    object: str
    is_confirmed: bool = False


@dataclass(frozen=True, slots=True)
class ListAlarms:
    """Pending alarms of all objects, the earliest first; or those of one object and its facets."""

    object: str = ""
    after: str = ""
    limit: int = ADMIN_ITEMS_DEFAULT


@dataclass(frozen=True, slots=True)
class CancelAlarm:
    """The alarm of one database."""

    object: str


@dataclass(frozen=True, slots=True)
class SetAlarm:
    """An alarm of one database, instead of what it had."""

    object: str
    at_ms: int


@dataclass(frozen=True, slots=True)
class ShowHistory:
    """The commits of an object until `before`, the newest first."""

    object: str
    before: str = ""
    limit: int = COMMITS_LISTED_MAX


@dataclass(frozen=True, slots=True)
class ShowDiff:
    """What became of an object between two moments."""

    object: str
    before: str
    after: str = ""


@dataclass(frozen=True, slots=True)
class RewindObject:
    """An object, or a facet with all below it, back to a moment."""

    object: str
    to: str


@dataclass(frozen=True, slots=True)
class ForkObject:
    """A new object of the same class, of what one is or was."""

    object: str
    name: str
    at: str = ""


@dataclass(frozen=True, slots=True)
class ExportObject:
    """One file of an object with its facets; `path` is absolute, on the machine of the server."""

    object: str
    path: str
    at: str = ""


@dataclass(frozen=True, slots=True)
class ImportObject:
    """A new object of an exported file."""

    path: str
    object: str


@dataclass(frozen=True, slots=True)
class CheckUp:
    """What a running server can check of its own directory."""


@dataclass(frozen=True, slots=True)
class ShowStatistics:
    """Counts of what is in memory and of what the journal holds."""


AdminRequest = (
    ListObjects
    | ShowTree
    | RunSql
    | ListKv
    | DeleteObject
    | ListAlarms
    | CancelAlarm
    | SetAlarm
    | ShowHistory
    | ShowDiff
    | RewindObject
    | ForkObject
    | ExportObject
    | ImportObject
    | CheckUp
    | ShowStatistics
)

_REQUESTS: Final[dict[str, type[AdminRequest]]] = {
    "ls": ListObjects,
    "tree": ShowTree,
    "sql": RunSql,
    "kv": ListKv,
    "delete": DeleteObject,
    "alarms": ListAlarms,
    "alarms-cancel": CancelAlarm,
    "alarms-set": SetAlarm,
    "history": ShowHistory,
    "diff": ShowDiff,
    "rewind": RewindObject,
    "fork": ForkObject,
    "export": ExportObject,
    "import": ImportObject,
    "doctor": CheckUp,
    "statistics": ShowStatistics,
}
_NAMES: Final = {kind: name for name, kind in _REQUESTS.items()}
_VALUES_MAX: Final = SQL_VARIABLES_MAX + 100


@dataclass(frozen=True, slots=True)
class Answer:
    """What comes back: items in order, and what is said of them all. Everything in it is JSON.

    `undo` in `summary` is the command, word by word, that takes back what was done.
    """

    items: list[object] = field(default_factory=list)
    summary: dict[str, object] = field(default_factory=dict)


def request_to_line(request: AdminRequest) -> bytes:
    """The line that asks for it."""
    return json.dumps({"do": _NAMES[type(request)], **asdict(request)}).encode() + b"\n"


def request_from_line(line: bytes) -> AdminRequest:
    """The request in a line, which may come from anybody. Raises UsageError that says what is wrong with it."""
    if len(line) > ADMIN_REQUEST_BYTES_MAX:
        raise UsageError(f"a request is at most {ADMIN_REQUEST_BYTES_MAX} bytes")
    try:
        tree = read_json(line.decode(), values_max=_VALUES_MAX)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"a request is one line of JSON: {str(error)[:200]}") from None
    if not isinstance(tree, dict):
        raise UsageError("a request is a JSON object")
    kind = _REQUESTS.get(tree.pop("do", None)) if isinstance(tree.get("do"), str) else None
    if kind is None:
        raise UsageError(f"`do` must be one of {', '.join(_REQUESTS)}")
    return _request(kind, tree)


def _request(kind: type[AdminRequest], tree: dict[str, object]) -> AdminRequest:
    values: dict[str, object] = {}
    for each in fields(kind):
        if each.name in tree:
            values[each.name] = _checked(each.name, str(each.type), tree.pop(each.name))
        elif each.default is MISSING:
            raise UsageError(f"`{_NAMES[kind]}` needs `{each.name}`")
    if tree:
        raise UsageError(f"`{_NAMES[kind]}` has no `{next(iter(tree))[:40]}`")
    return kind(**values)  # type: ignore[arg-type]  # each was checked against its field


def _checked(name: str, wanted: str, value: object) -> object:
    """`value`, if it is of the type that a field is declared with."""
    match wanted, value:
        case "bool", bool():
            return value
        case (("int" | "int | None"), int()) if not isinstance(value, bool):
            if name == "limit" and not 0 < value <= ADMIN_ITEMS_MAX:
                raise UsageError(f"`limit` is from 1 to {ADMIN_ITEMS_MAX}, not `{value}`")
            if name == "at_ms" and not 0 <= value <= ALARM_MS_MAX:
                raise UsageError(f"`at_ms` is from 0 to {ALARM_MS_MAX}, not `{value}`")
            return value
        case (("str" | "str | None"), str()):
            return value
        case (("str | None" | "int | None"), None):
            return None
        case _, list() if wanted.startswith("tuple"):
            if all(item is None or isinstance(item, str | int | float) for item in value):
                return tuple(int(item) if isinstance(item, bool) else item for item in value)
        case _:
            pass
    raise UsageError(f"`{name}` is no {wanted.partition('[')[0]}")
