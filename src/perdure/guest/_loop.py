"""The guest's event loop: stepped by the host, it never waits.

A turn runs whatever is ready, then says when the next timer is due; the host calls again. Time is the host's, and
stands still within a turn, so that a test which owns the host's clock owns the guest's timers too. Whatever belongs
to a critical section, or to none, while another is open is held until that has ended: its context tells.
Effects: tasks.
"""

from __future__ import annotations

import asyncio
import heapq
import sys
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import Context
from typing import Any, TypeVar, TypeVarTuple

from perdure.api import CURRENT_SECTION, Sections

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

_RESOLUTION_S = 1e-6  # Seconds since the epoch, as floats, are exact to a quarter of this.


def _context_of(handle: asyncio.Handle) -> Context:
    context: Context = handle._context  # type: ignore[attr-defined]  # asyncio's own; typeshed leaves it out
    return context


class GuestLoop(asyncio.AbstractEventLoop):
    """An asyncio loop without a selector: no sockets, no threads, no sleeping."""

    def __init__(self, *, sections: Sections, on_lost_error: Callable[[str, BaseException | None], None]) -> None:
        self._sections = sections
        self._held: list[asyncio.Handle] = []
        self._ready: deque[asyncio.Handle] = deque()
        self._timers: list[tuple[float, int, asyncio.TimerHandle]] = []
        self._timers_made = 0
        self._now_s = 0.0
        self._is_running = False
        self._on_lost_error = on_lost_error
        self._exception_handler: Callable[[asyncio.AbstractEventLoop, dict[str, Any]], object] | None = None

    # ── what the host drives ─────────────────────────────────────────────────────────────────────────────────

    def begin_turn(self, now_ms: float) -> None:
        """From now on this loop is the running one, and it is `now_ms`. Time never goes back."""
        self._now_s = max(self._now_s, now_ms / 1000)
        self._is_running = True
        asyncio._set_running_loop(self)

    def end_turn(self) -> None:
        """The turn is over."""
        self._is_running = False
        asyncio._set_running_loop(None)

    def run_ready(self) -> None:
        """Run everything that is ready or due, and what that makes ready, until the guest waits for the host."""
        while True:
            while self._timers and self._timers[0][0] <= self._now_s + _RESOLUTION_S:
                self._ready.append(heapq.heappop(self._timers)[2])
            if not self._ready:
                return
            self._run_one(self._ready.popleft())

    def release_held(self) -> None:
        """A section has ended: what waited for that goes on, unless another section goes first."""
        if self._sections.next_or_none() is None:
            self._ready.extendleft(reversed(self._held))
            self._held.clear()

    def delay_ms(self) -> float | None:
        """How long until the next timer, None when there is none."""
        while self._timers and self._timers[0][2].cancelled():
            heapq.heappop(self._timers)
        return max(0.0, round((self._timers[0][0] - self._now_s) * 1000, 3)) if self._timers else None

    def start(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """A task that has run to its first suspension already: one that never suspends costs no round of the loop."""
        if sys.version_info >= (3, 12):
            return asyncio.Task(work, loop=self, eager_start=True)
        return self.create_task(work)

    def _run_one(self, handle: asyncio.Handle) -> None:
        if handle.cancelled():
            return
        if not self._sections.may_run(_context_of(handle).get(CURRENT_SECTION)):
            self._held.append(handle)
            return
        try:
            handle._run()
        except (SystemExit, KeyboardInterrupt):
            return  # `sys.exit()` in a task ends the task, which keeps the exception; there is no process to end.

    # ── what asyncio asks ────────────────────────────────────────────────────────────────────────────────────

    def time(self) -> float:
        return self._now_s

    def is_running(self) -> bool:
        return self._is_running

    def is_closed(self) -> bool:
        return False

    def get_debug(self) -> bool:
        return False

    def set_debug(self, enabled: bool) -> None:  # noqa: FBT001  # asyncio's signature
        del enabled

    def call_soon(
        self, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.Handle:
        handle = asyncio.Handle(callback, args, self, context)
        self._ready.append(handle)
        return handle

    call_soon_threadsafe = call_soon

    def call_later(
        self, delay: float, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        return self.call_at(self._now_s + delay, callback, *args, context=context)

    def call_at(
        self, when: float, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        handle = asyncio.TimerHandle(when, callback, args, self, context)
        self._timers_made += 1  # Timers of one moment fire in the order they were set.
        heapq.heappush(self._timers, (when, self._timers_made, handle))
        return handle

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """Asyncio's hook; a cancelled timer leaves the heap when its time comes."""

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self)

    def create_task(self, coro: Any, **options: Any) -> asyncio.Task[Any]:
        return asyncio.Task(coro, loop=self, **options)

    def set_task_factory(self, factory: object) -> None:
        raise NotImplementedError("tasks in the sandbox are made by its own loop")

    def get_task_factory(self) -> None:
        return None

    def run_in_executor(self, executor: object, func: Callable[[*Ts], T], *args: *Ts) -> asyncio.Future[T]:
        """Run `func` at once: the sandbox has one thread. `asyncio.to_thread` comes through here."""
        done: asyncio.Future[T] = self.create_future()
        try:
            done.set_result(func(*args))
        except Exception as error:  # noqa: BLE001  # the future carries it, as an executor's would
            done.set_exception(error)
        return done

    def get_exception_handler(self) -> Any:
        return self._exception_handler

    def set_exception_handler(self, handler: Any) -> None:
        self._exception_handler = handler

    def default_exception_handler(self, context: dict[str, Any]) -> None:
        self._on_lost_error(str(context.get("message", "")), context.get("exception"))

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        if self._exception_handler is None:
            self.default_exception_handler(context)
        else:
            self._exception_handler(self, context)

    def run_until_complete(self, future: object) -> Any:
        raise RuntimeError("the event loop of the sandbox is driven by its host: use `await`")

    def run_forever(self) -> None:
        raise RuntimeError("the event loop of the sandbox is driven by its host: use `await`")

    def stop(self) -> None:
        raise RuntimeError("the event loop of the sandbox is driven by its host: it cannot be stopped")

    def close(self) -> None:
        raise RuntimeError("the event loop of the sandbox is driven by its host: it cannot be closed")

    async def shutdown_asyncgens(self) -> None:
        """Nothing to do: the loop ends with the sandbox."""

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:  # noqa: ASYNC109  # asyncio's
        """Nothing to do: there is no executor."""
