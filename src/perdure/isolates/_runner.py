"""Where a turn runs: on the event loop while it is known to be short, else on a thread.

Handing a turn to a thread and back costs more than most turns, but a turn that computes would stop every other event.
So the history of a piece of code decides. A turn that was thought short has little CPU time; overrunning it ends its
isolate, and the caller repeats it on a thread.
Effects: threads, clock.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from collections import deque
from collections.abc import Callable
from typing import Final, Generic, Protocol, TypeVar

from perdure.clock import CPU, Clock, SystemClock
from perdure.errors import LimitExceededError, UnavailableError
from perdure.isolates._threads import has_room_for_guest, lower_priority, start_thread
from perdure.limits import INLINE_CPU_MS, INLINE_LONG_MS, INLINE_SHORT_MS, THREAD_LONG_MS, WORKER_THREADS_MAX

T = TypeVar("T")

Turn = Callable[[int], T]
"""The work of one turn, given its CPU time in ms."""

_TRUSTED_AFTER: Final = 2
_PROBATION_MAX: Final = 256
_FORGIVEN_AFTER: Final = 1_000


class InlineOverrunError(UnavailableError):
    """A turn that was thought short was not: its isolate has ended. Roll back, and run it on a thread."""

    code = "inline_overrun"
    retryable = True


class _Place(threading.local):
    """What the thread that reads it runs now."""

    is_inline = False


_PLACE: Final = _Place()


def is_inline() -> bool:
    """Whether this thread runs a turn that the event loop waits for. What may take long raises InlineOverrunError."""
    return _PLACE.is_inline


class CallHistory:
    """What is known about the turns of one piece of code. Pure: it is told their CPU time.

    Code is short after `_TRUSTED_AFTER` short turns in a row; each overrun, and each turn that held up the event loop
    without overrunning, makes it prove itself four times as long, until it has long been short.
    """

    __slots__ = ("_needed", "_short_in_a_row", "is_long")

    def __init__(self) -> None:
        self._short_in_a_row = 0
        self._needed = _TRUSTED_AFTER
        self.is_long = False

    @property
    def is_short(self) -> bool:
        """True while the last turns were all short."""
        return self._short_in_a_row >= self._needed

    def record(self, duration_ms: float, *, is_inline: bool = False) -> None:
        """A turn took so much CPU time: on a busy machine, short code is as short as ever."""
        self.is_long = duration_ms > THREAD_LONG_MS
        if is_inline and duration_ms > INLINE_LONG_MS:
            self.record_overrun()
            return
        self._short_in_a_row = self._short_in_a_row + 1 if duration_ms <= INLINE_SHORT_MS else 0
        if self._short_in_a_row >= _FORGIVEN_AFTER:
            self._needed = _TRUSTED_AFTER

    def record_overrun(self) -> None:
        """A turn that was thought short overran."""
        self._short_in_a_row = 0
        self._needed = min(self._needed * 4, _PROBATION_MAX)


class Runner:
    """Runs turns, inline or on worker threads."""

    def __init__(self, *, clock: Clock | None = None, threads_max: int = WORKER_THREADS_MAX) -> None:
        self._clock: Clock = clock or SystemClock()
        self._threads = WorkerThreads(threads_max, clock=self._clock)

    async def run(self, turn: Turn[T], history: CallHistory, *, cpu_ms: int) -> T:
        """Run `turn` where its history says. Raises InlineOverrunError, or what the turn raises."""
        if history.is_short:
            return self.run_inline(turn, history, cpu_ms=cpu_ms)
        return await self.run_on_thread(turn, history, cpu_ms=cpu_ms)

    def run_inline(self, turn: Turn[T], history: CallHistory, *, cpu_ms: int) -> T:
        """Run `turn` while the event loop waits, with little CPU time. Raises InlineOverrunError when it overran."""
        budget_ms = min(cpu_ms, INLINE_CPU_MS)
        timed = _Timed(turn, is_inline=True)
        try:
            result = timed(budget_ms) if has_room_for_guest() else self._threads.run(timed, budget_ms)
        except InlineOverrunError:  # The turn knew it itself, ahead of time.
            history.record_overrun()
            raise
        except LimitExceededError as error:
            if error.limit != "cpu" or budget_ms == cpu_ms:
                raise
            history.record_overrun()
            raise InlineOverrunError(
                f"a turn that was short before took more than {budget_ms} ms of CPU time: it is repeated on a thread"
            ) from error
        history.record(timed.duration_ms, is_inline=True)
        return result

    async def run_on_thread(self, turn: Turn[T], history: CallHistory, *, cpu_ms: int) -> T:
        """Run `turn` on a worker thread. Cancelling the caller waits for its end: a guest cannot be left behind."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[T] = loop.create_future()
        timed = _Timed(turn)
        work = _Work(timed, cpu_ms, loop, done)
        self._threads.submit(work, is_long=history.is_long)
        try:
            return await asyncio.shield(done)
        except asyncio.CancelledError:
            await asyncio.wait({done})
            raise
        finally:
            history.record(timed.duration_ms)

    def close(self) -> None:
        """End the threads, after what they are running."""
        self._threads.close()


