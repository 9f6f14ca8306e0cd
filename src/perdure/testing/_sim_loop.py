"""An event loop whose time is virtual: when nothing is ready it jumps to the next timer.

Everything is decided by the order in which callbacks were scheduled, so a run is the same every time. Nothing real can
wake it: no sockets, signals or subprocesses. Threads may call `call_soon_threadsafe`, and the loop waits for those it
started itself (`run_in_executor`). When nothing is ready, no timer is set and no thread works, the tasks wait for each
other: DeadlockError says so instead of hanging. Effects: tasks, timers, threads.
"""

from __future__ import annotations

import asyncio
import threading
from asyncio import base_events
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from contextvars import Context
from typing import Final, TypeVar, TypeVarTuple

T = TypeVar("T")
Ts = TypeVarTuple("Ts")
_THREAD_WAIT_S: Final = 300.0  # of real time, for a thread that never comes back: the first may compile a sandbox


class DeadlockError(RuntimeError):
    """No task can make progress: each waits for something that nobody will do."""


class UnheardError(RuntimeError):
    """A task or future failed, and nobody asked for its exception."""


class _NoSelector:
    """Stands where the loop waits for the world: instead of waiting it moves the loop's time."""

    def __init__(self, loop: SimLoop) -> None:
        self._loop = loop

    def select(self, timeout: float | None) -> list[object]:
        if timeout is None or timeout > 0:
            self._loop.nothing_ready(timeout)
        return []


class SimLoop(base_events.BaseEventLoop):
    """`asyncio` with virtual time, starting at 0; `run_sim` is the short way to one."""

    _default_executor: Executor | None
    _scheduled: list[asyncio.TimerHandle]

    def __init__(self) -> None:
        super().__init__()
        self._now_s = 0.0
        self._selector = _NoSelector(self)
        self._woken = threading.Event()
        self._threads_at_work = 0
        self._settling: list[asyncio.Future[None]] = []
        self._clock_resolution = 1e-9

    def time(self) -> float:
        """Virtual seconds."""
        return self._now_s

    def nothing_ready(self, timeout: float | None) -> None:
        """Jump to the next timer, or wait for a thread that works for this loop. Raises DeadlockError."""
        if self._woken.is_set():
            self._woken.clear()
        elif self._threads_at_work:
            if not self._woken.wait(_THREAD_WAIT_S):
                raise DeadlockError("a thread the loop waits for did not come back")
            self._woken.clear()
        elif self._settling:
            settling, self._settling = self._settling, []
            for waiter in settling:
                if not waiter.done():
                    waiter.set_result(None)
        elif timeout is None:
            raise DeadlockError(f"no task can make progress at {self._now_s:g} s: {_waiting(self)}")
        else:
            self._now_s = max(self._now_s, self._scheduled[0].when())

    def call_soon_threadsafe(
        self, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.Handle:
        handle = super().call_soon_threadsafe(callback, *args, context=context)
        self._woken.set()
        return handle

    def run_in_executor(self, executor: Executor | None, func: Callable[[*Ts], T], *args: *Ts) -> asyncio.Future[T]:
        """As always; while `func` runs, time stands still."""
        self._threads_at_work += 1
        future = super().run_in_executor(executor, func, *args)
        future.add_done_callback(self._thread_came_back)
        return future

    def _thread_came_back(self, future: asyncio.Future[T]) -> None:
        self._threads_at_work -= 1

    def thread_began(self) -> None:
        """A thread works for this loop: time stands still until `thread_ended`."""
        self._threads_at_work += 1

    def thread_ended(self) -> None:
        """What the thread had to say has arrived."""
        self._threads_at_work -= 1

    async def settle(self) -> None:
        """Until nothing more happens at this point in time, in tasks or in threads."""
        waiter = self.create_future()
        self._settling.append(waiter)
        await waiter

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:  # noqa: ASYNC109  # as inherited
        """End the threads of `run_in_executor`; by now they are idle."""
        self._executor_shutdown_called = True
        if self._default_executor is not None:
            self._default_executor.shutdown(wait=True)

    # What BaseEventLoop asks of a loop that has a selector.

    def _process_events(self, event_list: list[object]) -> None: ...

    def _write_to_self(self) -> None:
        self._woken.set()


def _waiting(loop: asyncio.AbstractEventLoop) -> str:
    names = sorted(task.get_name() for task in asyncio.all_tasks(loop))
    return f"{', '.join(names[:10])} wait for each other" if names else "nothing is scheduled"


def run_sim(work: Callable[[], Coroutine[object, object, T]]) -> T:
    """The result of `work()`, run to its end in a SimLoop of its own; tasks it left behind are cancelled.

    Raises UnheardError when the loop was told of a failure that nobody took.
    """
    unheard: list[str] = []
    with asyncio.Runner(loop_factory=SimLoop) as runner:
        runner.get_loop().set_exception_handler(
            lambda loop, told: unheard.append(f"{told['message']}: {told.get('exception')!r}")
        )
        result = runner.run(work())
    if unheard:
        raise UnheardError("; ".join(unheard))
    return result
