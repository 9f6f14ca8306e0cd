"""What SQL of a guest may touch (spec 3.7): SQLite asks while it prepares a statement, this answers.

Default deny: an operation, function, pragma or module that is not listed is refused. Names that begin with `_cf_` are
the host's, in any case of letters. The host's own statements pass unasked; `is_guest` tells whose turn it is, because
SQLite asks again whenever a changed schema makes it prepare a statement anew. Effects: none.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import pairwise
from typing import Final

import apsw

FULL_TEXT_MODULES: Final = frozenset({"fts5", "fts5vocab"})
MODULES: Final = FULL_TEXT_MODULES | {"rtree", "rtree_i32"}

_FUNCTIONS_BY_FAMILY: Final = {
    "core": """
        abs changes char coalesce concat concat_ws format glob hex if ifnull iif instr last_insert_rowid length like
        likelihood likely lower ltrim max min nullif octet_length printf quote random randomblob replace round rtrim
        sign soundex substr substring total_changes trim typeof unhex unicode unistr unistr_quote unlikely upper
        zeroblob""",
    "dates": """
        current_date current_time current_timestamp date datetime julianday strftime time timediff unixepoch""",
    "aggregates and windows": """
        avg count group_concat median string_agg sum total
        cume_dist dense_rank first_value lag last_value lead nth_value ntile percent_rank rank row_number""",
    "mathematics": """
        acos acosh asin asinh atan atan2 atanh ceil ceiling cos cosh degrees exp floor ln log log10 log2 mod pi pow
        power radians sin sinh sqrt tan tanh trunc""",
    "JSON": """
        -> ->> json json_array json_array_insert json_array_length json_error_position json_extract json_group_array
        json_group_object json_insert json_object json_patch json_pretty json_quote json_remove json_replace json_set
        json_type json_valid jsonb jsonb_array jsonb_array_insert jsonb_extract jsonb_group_array jsonb_group_object
        jsonb_insert jsonb_object jsonb_patch jsonb_remove jsonb_replace jsonb_set""",
    "full text and R*Tree": """
        bm25 highlight match rtreecheck snippet""",
    "what ALTER TABLE calls inside; SQLite refuses them anywhere else": """
        sqlite_add_constraint sqlite_drop_column sqlite_drop_constraint sqlite_fail sqlite_find_constraint
        sqlite_rename_column sqlite_rename_quotefix sqlite_rename_table sqlite_rename_test""",
}
_FUNCTIONS: Final = frozenset(name for family in _FUNCTIONS_BY_FAMILY.values() for name in family.split())

# Ours gives text that is not known as JSON to a function around it, which would quote it (see `_functions.py`).
_PATCH: Final = "json_patch"
_READ_PATCH_AS_TEXT: Final = frozenset(
    """
    json_array json_array_insert json_group_array json_group_object json_insert json_object json_quote json_replace
    json_set jsonb_array jsonb_array_insert jsonb_group_array jsonb_group_object jsonb_insert jsonb_object
    jsonb_replace jsonb_set""".split()
)
_PATCH_INSIDE: Final = "beside `{}` write json(jsonb_patch(…)) for json_patch(…), whose result would count as a string"

# Tables that are there without being created: `carray` reads memory, and `pragma_optimize` writes from within a SELECT,
# outside of any unit.
_FORBIDDEN_TABLES: Final = frozenset({"carray", "pragma_optimize"})

# SQLite's tokens: blanks (a byte order mark is one) and comments; words, quoted names, parameters, anything else.
_TOKEN: Final = re.compile(
    r"""[ \t\n\f\r\ufeff]+ | --[^\n]* | /\*.*?(?:\*/|\Z)
    | ( [a-z_\x80-\U0010ffff][a-z0-9_$\x80-\U0010ffff]* | '[^']*'? | "[^"]*"? | `[^`]*`? | \[[^]]*\]?
      | [$@:\#][a-z0-9_$:\x80-\U0010ffff]*(?:\([^\s)]*\))? | . )""",
    re.DOTALL | re.IGNORECASE | re.VERBOSE,
)

# `CREATE TABLE temp.t` is told as if it were a lasting table; whatever is temporary is put into a schema of its own.
_TEMPORARY_DATABASE: Final = "temp"
_TEMPORARY: Final = "temporary tables, indexes, views and triggers are not available: make ordinary ones, and drop them"
_HOST_NAME: Final = "names that begin with `_cf_` belong to the platform: choose another one"
_TRANSACTION: Final = (
    "To execute a transaction, use storage.transaction() or storage.transactionSync() instead of `{}`: "
    "what is written in one turn is one transaction already"
)


def is_host_name(name: str | None) -> bool:
    """Whether a table, index, view or trigger of this name is out of a guest's reach."""
    return name is not None and name[:4].lower() == "_cf_"


