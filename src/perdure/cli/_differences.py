"""Differences between two states of an object, as lines with `+`, `-` and `~` before what came, went and changed.

Effects: none.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from perdure.cli._logging import plain
from perdure.cli._tables import cell_text


def difference_lines(database: Mapping[str, Any]) -> Iterator[str]:
    """The lines of one database, the first of which names it."""
    fate = {"added": " (new)", "removed": " (gone)"}.get(database["fate"], "")
    yield plain(f"{database['object']}{fate}")
    for text in database["schema"]:
        yield plain(f"  schema: {' '.join(str(text).split())}")
    yield from _rows("kv", database["kv"])
    for name, rows in database["tables"].items():
        yield from _rows(str(name), rows)


def _rows(name: str, rows: Mapping[str, Any]) -> Iterator[str]:
    for sign, which in (("+", "added"), ("-", "removed"), ("~", "changed")):
        for key in rows[which]:
            shown = ", ".join(cell_text(cell) for cell in key).replace("\n", "\\n")
            yield plain(f"  {sign} {name}: {shown}")
    if rows["is_truncated"]:
        yield plain(f"  … {name}: and more")
