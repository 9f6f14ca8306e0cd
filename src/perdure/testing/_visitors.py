"""Visitors: coroutines from another event loop, or none, that run on a SimLoop.

The loop runs in a thread of its own while somebody waits for it, and stands still in between, time included.
Effects: threads.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections import deque
from collections.abc import Coroutine
from concurrent.futures import Future
from enum import Enum
from functools import partial
from typing import Generic, TypeVar

from perdure.testing._sim_loop import DeadlockError, SimLoop

T = TypeVar("T")


class _Order(Enum):
    RUN = "run"
    END = "end"


class Visitors:
    """Runs what comes from elsewhere on `loop`."""

    def __init__(self, loop: SimLoop) -> None:
        self._loop = loop
        self._lock = threading.Lock()
        self._waiting: deque[_Visit[object]] = deque()
        self._inside: set[_Visit[object]] = set()
        self._is_running = False
        self._rounds: queue.SimpleQueue[_Order] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._changed = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    async def receive(self, work: Coroutine[object, object, T]) -> T:
        """Run `work` on the loop; called from another."""
        visit = _Visit(work)
        with self._lock:
            self._waiting.append(visit)  # type: ignore[arg-type]  # what it returns is between it and its future
            if self._is_running:
                self._loop.call_soon_threadsafe(self._changed.set)
            else:
                self._is_running = True
                self._rounds.put(_Order.RUN)
            if self._thread is None:
                self._thread = threading.Thread(target=self._serve, name="perdure-world", daemon=True)
                self._thread.start()
        return await asyncio.wrap_future(visit.future)

    def close(self) -> None:
        """End the thread."""
        if self._thread is not None:
            self._rounds.put(_Order.END)
            self._thread.join()
            self._thread = None

    def _serve(self) -> None:
        while self._rounds.get() is _Order.RUN:
            try:
                self._loop.run_until_complete(self._round())
            except DeadlockError as error:
                self._turn_away(error)

    def _turn_away(self, error: DeadlockError) -> None:
        with self._lock:
            self._is_running = False
            visits = [*self._inside, *self._waiting]
            self._inside.clear()
            self._waiting.clear()
        for visit in visits:
            visit.fail(error)

    async def _round(self) -> None:
        """Until every visitor has left."""
        while True:
            with self._lock:
                self._changed.clear()
                while self._waiting:
                    visit = self._waiting.popleft()
                    self._inside.add(visit)
                    task = asyncio.ensure_future(visit.run())
                    self._tasks.add(task)
                    task.add_done_callback(partial(self._left, visit))
                if not self._inside:
                    self._is_running = False
                    return
            await self._changed.wait()

    def _left(self, visit: _Visit[object], task: asyncio.Task[None]) -> None:
        self._inside.discard(visit)
        self._tasks.discard(task)
        self._changed.set()


class _Visit(Generic[T]):
    """One coroutine, and where its outcome is wanted."""

    def __init__(self, work: Coroutine[object, object, T]) -> None:
        self._work = work
        self.future: Future[T] = Future()

    async def run(self) -> None:
        """Run it; a visitor that was cancelled is not waited for."""
        if not self.future.set_running_or_notify_cancel():
            self._work.close()
            return
        try:
            result = await self._work
        except BaseException as error:  # noqa: BLE001  # it is raised where the visitor waits
            self.fail(error)
        else:
            if not self.future.done():
                self.future.set_result(result)

    def fail(self, error: BaseException) -> None:
        """Tell whoever waits that it will not end well."""
        if not self.future.done():
            self.future.set_exception(error)