def refers_to_host_name(query: str) -> bool:
    """Whether a table made or altered in `query` has a foreign key to one of the host: SQLite tells of no parents.

    Its actions, and a guest's triggers on them, would run in our own statements, which have no deadline.
    """
    tokens = [token.lower() for token in _TOKEN.findall(query) if token]
    return any(word == "references" and is_host_name(parent.strip("\"'`[]")) for word, parent in pairwise(tokens))


def renames_to_host_name(query: str) -> bool:
    """Whether an ALTER TABLE … RENAME TO in `query` takes a name of the host: SQLite does not tell its target.

    `_cf` alone counts too: the tables behind a virtual table of that name would be `_cf_data` and the like.
    """
    tokens = [token.lower() for token in _TOKEN.findall(query) if token]
    targets = (
        target.strip("\"'`[]")
        for rename, to, target in zip(tokens, tokens[1:], tokens[2:], strict=False)
        if rename == "rename" and to == "to"
    )
    return any(target == "_cf" or is_host_name(target) for target in targets)


# ── pragmas ──────────────────────────────────────────────────────────────────────────────────────────────────

_BOOLEANS: Final = frozenset({"true", "false", "yes", "no", "on", "off", "1", "0"})

_Accepts = Callable[[str | None], bool]


def _nothing(argument: str | None) -> bool:
    return argument is None


def _boolean(argument: str | None) -> bool:
    return argument is None or argument.lower() in _BOOLEANS


def _name(argument: str | None) -> bool:
    return argument is not None and not is_host_name(argument)


def _optional_name(argument: str | None) -> bool:
    return not is_host_name(argument)


_PRAGMAS: Final[dict[str, _Accepts]] = {
    "case_sensitive_like": _boolean,
    "data_version": _nothing,
    "defer_foreign_keys": _boolean,
    "foreign_key_check": _optional_name,
    "foreign_key_list": _name,
    "foreign_keys": _boolean,
    "ignore_check_constraints": _boolean,
    "index_info": _name,
    "index_list": _name,
    "index_xinfo": _name,
    "legacy_alter_table": _boolean,
    "optimize": _optional_name,
    "page_size": _nothing,
    "quick_check": _optional_name,
    "recursive_triggers": _boolean,
    "reverse_unordered_selects": _boolean,
    "table_info": _name,
    "table_list": _nothing,
    "table_xinfo": _name,
}

# SQLite calls these two read-only. The first may write statistics; the effect of the second ends with the next
# statement unless a transaction is open.
_PRAGMAS_IN_UNIT: Final = frozenset({"optimize", "defer_foreign_keys"})


# ── operations ───────────────────────────────────────────────────────────────────────────────────────────────

# Each takes the two names SQLite gives with the operation, and returns why it is refused, or None.
_Check = Callable[[str | None, str | None], str | None]


def _allowed(_first: str | None, _second: str | None) -> str | None:
    return None


def _first_name(first: str | None, _second: str | None) -> str | None:
    return _HOST_NAME if is_host_name(first) else None


def _both_names(first: str | None, second: str | None) -> str | None:
    return _HOST_NAME if is_host_name(first) or is_host_name(second) else None


def _read(table: str | None, _column: str | None) -> str | None:
    if table is not None and table.lower() in _FORBIDDEN_TABLES:
        return f"`{table}` is not available"
    return _first_name(table, None)


def _function(_nothing: str | None, function: str | None) -> str | None:
    return None if function in _FUNCTIONS else "see the list of functions in the documentation of storage.sql"


def _module(table: str | None, module: str | None) -> str | None:
    if module is None or module.lower() not in MODULES:
        return f"a virtual table may use {', '.join(sorted(MODULES))}, not `{module}`"
    return _first_name(table, None)


def _pragma(name: str | None, argument: str | None) -> str | None:
    accepts = _PRAGMAS.get(name.lower()) if name else None
    if accepts is None:
        return f"`PRAGMA {name}` is not available"
    return None if accepts(argument) else f"`PRAGMA {name}` does not take `{argument}` here"


def _changed_setting(name: str | None, argument: str | None) -> str | None:
    if argument is not None and name is not None and _PRAGMAS.get(name.lower()) is _boolean:
        return f"`PRAGMA {name}` changes how the object's own statements work: it can only be asked for here"
    return None


def _transaction(begin_or_end: str | None, _second: str | None) -> str | None:
    return _TRANSACTION.format(begin_or_end)


def _savepoint(begin_or_end: str | None, _second: str | None) -> str | None:
    return _TRANSACTION.format("RELEASE" if begin_or_end == "RELEASE" else "SAVEPOINT")