class _Timed(Generic[T]):
    """A turn, and how much CPU time it took on whichever thread ran it."""

    __slots__ = ("_is_inline", "_turn", "duration_ms")

    def __init__(self, turn: Turn[T], *, is_inline: bool = False) -> None:
        self._turn = turn
        self._is_inline = is_inline
        self.duration_ms = 0.0

    def __call__(self, cpu_ms: int) -> T:
        started_s = CPU.total_s()
        _PLACE.is_inline = self._is_inline
        try:
            return self._turn(cpu_ms)
        finally:
            _PLACE.is_inline = False
            self.duration_ms = (CPU.total_s() - started_s) * 1000


class _Work(Generic[T]):
    """One turn on its way through a worker thread."""

    __slots__ = ("_cpu_ms", "_done", "_loop", "_turn")

    def __init__(self, turn: Turn[T], cpu_ms: int, loop: asyncio.AbstractEventLoop, done: asyncio.Future[T]) -> None:
        self._turn = turn
        self._cpu_ms = cpu_ms
        self._loop = loop
        self._done = done

    def run(self) -> None:
        """Run it, and bring its outcome to the loop."""
        try:
            result = self._turn(self._cpu_ms)
        except BaseException as error:  # noqa: BLE001  # it is raised where the turn is awaited
            self._loop.call_soon_threadsafe(self._done.set_exception, error)
        else:
            self._loop.call_soon_threadsafe(self._done.set_result, result)


class _WaitedFor(Generic[T]):
    """One turn whose caller blocks."""

    __slots__ = ("_cpu_ms", "_done", "_turn")

    def __init__(self, turn: Turn[T], cpu_ms: int, done: concurrent.futures.Future[T]) -> None:
        self._turn = turn
        self._cpu_ms = cpu_ms
        self._done = done

    def run(self) -> None:
        """Run it, and hand over its outcome."""
        try:
            self._done.set_result(self._turn(self._cpu_ms))
        except BaseException as error:  # noqa: BLE001  # it is raised where the turn is waited for
            self._done.set_exception(error)


class _Runnable(Protocol):
    def run(self) -> None: ...


class WorkerThreads:
    """Threads for guests that compute: a known stack, a lower priority than the event loop.

    Work that is known to be long gets half of them at most. When most of them are held up by what nobody knew to be
    long, others are started in their place, once: so code that is new is not kept waiting by code that burns.
    """

    def __init__(self, threads_max: int, *, clock: Clock | None = None) -> None:
        self._threads_max = threads_max
        self._long_max = max(1, threads_max // 2)
        self._clock: Clock = clock or SystemClock()
        self._work: deque[_Runnable] = deque()
        self._long_work: deque[_Runnable] = deque()
        self._threads: list[threading.Thread] = []
        self._changed = threading.Condition()
        self._running: dict[_Runnable, float] = {}
        self._running_long = 0
        self._is_closed = False

    def submit(self, work: _Runnable, *, is_long: bool = False) -> None:
        """Run `work` on a thread, as soon as one is free."""
        with self._changed:
            (self._long_work if is_long else self._work).append(work)
            waiting = len(self._work) + len(self._long_work)
            if len(self._running) + waiting > len(self._threads) and len(self._threads) < self._threads_wanted():
                self._threads.append(start_thread(self._serve, name="perdure-guests"))
            self._changed.notify()

    def run(self, turn: Turn[T], cpu_ms: int) -> T:
        """Run `turn` on a thread and wait for it here."""
        done: concurrent.futures.Future[T] = concurrent.futures.Future()
        self.submit(_WaitedFor(turn, cpu_ms, done))
        return done.result()

    def close(self) -> None:
        """End the threads."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def _threads_wanted(self) -> int:
        long_ago_s = self._clock.monotonic_s() - THREAD_LONG_MS / 1000
        held_up = sum(started_s < long_ago_s for started_s in self._running.values())
        return self._threads_max + min(held_up, self._threads_max)

    def _serve(self) -> None:
        lower_priority()
        while (taken := self._take()) is not None:
            work, is_long = taken
            work.run()
            with self._changed:
                del self._running[work]
                self._running_long -= is_long
                self._changed.notify()
            del work, taken  # A thread that waits must not keep the last turn, and what hangs on it, alive.

    def _take(self) -> tuple[_Runnable, bool] | None:
        with self._changed:
            while (found := self._next()) is None:
                if self._is_closed and not self._work and not self._long_work:
                    return None
                self._changed.wait()
            work, is_long = found
            self._running[work] = self._clock.monotonic_s()
            self._running_long += is_long
            return found

    def _next(self) -> tuple[_Runnable, bool] | None:
        """What to run now. Long work always has one thread, so that short work cannot keep it out for ever."""
        may_be_long = self._running_long < (self._long_max if not self._work else 1)
        if self._long_work and may_be_long:
            return self._long_work.popleft(), True
        return (self._work.popleft(), False) if self._work else None
