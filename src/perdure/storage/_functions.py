"""Our own versions of the SQL functions whose work SQLite does not bound.

Nothing interrupts SQLite inside one call of a function. Most of its functions take time in proportion to what they
read, 20 ms for the longest text. These do not: `instr`, `replace`, `trim`, `ltrim`, `rtrim` and `unhex` search for one
argument in another, in minutes at worst, so here they do it in linear time; `json_patch`, `jsonb_patch` and
`json_pretty` are still SQLite's, behind a bound on what they are given.

They answer as SQLite does, except that a BLOB which is taken for text must be UTF-8, and one which is taken for JSON
must be sound. A call of `instr` costs 0.2 µs more than SQLite's own, others 0.5 to 1.5 µs, those of JSON 2 to 4 µs.
Effects: threads (one connection of its own in each, for what stays SQLite's).
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Final, cast

import apsw

from perdure.errors import SqlError
from perdure.limits import SQL_JSON_PATCH_WORK_MAX, SQL_ROW_BYTES_MAX
from perdure.wire import SqlValue

# What SQLite gives its own functions too: they may stand in indexes, generated columns and triggers.
_FLAGS: Final = apsw.SQLITE_INNOCUOUS

_CONTINUATION_BYTES: Final = bytes(range(0x80, 0xC0))
_HEX_DIGITS: Final = frozenset("0123456789abcdefABCDEF")
_HEX_RUN: Final = re.compile("[0-9a-fA-F]+")
_STRIPPED_CHARACTERS_MAX: Final = 32  # str.strip looks each character up among all others
_JSON_MARK: Final = re.compile(r'"(?:[^"\\]|\\.)*"|([][{},])')  # group 1 is where a line of its own may begin
_INDENT: Final = "    "


class RowBound:
    """How long a text or BLOB may be in one database, which the functions look at when they run."""

    __slots__ = ("size",)

    def __init__(self) -> None:
        self.size = SQL_ROW_BYTES_MAX


def override_functions(connection: apsw.Connection, bound: RowBound) -> None:
    """Put ours in the place of SQLite's."""
    for name, arguments, function in _OVERRIDES:
        connection.create_scalar_function(name, function, arguments, deterministic=True, flags=_FLAGS)
    for name, arguments, bounded in _BOUNDED_OVERRIDES:
        connection.create_scalar_function(name, partial(bounded, bound), arguments, deterministic=True, flags=_FLAGS)


# ── searching ────────────────────────────────────────────────────────────────────────────────────────────────


def instr(haystack: SqlValue, needle: SqlValue) -> int | None:
    """The place of the first `needle`, from 1: in bytes when both are BLOBs, else in characters; 0 when none."""
    if type(haystack) is str and type(needle) is str:
        return haystack.find(needle) + 1
    if haystack is None or needle is None:
        return None
    if isinstance(haystack, bytes) and isinstance(needle, bytes):
        return haystack.find(needle) + 1
    return _instr_in_text(_as_bytes(haystack), _as_bytes(needle))


def _instr_in_text(haystack: bytes, needle: bytes) -> int:
    """As `instr`, when one of them is a BLOB, which need not be UTF-8: matches begin where a character does."""
    if needle[:1] and needle[0] in _CONTINUATION_BYTES:
        return int(haystack.startswith(needle))
    place = haystack.find(needle)
    return 0 if place < 0 else 1 + len(haystack[1 : place + 1].translate(None, _CONTINUATION_BYTES))


def replace(bound: RowBound, value: SqlValue, pattern: SqlValue, replacement: SqlValue) -> SqlValue:
    """`value` with each `pattern` replaced, not again in what was put in."""
    if value is None or pattern is None:
        return None
    text, pattern = _as_text(value), _as_text(pattern)
    if not pattern or pattern[0] == "\0":
        return text
    if replacement is None:
        return None
    replacement = _as_text(replacement)
    growth = len(replacement) - len(pattern)
    if growth > 0 and len(text) + growth * text.count(pattern) > bound.size:
        raise _too_big("replace", bound)
    return text.replace(pattern, replacement)


def trim(value: SqlValue, characters: SqlValue) -> str | None:
    """`value` without those of `characters` that it begins and ends with."""
    return rtrim(ltrim(value, characters), characters)


def ltrim(value: SqlValue, characters: SqlValue) -> str | None:
    """`value` without those of `characters` that it begins with."""
    if value is None or characters is None:
        return None
    text, unwanted = _as_text(value), _until_nul(_as_text(characters))
    if len(unwanted) <= _STRIPPED_CHARACTERS_MAX:
        return text.lstrip(unwanted) if unwanted else text
    return text[_count_leading(text, set(unwanted), size=len(text)) :]


def rtrim(value: SqlValue, characters: SqlValue) -> str | None:
    """`value` without those of `characters` that it ends with."""
    if value is None or characters is None:
        return None
    text, unwanted = _as_text(value), _until_nul(_as_text(characters))
    if len(unwanted) <= _STRIPPED_CHARACTERS_MAX:
        return text.rstrip(unwanted) if unwanted else text
    return text[: len(text) - _count_leading(reversed(text), set(unwanted), size=len(text))]


