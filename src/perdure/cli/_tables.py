"""Tables, sizes and times as people read them. What apps wrote is shown without what steers a terminal.

Effects: none.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from perdure.cli._logging import plain

_CELL_MAX: Final = 200  # characters; --json has all of them
_BLOB_SHOWN_BYTES: Final = 16


def table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns of equal width; the last one is not filled up. Without rows, the titles alone."""
    shown = [[_line(cell) for cell in row] for row in (titles, *rows)]
    widths = [max(len(row[place]) for row in shown) for place in range(len(titles))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in shown
    )


def _line(text: str) -> str:
    text = plain(text.replace("\n", "\\n").replace("\t", "\\t"))
    return text if len(text) <= _CELL_MAX else f"{text[: _CELL_MAX - 1]}…"


def cell_text(cell: object) -> str:
    """A value of SQLite's, as its JSON came."""
    match cell:
        case None:
            return "NULL"
        case {"blob": str(text)}:
            content = base64.b64decode(text)
            more = "…" if len(content) > _BLOB_SHOWN_BYTES else ""
            return f"x'{content[:_BLOB_SHOWN_BYTES].hex()}{more}'"
        case {"real": str(text)}:
            return text
        case _:
            return str(cell)


def bytes_text(size: object) -> str:
    """A size in the largest unit of which there is at least one."""
    assert isinstance(size, int), "sizes are whole numbers"
    for unit, factor in (("GB", 1 << 30), ("MB", 1 << 20), ("KB", 1 << 10)):
        if size >= factor:
            return f"{size / factor:.3g} {unit}" if size < 999 * factor else f"{size // factor} {unit}"
    return f"{size} B"


def time_text(milliseconds: object) -> str:
    """A time of UTC; nothing for None."""
    if not isinstance(milliseconds, int):
        return ""
    return datetime.fromtimestamp(milliseconds / 1000, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
