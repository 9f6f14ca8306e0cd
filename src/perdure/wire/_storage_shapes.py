"""The shapes in which storage answers: SQL cells, pages of rows, ranges of keys. Effects: none."""

from __future__ import annotations

from dataclasses import dataclass

SqlValue = None | int | float | str | bytes
"""What SQLite stores: NULL, INTEGER (64 bits), REAL, TEXT, BLOB."""


@dataclass(frozen=True, slots=True)
class SqlPage:
    """Some rows of one statement's result.

    `cursor_id` is 0 when these were the last rows. `rows_read` and `rows_written` count from the statement's start.
    """

    columns: tuple[str, ...]
    rows: list[tuple[SqlValue, ...]]
    cursor_id: int
    rows_read: int
    rows_written: int


@dataclass(frozen=True, slots=True)
class KvRange:
    """Which keys to list, and how many: bytewise UTF-8 order, `start` inclusive, `end` exclusive (spec 3.3)."""

    start: str | None = None
    start_after: str | None = None
    end: str | None = None
    prefix: str | None = None
    reverse: bool = False
    limit: int | None = None