_CHECKS: Final[dict[int, _Check]] = {
    apsw.SQLITE_ALTER_TABLE: _both_names,
    apsw.SQLITE_CREATE_INDEX: _both_names,
    apsw.SQLITE_CREATE_TABLE: _first_name,
    apsw.SQLITE_CREATE_TRIGGER: _both_names,
    apsw.SQLITE_CREATE_VIEW: _first_name,
    apsw.SQLITE_CREATE_VTABLE: _module,
    apsw.SQLITE_DELETE: _first_name,
    apsw.SQLITE_DROP_INDEX: _both_names,
    apsw.SQLITE_DROP_TABLE: _first_name,
    apsw.SQLITE_DROP_TRIGGER: _both_names,
    apsw.SQLITE_DROP_VIEW: _first_name,
    apsw.SQLITE_DROP_VTABLE: _module,
    apsw.SQLITE_FUNCTION: _function,
    apsw.SQLITE_INSERT: _first_name,
    apsw.SQLITE_PRAGMA: _pragma,
    apsw.SQLITE_READ: _read,
    apsw.SQLITE_RECURSIVE: _allowed,
    apsw.SQLITE_REINDEX: _first_name,
    apsw.SQLITE_SAVEPOINT: _savepoint,
    apsw.SQLITE_SELECT: _allowed,
    apsw.SQLITE_TRANSACTION: _transaction,
    apsw.SQLITE_UPDATE: _first_name,
}

_MAY_REFER: Final = frozenset({apsw.SQLITE_ALTER_TABLE, apsw.SQLITE_CREATE_TABLE})
_CHANGES_OF_MEANING: Final = frozenset(
    {apsw.SQLITE_ALTER_TABLE, apsw.SQLITE_DROP_TABLE, apsw.SQLITE_DROP_VIEW, apsw.SQLITE_DROP_VTABLE}
)


class Authorizer:
    """SQLite's authorizer callback, and what it learned about the statement being prepared.

    `refusal` says why the last one was refused. `needs_unit`: it writes although SQLite calls it read-only.
    `has_changed_meanings`: from now on a statement prepared earlier may have other columns. `keeps_settings`: pragmas
    may ask for settings of the connection, not change them. `has_full_text`: a table for full-text search was made.
    """

    __slots__ = (
        "_has_patch",
        "_reader_of_text",
        "has_changed_meanings",
        "has_full_text",
        "is_guest",
        "keeps_settings",
        "needs_unit",
        "query",
        "refusal",
    )

    def __init__(self) -> None:
        self.is_guest = False
        self.keeps_settings = False
        self.query = ""
        self.refusal = ""
        self.needs_unit = False
        self.has_changed_meanings = False
        self.has_full_text = False
        self._has_patch = False
        self._reader_of_text = ""

    def enter_guest(self, query: str) -> None:
        """From now on statements are a guest's; `query` is the text they come from."""
        self.query = query
        self.refusal = ""
        self.needs_unit = False
        self._has_patch = False
        self._reader_of_text = ""
        self.is_guest = True

    def leave_guest(self) -> None:
        self.is_guest = False

    def __call__(
        self, operation: int, first: str | None, second: str | None, database: str | None, inside: str | None
    ) -> int:
        # Triggers and views are always a guest's: one may hang on a host's statement by a foreign key with an action.
        if not self.is_guest and inside is None:
            return apsw.SQLITE_OK
        if operation == apsw.SQLITE_ANALYZE:
            # Ignoring leaves the host's tables out of an ANALYZE of everything, without an error.
            return apsw.SQLITE_IGNORE if is_host_name(first) else apsw.SQLITE_OK
        check = _CHECKS.get(operation)
        refusal = f"`{_operation_name(operation)}` is not available" if check is None else check(first, second)
        if operation == apsw.SQLITE_INSERT and database == _TEMPORARY_DATABASE:
            refusal = _TEMPORARY
        if operation == apsw.SQLITE_ALTER_TABLE and renames_to_host_name(self.query):
            refusal = _HOST_NAME
        if operation in _MAY_REFER and refers_to_host_name(self.query):
            refusal = _HOST_NAME
        if operation == apsw.SQLITE_PRAGMA and self.keeps_settings:
            refusal = refusal or _changed_setting(first, second)
        if operation == apsw.SQLITE_FUNCTION and second is not None:
            refusal = refusal or self._refusal_of_patch(second)
        if refusal is not None:
            self.refusal = refusal
            return apsw.SQLITE_DENY
        if operation in _CHANGES_OF_MEANING:
            self.has_changed_meanings = True
        elif operation == apsw.SQLITE_CREATE_VTABLE and second is not None and second.lower() in FULL_TEXT_MODULES:
            self.has_full_text = True
        elif operation == apsw.SQLITE_PRAGMA and first is not None and first.lower() in _PRAGMAS_IN_UNIT:
            self.needs_unit = True
        return apsw.SQLITE_OK

    def _refusal_of_patch(self, function: str) -> str | None:
        if function == _PATCH:
            self._has_patch = True
        elif function in _READ_PATCH_AS_TEXT:
            self._reader_of_text = function
        return _PATCH_INSIDE.format(self._reader_of_text) if self._has_patch and self._reader_of_text else None


def _operation_name(operation: int) -> str:
    name = apsw.mapping_authorizer_function.get(operation, operation)
    return str(name).removeprefix("SQLITE_").replace("_", " ")
