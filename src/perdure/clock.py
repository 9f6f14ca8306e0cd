"""Clock and Entropy: the only sources of wall time, passing time, randomness and fresh ids.

Everything else takes one of these, so that a test can own time. Effects: clock, randomness, threads (a value of each).
"""

from __future__ import annotations

import os
import threading
import time
import uuid
from typing import Final, Protocol


class Clock(Protocol):
    """Wall time for people, monotonic time for intervals."""

    def now_ms(self) -> int:
        """Milliseconds since the Unix epoch."""
        ...

    def monotonic_s(self) -> float:
        """Seconds from an arbitrary point; never goes back."""
        ...


class Entropy(Protocol):
    """Bytes nobody can guess."""

    def random_bytes(self, size: int) -> bytes: ...


class SystemClock:
    """The machine's own clocks."""

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def monotonic_s(self) -> float:
        return time.monotonic()


class SystemEntropy:
    """The operating system's random source."""

    def random_bytes(self, size: int) -> bytes:
        return os.urandom(size)


class CpuStopwatch(threading.local):
    """CPU time of the thread that uses it. What is measured inside a measurement counts for the inner one alone."""

    def __init__(self) -> None:
        self._inside_ns = 0

    def start(self) -> int:
        """A mark for `stop`."""
        return time.thread_time_ns() - self._inside_ns

    def stop(self, mark: int) -> int:
        """Nanoseconds of CPU time since `start` gave `mark`, on the same thread."""
        own_ns = time.thread_time_ns() - self._inside_ns - mark
        self._inside_ns += own_ns
        return own_ns

    def total_s(self) -> float:
        """All that the thread has used. A busy machine does not make it pass any faster."""
        return time.thread_time_ns() / 1e9


CPU: Final = CpuStopwatch()
"""Computing takes real time, also where a test owns the clock."""


def new_uuid(entropy: Entropy) -> str:
    """A random version-4 UUID (RFC 9562)."""
    return str(uuid.UUID(bytes=entropy.random_bytes(16), version=4))
