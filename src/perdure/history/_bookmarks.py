"""Bookmarks: names of states of one object and its facets, as text that sorts by age.

    <sequence of the last record, 16 hex digits>-<microseconds, 16 hex digits>

The sequence decides; the second part makes later bookmarks of the same state grow. With its highest bit set it is a
promise: the state before a restore that is still to come, which is found by what that restore's record says.
Effects: none.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from perdure.errors import BookmarkError

_TEXT: Final = re.compile(r"([0-9a-f]{16})-([0-9a-f]{16})")
_PROMISE: Final = 1 << 63


class Bookmark(NamedTuple):
    """See the module."""

    sequence: int
    microseconds: int

    def __str__(self) -> str:
        return f"{self.sequence:016x}-{self.microseconds:016x}"

    @property
    def is_promise(self) -> bool:
        """Whether it means the state before a restore to come."""
        return bool(self.microseconds & _PROMISE)

    def promise(self) -> Bookmark:
        """What the state before a restore asked for at this bookmark will be called."""
        return self._replace(microseconds=self.microseconds | _PROMISE)


def read_bookmark(text: object) -> Bookmark:
    """The bookmark that `str` printed. Raises BookmarkError."""
    found = _TEXT.fullmatch(text) if isinstance(text, str) else None
    if found is None:
        raise BookmarkError(
            f"`{str(text)[:80]}` is no bookmark: it is two groups of 16 hex digits, as `perdure history` lists and "
            "get_current_bookmark() gives"
        )
    return Bookmark(int(found[1], 16), int(found[2], 16))
