"""Instances made ahead: making one takes half a millisecond, and its first touch of memory a few more.

A thread of its own refills what was taken, so that the next object starts at once.
Effects: threads.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Final, Generic, Protocol, TypeVar

from perdure.isolates._threads import lower_priority, start_thread

_QUIET_S: Final = 0.02


class Rehearsing(Protocol):
    """What a pool keeps."""

    def rehearse(self) -> None:
        """Get ready for use, ahead of it."""
        ...

    def close(self) -> None:
        """Free it."""
        ...


InstanceT = TypeVar("InstanceT", bound=Rehearsing)


class InstancePool(Generic[InstanceT]):
    """Up to `size` instances that nobody uses yet. Thread-safe."""

    def __init__(self, make: Callable[[], InstanceT], *, size: int) -> None:
        self._make = make
        self._size = size
        self._ready: deque[InstanceT] = deque()
        self._wanted = threading.Event()
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None

    def fill(self) -> None:
        """Make what is missing, on this thread; from then on a thread keeps it full."""
        while len(self._ready) < self._size:
            self._add(is_quiet=True)
        if self._thread is None and self._size:
            self._thread = start_thread(self._refill, name="perdure-instances")

    def take(self) -> InstanceT:
        """A fresh instance: one that is ready, or a new one."""
        try:
            instance = self._ready.popleft()
        except IndexError:
            instance = self._make()
        self._wanted.set()
        return instance

    def close(self) -> None:
        """Throw away what is ready."""
        self._closed.set()
        self._wanted.set()
        if self._thread is not None:
            self._thread.join()
        while self._ready:
            self._ready.popleft().close()

    def _add(self, *, is_quiet: bool) -> None:
        instance = self._make()
        if is_quiet:
            instance.rehearse()
        self._ready.append(instance)

    def _refill(self) -> None:
        lower_priority()
        while not self._closed.is_set():
            self._wanted.wait()
            self._wanted.clear()
            while len(self._ready) < self._size and not self._closed.is_set():
                # Whoever took one is starting it now: both would touch memory, and wait for the same lock of the
                # kernel. In a rush there is no time for a rehearsal, which costs more than it saves.
                is_quiet = not self._wanted.wait(_QUIET_S)
                self._wanted.clear()
                self._add(is_quiet=is_quiet)
