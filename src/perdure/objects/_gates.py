"""Input and output gates, as pure queues (spec 2.1, 2.2).

Rule 1: one turn at a time. Events wait in arrival order; while critical sections are open or wanted, only what the
object itself has caused is admitted (`Sections` orders that). Rule 2: what leaves waits for the writes that were made
before it, and for no later ones. Rule 3: a broken gate never reopens. Waiters are opaque values: the driver owns what
they mean. Effects: none.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from perdure.errors import OverloadedError, again
from perdure.limits import INPUT_QUEUE_MAX

W = TypeVar("W")


@dataclass(slots=True)
class InputGate(Generic[W]):
    """Who may run a turn now."""

    is_held: bool = False
    section_depth: int = 0
    error: Exception | None = None
    _events: deque[W] = field(default_factory=deque)
    _inside: deque[W] = field(default_factory=deque)

    def try_enter(self, *, inside: bool = False) -> bool:
        """Take the gate if it is free for this kind of turn; a queue that exists goes first."""
        self._check()
        if self.is_held or self._inside or (not inside and (self.section_depth or self._events)):
            return False
        self.is_held = True
        return True

    def enqueue(self, waiter: W, *, inside: bool = False) -> None:
        """Wait for a turn. Raises OverloadedError when too many events wait already."""
        self._check()
        if inside:
            self._inside.append(waiter)
            return
        if len(self._events) >= INPUT_QUEUE_MAX:
            raise OverloadedError(
                f"Durable Object is overloaded: {INPUT_QUEUE_MAX} requests are queued already; wait before trying again"
            )
        self._events.append(waiter)

    def leave(self) -> W | None:
        """End the turn; the waiter whose turn it is now, already admitted."""
        assert self.is_held, "a turn ended that had not begun"
        self.is_held = False
        return self._admit()

    def open_section(self) -> None:
        """A critical section runs, or waits for its turn: admit no event until the matching `close_section`."""
        self.section_depth += 1

    def close_section(self) -> W | None:
        """The waiter to admit, if the gate is free and was closed to it."""
        assert self.section_depth > 0, "a critical section ended that had not begun"
        self.section_depth -= 1
        return None if self.is_held else self._admit()

    def break_(self, error: Exception) -> list[W]:
        """Close for good; every waiter there is, to be told `error`."""
        self.error = self.error or error
        waiters = [*self._inside, *self._events]
        for queue in (self._inside, self._events):
            queue.clear()
        return waiters

    def withdraw(self, waiter: W) -> None:
        """Forget a waiter that gave up."""
        for queue in (self._inside, self._events):
            if waiter in queue:
                queue.remove(waiter)

    def _admit(self) -> W | None:
        if self.error is not None:
            return None
        if self._inside:
            self.is_held = True
            return self._inside.popleft()
        if self.section_depth or not self._events:
            return None
        self.is_held = True
        return self._events.popleft()

    def _check(self) -> None:
        if self.error is not None:
            raise again(self.error)


@dataclass(slots=True)
class OutputGate(Generic[W]):
    """What may leave now. A lock is taken for each batch of writes; its number says what it was made before.

    Batches that need no confirmation hold nothing back; only who asks for everything (`sync`) waits for them too.
    """

    error: Exception | None = None
    _last: int = 0
    _locks: dict[int, float] = field(default_factory=dict)  # number → when it was taken, oldest first
    _unconfirmed: dict[int, float] = field(default_factory=dict)
    _waiters: list[tuple[int, W]] = field(default_factory=list)
    _waiters_for_all: list[tuple[int, W]] = field(default_factory=list)
    _failed: int | None = None

    @property
    def is_open(self) -> bool:
        return not self._locks and self.error is None

    @property
    def is_settled(self) -> bool:
        """Whether nothing at all is on its way."""
        return not self._locks and not self._unconfirmed

    @property
    def mark(self) -> int:
        """The newest lock's number: what leaves now must wait for it and all older ones."""
        return self._last

    def oldest_lock_at(self) -> float | None:
        """When the oldest lock still held was taken, of either kind."""
        oldest = (next(iter(locks.values()), None) for locks in (self._locks, self._unconfirmed))
        return min((at for at in oldest if at is not None), default=None)

    def lock(self, *, at: float, is_confirmed: bool = True) -> int:
        """Take a lock for a batch of writes."""
        self._last += 1
        (self._locks if is_confirmed else self._unconfirmed)[self._last] = at
        return self._last

    def unlock(self, number: int) -> list[W]:
        """The batch is durable; the waiters that may go now."""
        self._locks.pop(number, None)
        self._unconfirmed.pop(number, None)
        return self._take_released()

    def fail(self, number: int, error: Exception) -> list[W]:
        """The batch will never be durable: broken at once. The waiters to be told `error`.

        Those that wait only for older locks stay, and go when these succeed.
        """
        self._locks.pop(number, None)
        self._unconfirmed.pop(number, None)
        if self.error is None:
            self.error, self._failed = error, number
        assert self._failed is not None
        failed = self._failed = min(self._failed, number)
        lost = [waiter for upto, waiter in (*self._waiters, *self._waiters_for_all) if upto >= failed]
        self._waiters = [(upto, waiter) for upto, waiter in self._waiters if upto < failed]
        self._waiters_for_all = [(upto, waiter) for upto, waiter in self._waiters_for_all if upto < failed]
        return lost

    def is_clear(self, upto: int, *, of_all: bool = False) -> bool:
        """True when nothing that `upto` must wait for is held. Raises the error of a broken gate.

        `of_all`: batches that need no confirmation count too.
        """
        if self.error is not None and (self._failed is None or upto >= self._failed):
            raise again(self.error)
        return self._oldest(of_all=of_all) > upto

    def wait(self, waiter: W, upto: int, *, for_all: bool = False) -> None:
        """Wait for every lock up to and including `upto`."""
        (self._waiters_for_all if for_all else self._waiters).append((upto, waiter))

    def break_(self, error: Exception) -> list[W]:
        """Nothing leaves any more: every waiter, to be told `error`."""
        self.error = self.error or error
        self._failed = 0
        lost = [waiter for _, waiter in (*self._waiters, *self._waiters_for_all)]
        for emptied in (self._waiters, self._waiters_for_all):
            emptied.clear()
        for locks in (self._locks, self._unconfirmed):
            locks.clear()
        return lost

    def _oldest(self, *, of_all: bool) -> int:
        """The number of the oldest lock held, or one that is yet to come."""
        oldest = next(iter(self._locks), self._last + 1)
        return min(oldest, next(iter(self._unconfirmed), oldest)) if of_all else oldest

    def _take_released(self) -> list[W]:
        released, self._waiters = _parted(self._waiters, self._oldest(of_all=False))
        if self._waiters_for_all:
            more, self._waiters_for_all = _parted(self._waiters_for_all, self._oldest(of_all=True))
            released += more
        return released


def _parted(waiters: list[tuple[int, W]], oldest: int) -> tuple[list[W], list[tuple[int, W]]]:
    """Who waits for nothing at or behind `oldest`, and the others."""
    return [waiter for upto, waiter in waiters if upto < oldest], [each for each in waiters if each[0] >= oldest]
