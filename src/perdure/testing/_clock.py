"""Time and chance that a test owns. Effects: timers (of the loop whose time it shows)."""

from __future__ import annotations

import hashlib
from typing import Final, Protocol

_START_MS: Final = 1_767_225_600_000  # 2026-01-01T00:00:00Z


class Timeline(Protocol):
    """Whose time a VirtualClock shows: a SimLoop, as a rule."""

    def time(self) -> float: ...


class VirtualClock:
    """A `Clock` that shows the loop's virtual time, and stands still where there is no loop.

    `advance` moves it by hand, on top of what the loop has jumped; `set_wall` is somebody who sets the wall clock.
    """

    def __init__(self, loop: Timeline | None = None, *, start_ms: int = _START_MS) -> None:
        self._loop = loop
        self._start_ms = start_ms
        self._advanced_s = 0.0

    def now_ms(self) -> int:
        return self._start_ms + round(self.monotonic_s() * 1000)

    def set_wall(self, *, by_s: float) -> None:
        """Let the wall clock jump, forward or back, as when somebody sets it: no time passes."""
        self._start_ms += round(by_s * 1000)

    def monotonic_s(self) -> float:
        return self._advanced_s + (self._loop.time() if self._loop is not None else 0.0)

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        assert seconds >= 0, "time never goes back"
        self._advanced_s += seconds


class SeededEntropy:
    """An `Entropy` that gives the same bytes for the same seed."""

    def __init__(self, seed: int = 0) -> None:
        self._seed = seed
        self._count = 0

    def random_bytes(self, size: int) -> bytes:
        self._count += 1
        return hashlib.shake_256(f"{self._seed}:{self._count}".encode()).digest(size)
