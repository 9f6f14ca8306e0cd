"""The names of one object's facets, in their order, for whoever cannot ask the index.

Names come and go on the event loop; a guest asks for pages of them on the thread of its turn. A page costs what is on
it, however many names there are. Effects: threads.
"""

from __future__ import annotations

import threading
from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable


class FacetNames:
    """A sorted set of names that any thread may use."""

    __slots__ = ("_lock", "_names")

    def __init__(self, names: Iterable[str] = ()) -> None:
        self._names = sorted(set(names))
        self._lock = threading.Lock()  # Between finding a place and using it no name may come or go.

    def __contains__(self, name: object) -> bool:
        with self._lock:
            return isinstance(name, str) and self._has(name, bisect_left(self._names, name))

    def __len__(self) -> int:
        return len(self._names)

    def add(self, name: str) -> None:
        """It is there from now on; twice is once."""
        with self._lock:
            if not self._has(name, bisect_left(self._names, name)):
                insort(self._names, name)

    def discard(self, name: str) -> None:
        """It is not there from now on."""
        with self._lock:
            place = bisect_left(self._names, name)
            if self._has(name, place):
                del self._names[place]

    def clear(self) -> None:
        """None is there from now on."""
        with self._lock:
            self._names.clear()

    def page(self, start_after: str, limit: int) -> list[str]:
        """The names behind `start_after`, `limit` of them at most."""
        with self._lock:
            place = bisect_right(self._names, start_after)
            return self._names[place : place + max(limit, 0)]

    def _has(self, name: str, place: int) -> bool:
        return place < len(self._names) and self._names[place] == name