def _count_leading(text: Sequence[str] | Iterator[str], unwanted: set[str], *, size: int) -> int:
    return next((count for count, character in enumerate(text) if character not in unwanted), size)


def unhex(value: SqlValue, ignored: SqlValue) -> bytes | None:
    """The bytes that pairs of hexadecimal digits say; `ignored` characters may stand between pairs."""
    if value is None or ignored is None:
        return None
    digits = _until_nul(_as_text(value))
    if not set(digits) - _HEX_DIGITS <= set(_as_text(ignored)):
        return None
    runs = _HEX_RUN.findall(digits)
    if any(len(run) % 2 for run in runs):
        return None
    return bytes.fromhex("".join(runs))


# ── JSON ─────────────────────────────────────────────────────────────────────────────────────────────────────


def json_patch(target: SqlValue, patch: SqlValue) -> SqlValue:
    """SQLite's, when it is short: it looks each member of `patch` up among all of `target`.

    The result is text, and is not known as JSON to functions around it: the authorizer refuses those.
    """
    _check_patch(target, patch)
    return _stock.call("json_patch", (target, patch))


def jsonb_patch(target: SqlValue, patch: SqlValue) -> SqlValue:
    """As `json_patch`, in SQLite's binary form."""
    _check_patch(target, patch)
    return _stock.call("jsonb_patch", (target, patch))


def _check_patch(target: SqlValue, patch: SqlValue) -> None:
    target_size, patch_size = _size(target), _size(patch)
    if (target_size + patch_size) * patch_size <= SQL_JSON_PATCH_WORK_MAX:
        return
    members = str(_stock.call("json", (patch,))).count(":")
    if (target_size + patch_size) * members > SQL_JSON_PATCH_WORK_MAX:
        raise SqlError(
            f"a JSON patch of {patch_size} bytes with {members} members, to {target_size} bytes, takes too long: "
            f"bytes times members may be {SQL_JSON_PATCH_WORK_MAX}; patch in several steps",
            sqlite_code="SQLITE_TOOBIG",
        )


def _size(value: SqlValue) -> int:
    return len(value) if isinstance(value, str | bytes) else 0


def json_pretty(bound: RowBound, value: SqlValue, indent: SqlValue = None) -> SqlValue:
    """SQLite's, when the result fits: it builds what it then finds too big."""
    text = _stock.call("json", (value,))
    if text is None:
        return None
    unit = _INDENT if indent is None else _as_text(indent)
    if _pretty_size(str(text), indent_size=len(unit)) > bound.size:
        raise _too_big("json_pretty", bound)
    return _stock.call("json_pretty", (text, unit))


def _pretty_size(text: str, *, indent_size: int) -> int:
    """About the size of `text`, which is JSON without blanks, with a line for each value."""
    size, depth = len(text), 0
    for match in _JSON_MARK.finditer(text):
        mark = match[1]
        if mark is not None:
            depth += (mark in "[{") - (mark in "]}")
            size += 1 + depth * indent_size
    return size


# ── values as SQLite sees them ───────────────────────────────────────────────────────────────────────────────


def _as_text(value: SqlValue) -> str:
    match value:
        case str():
            return value
        case bytes():
            return value.decode()
        case float():
            return cast("str", _stock.call("format", ("%s", value)))
        case _:
            return str(value)


def _as_bytes(value: SqlValue) -> bytes:
    return value if isinstance(value, bytes) else _as_text(value).encode()


def _until_nul(text: str) -> str:
    return text.partition("\0")[0]


def _too_big(function: str, bound: RowBound) -> SqlError:
    return SqlError(
        f"string or blob too big: SQLITE_TOOBIG ({function}() may give {bound.size} bytes, the limit `row_bytes`)",
        sqlite_code="SQLITE_TOOBIG",
    )


class _Stock(threading.local):
    """SQLite's own functions, on a connection without a database; each thread has its own."""

    def __init__(self) -> None:
        self._connection = apsw.Connection(":memory:")

    def call(self, function: str, arguments: tuple[SqlValue, ...]) -> SqlValue:
        places = ", ".join("?" for _ in arguments)
        return cast("SqlValue", self._connection.execute(f"SELECT {function}({places})", arguments).get)


_stock: Final = _Stock()

_OVERRIDES: Final[tuple[tuple[str, int, Callable[..., SqlValue]], ...]] = (
    ("instr", 2, instr),
    ("trim", 2, trim),
    ("ltrim", 2, ltrim),
    ("rtrim", 2, rtrim),
    ("unhex", 2, unhex),
    ("json_patch", 2, json_patch),
    ("jsonb_patch", 2, jsonb_patch),
)

_BOUNDED_OVERRIDES: Final[tuple[tuple[str, int, Callable[..., SqlValue]], ...]] = (
    ("replace", 3, replace),
    ("json_pretty", 1, json_pretty),
    ("json_pretty", 2, json_pretty),
)
