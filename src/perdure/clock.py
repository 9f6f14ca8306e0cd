"""Clock and Entropy: the only sources of wall time, passing time, randomness and fresh ids.

Everything else takes one of these, so that a test can own time. Effects: clock, randomness.
"""

from __future__ import annotations

import os
import time
import uuid
from typing import Protocol


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


def new_uuid(entropy: Entropy) -> str:
    """A random version-4 UUID (RFC 9562)."""
    return str(uuid.UUID(bytes=entropy.random_bytes(16), version=4))
