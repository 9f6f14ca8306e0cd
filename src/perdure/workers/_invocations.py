"""One event of a stateless worker: what it may use, and what it has used. Effects: none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from perdure.errors import LimitExceededError
from perdure.limits import SUBREQUESTS_DEFAULT, WALL_MS_DEFAULT
from perdure.workers._tails import Trace

_NS_PER_MS: Final = 1_000_000
_FREE: Final = frozenset({"stream", "sync", "loader.get", "loader.check"})
"""Operations that reach nobody: bytes of a message under way, and code that was asked for ahead."""


@dataclass(frozen=True, slots=True)
class EventLimits:
    """What one event may use; None where nobody has said."""

    cpu_ms: int | None = None
    wall_ms: int | None = None
    subrequests: int | None = None

    def lower(self, other: EventLimits) -> EventLimits:
        """Of each two the lower one."""
        return EventLimits(
            _lower(self.cpu_ms, other.cpu_ms),
            _lower(self.wall_ms, other.wall_ms),
            _lower(self.subrequests, other.subrequests),
        )


NO_LIMITS: Final = EventLimits()


def _lower(one: int | None, other: int | None) -> int | None:
    return min((value for value in (one, other) if value is not None), default=None)


class Invocation:
    """An event under way. What its own operations bring back is its own again: each turn belongs to one invocation."""

    __slots__ = ("_limits", "_subrequests", "cpu_ns", "trace")

    def __init__(self, limits: EventLimits) -> None:
        self.trace: Trace | None = None
        self._limits = limits
        self.cpu_ns = 0
        self._subrequests = 0

    @property
    def wall_s(self) -> float:
        """How long it may take."""
        return (self._limits.wall_ms or WALL_MS_DEFAULT) / 1000

    def cpu_ms_left(self, cpu_ms: int) -> int:
        """How much CPU time its next turn may have, of what the worker's code may."""
        limit = self._limits.cpu_ms
        if limit is None:
            return cpu_ms
        return max(1, min(cpu_ms, limit - self.cpu_ns // _NS_PER_MS))

    def spent(self, cpu_ns: int) -> None:
        """A turn of it took so much."""
        self.cpu_ns += cpu_ns

    def reach_out(self, kind: str) -> None:
        """It starts an operation of this kind. Raises LimitExceededError when that is one too many."""
        if kind in _FREE:
            return
        self._subrequests += 1
        most = self._limits.subrequests or SUBREQUESTS_DEFAULT
        if self._subrequests > most:
            raise exceeded(
                f"Too many subrequests: this event has sent {most} requests and calls, the limit", limit="subrequests"
            )

    def overdue(self) -> LimitExceededError:
        """It has taken too long."""
        return exceeded(
            f"the event has not ended in {self.wall_s:.1f} s, the limit of its wall time: answer sooner, and leave the "
            "rest to ctx.wait_until()",
            limit="wall",
        )


def exceeded(message: str, *, limit: str) -> LimitExceededError:
    """The error of a limit that ends a call, and not the isolate."""
    error = LimitExceededError(message, limit=limit)
    error.durable_object_reset = False
    return error
