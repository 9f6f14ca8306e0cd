"""What SQL of guests may make SQLite allocate.

SQLite knows one bound, for the whole process. While statements of guests run it lies above what was in use when the
first of them began, by so much for each of them. Without it 600 bytes of nested SELECTs, which SQLite multiplies while
it prepares them and cannot be interrupted in, take all memory there is. Whoever allocates when the bound is reached
gets SQLITE_NOMEM, and that is nearly always the one who allocates all the time. Costs 1 µs. Effects: process,
threads.
"""

from __future__ import annotations

import threading
from typing import Final

import apsw

from perdure.limits import SQL_STATEMENT_HEAP_BYTES_MAX

_UNBOUNDED: Final = 0


class GuestHeap:
    """The bound, while it is entered: once for each statement that runs."""

    __slots__ = ("_base", "_lock", "_running")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._base = 0
        self._running = 0

    def __enter__(self) -> None:
        with self._lock:
            if not self._running:
                self._base = apsw.memory_used()
            self._running += 1
            apsw.hard_heap_limit(self._base + self._running * SQL_STATEMENT_HEAP_BYTES_MAX)

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._running -= 1
            bound = self._base + self._running * SQL_STATEMENT_HEAP_BYTES_MAX if self._running else _UNBOUNDED
            apsw.hard_heap_limit(bound)


GUEST_HEAP: Final = GuestHeap()
"""There is one heap, so there is one of these."""
