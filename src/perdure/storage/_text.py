"""Strings as SQLite stores them: UTF-8, which has no place for half a surrogate pair. Effects: none."""

from __future__ import annotations


def well_formed(text: str) -> str:
    """The text with joined surrogate pairs and U+FFFD for lone halves, as JavaScript encodes its strings."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def utf8_size(text: str) -> int:
    """Bytes the text takes in UTF-8."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
