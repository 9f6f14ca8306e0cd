"""StorageLimits: how large what SQL and kv handle may be. SQLite's own ceilings stand above all of them.

The defaults are those of sandboxed code: SQLite looks at a turn's deadline between its steps only, so a step must stay
short. Trusted code has SQLite's own. Effects: memory (a connection without a file, once, to ask for the ceilings).
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cache
from typing import Final

import apsw

from perdure.errors import ConfigurationError
from perdure.limits import (
    KIB,
    KV_ENTRY_BYTES_MAX,
    SQL_COLUMNS_MAX,
    SQL_COMPOUND_TERMS_MAX,
    SQL_EXPRESSION_DEPTH_MAX,
    SQL_FUNCTION_ARGUMENTS_MAX,
    SQL_LIKE_PATTERN_BYTES_MAX,
    SQL_PROGRAM_STEPS_MAX,
    SQL_ROW_BYTES_MAX,
    SQL_TEXT_BYTES_MAX,
    SQL_TRIGGER_DEPTH_MAX,
    SQL_VARIABLES_MAX,
)

# Our own statements on the same connection need as much.
_LEAST: Final = {
    "row_bytes": 64 * KIB, "text_bytes": 4 * KIB, "columns": 16, "variables": 16, "expression_depth": 32,
    "compound_terms": 8, "function_arguments": 8, "program_steps": 2_000, "kv_entry_bytes": KIB,
}  # fmt: skip
_SQLITES: Final = {
    "row_bytes": apsw.SQLITE_LIMIT_LENGTH,
    "text_bytes": apsw.SQLITE_LIMIT_SQL_LENGTH,
    "columns": apsw.SQLITE_LIMIT_COLUMN,
    "variables": apsw.SQLITE_LIMIT_VARIABLE_NUMBER,
    "expression_depth": apsw.SQLITE_LIMIT_EXPR_DEPTH,
    "compound_terms": apsw.SQLITE_LIMIT_COMPOUND_SELECT,
    "function_arguments": apsw.SQLITE_LIMIT_FUNCTION_ARG,
    "like_pattern_bytes": apsw.SQLITE_LIMIT_LIKE_PATTERN_LENGTH,
    "trigger_depth": apsw.SQLITE_LIMIT_TRIGGER_DEPTH,
    "program_steps": apsw.SQLITE_LIMIT_VDBE_OP,
}
# What SQLite says when one of them is exceeded.
_COMPLAINTS: Final = {
    "string or blob too big": "row_bytes",
    "too many columns": "columns",
    "too many SQL variables": "variables",
    "variable number must be": "variables",
    "Expression tree is too large": "expression_depth",
    "too many terms in compound SELECT": "compound_terms",
    "too many arguments on function": "function_arguments",
    "LIKE or GLOB pattern too complex": "like_pattern_bytes",
    "too many levels of trigger recursion": "trigger_depth",
    "triggers nested too deep": "trigger_depth",
}


@dataclass(frozen=True, slots=True)
class StorageLimits:
    """How large what SQL and kv handle may be; None stands for SQLite's own ceiling, which nothing exceeds.

    The defaults are those of sandboxed code, and are there to keep each step of SQLite short. Trusted code has
    `StorageLimits.sqlites_own()`. `row_bytes`: a row, a text or a BLOB. `text_bytes`: one query. `program_steps`: of
    one compiled statement. `kv_entry_bytes`: key and value together.
    """

    row_bytes: int | None = SQL_ROW_BYTES_MAX
    text_bytes: int | None = SQL_TEXT_BYTES_MAX
    columns: int | None = SQL_COLUMNS_MAX
    variables: int | None = SQL_VARIABLES_MAX
    expression_depth: int | None = SQL_EXPRESSION_DEPTH_MAX
    compound_terms: int | None = SQL_COMPOUND_TERMS_MAX
    function_arguments: int | None = SQL_FUNCTION_ARGUMENTS_MAX
    like_pattern_bytes: int | None = SQL_LIKE_PATTERN_BYTES_MAX
    trigger_depth: int | None = SQL_TRIGGER_DEPTH_MAX
    program_steps: int | None = SQL_PROGRAM_STEPS_MAX
    kv_entry_bytes: int | None = KV_ENTRY_BYTES_MAX

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            least = _LEAST.get(field.name, 1)
            if value is not None and (type(value) is not int or value < least):
                raise ConfigurationError(
                    f"StorageLimits({field.name}={value!r}): give a whole number from {least}, or None for SQLite's own"
                )

    @classmethod
    def sqlites_own(cls) -> StorageLimits:
        """What trusted code has unless its owner says otherwise. An entry of kv stays as small as it is for all."""
        return cls(**dict.fromkeys(_SQLITES))


SANDBOXED: Final = StorageLimits()
SQLITES_OWN: Final = StorageLimits.sqlites_own()


@cache
def ceilings() -> dict[str, int]:
    """SQLite's own, as it was compiled."""
    connection = apsw.Connection(":memory:")
    highest = {name: connection.limit(number) for name, number in _SQLITES.items()}
    connection.close()
    return {**highest, "kv_entry_bytes": highest["row_bytes"]}


@cache
def effective(limits: StorageLimits) -> dict[str, int]:
    """Each limit, at most SQLite's own."""
    highest = ceilings()
    given = {field.name: getattr(limits, field.name) for field in fields(limits)}
    return {name: highest[name] if value is None else min(value, highest[name]) for name, value in given.items()}


def apply(limits: StorageLimits, connection: apsw.Connection) -> None:
    """Set what SQLite itself holds. Takes 2 µs."""
    bounds = effective(limits)
    for name, number in _SQLITES.items():
        connection.limit(number, bounds[name])


def hint_for(message: str, limits: StorageLimits) -> str:
    """Which limit a complaint of SQLite's is about, and who can raise it; "" when it is about none."""
    name = next((name for complaint, name in _COMPLAINTS.items() if complaint in message), "")
    return advice(name, limits) if name else ""


def advice(name: str, limits: StorageLimits) -> str:
    """Which limit it is, and who can raise it."""
    bound, highest = effective(limits)[name], ceilings()[name]
    limit = f"the limit `{name}` is {bound}"
    return f"{limit}, SQLite's own" if bound == highest else f"{limit}; the platform's owner can raise it"
