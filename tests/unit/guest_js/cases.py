"""Tables of cases that are written in JavaScript: source, and behind `//=>` the value it has. Effects: none."""

from __future__ import annotations

import json

MARK = "//=>"


def cases_in(text: str) -> list[tuple[str, object]]:
    """Every case of a table: a paragraph that ends with the mark and JSON. Others are comments."""
    paragraphs = [paragraph.rpartition(MARK) for paragraph in text.split("\n\n")]
    return [(source.strip(), json.loads(value)) for source, mark, value in paragraphs[1:] if mark]
