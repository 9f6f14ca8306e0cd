"""Metering: writes down what facets have used, so that a hard budget outlives evictions, resets and processes.

Each root object's totals go into its own database, in a unit of the host between two turns: at most every
`USAGE_WRITTEN_S`, and at once when a budget is overdrawn. Whatever becomes of an instance, what is not written yet
stays here until it is. So only the end of the whole process without a stop loses something: the last seconds.
Effects: disk, tasks, log.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Final
from weakref import WeakValueDictionary

from perdure.clock import Clock
from perdure.errors import OverloadedError, PerdureError, UnknownObjectError
from perdure.limits import USAGE_ROWS_PER_UNIT_MAX, USAGE_STOP_S, USAGE_WRITES_AT_ONCE_MAX, USAGE_WRITTEN_S
from perdure.objects._tree_usage import TreeUsage
from perdure.storage import Database, ObjectKey, UsageRow, write_usage

_LOG: Final = logging.getLogger("perdure.objects")

Write = Callable[[ObjectKey, Callable[[Database], None]], Awaitable[None]]
"""Runs a unit of the host in the root's own database, live or cold; what it wrote is durable on return."""


class Metering:
    """The meters of every root object in memory. `wake` is called when something begins to wait for `look`."""

    def __init__(self, write: Write, *, clock: Clock, wake: Callable[[], None]) -> None:
        self._write = write
        self._clock = clock
        self._wake = wake
        self._trees: WeakValueDictionary[ObjectKey, TreeUsage] = WeakValueDictionary()
        self._waiting: dict[ObjectKey, tuple[TreeUsage, float]] = {}
        """What is to be written, and when; in this order, for all wait equally long."""
        self._writing: dict[ObjectKey, asyncio.Task[None]] = {}
        self._urgent: set[ObjectKey] = set()
        self._is_ending = False

    def tree(self, key: ObjectKey) -> TreeUsage:
        """The meters of an object: those that its last instance left, if they are not written yet."""
        tree = self._trees.get(key)
        if tree is None:
            tree = self._trees[key] = TreeUsage(partial(self._changed, key))
        return tree

    def forget(self, key: ObjectKey) -> None:
        """The object is deleted."""
        tree = self._trees.get(key)
        if tree is not None:
            tree.clear()
        self._waiting.pop(key, None)

    @property
    def is_waiting(self) -> bool:
        """Whether `look` has something to do, now or later."""
        return bool(self._waiting)

    def look(self, now_s: float) -> None:
        """Begin to write what has waited long enough."""
        due: list[ObjectKey] = []
        for key, (_, due_s) in self._waiting.items():
            if due_s > now_s or len(self._writing) + len(due) >= USAGE_WRITES_AT_ONCE_MAX:
                break
            due.append(key)
        for key in due:
            self._start(key)

    async def finish(self) -> None:
        """Write everything, as far as that is possible within `USAGE_STOP_S`: the platform stops."""
        self._is_ending = True
        end_s = self._clock.monotonic_s() + USAGE_STOP_S
        while self._waiting or self._writing:
            self.look(end_s + USAGE_WRITTEN_S)
            left_s = end_s - self._clock.monotonic_s()
            if left_s <= 0 or not (await asyncio.wait(self._writing.values(), timeout=left_s))[0]:
                break
        for task in list(self._writing.values()):
            task.cancel()
        if self._waiting or self._writing:
            _LOG.warning("what the facets of %d objects used last could not be written down", len(self._waiting))

    def _changed(self, key: ObjectKey, tree: TreeUsage, *, is_urgent: bool) -> None:
        if key in self._writing:
            if is_urgent:
                self._urgent.add(key)
            return  # Whoever writes looks again at the end.
        if key not in self._waiting:
            self._waiting[key] = tree, self._clock.monotonic_s() + USAGE_WRITTEN_S
            self._wake()
        if is_urgent:
            self._start(key)

    def _start(self, key: ObjectKey) -> None:
        if key not in self._writing:
            tree, _ = self._waiting.pop(key)
            self._writing[key] = asyncio.get_running_loop().create_task(self._write_tree(key, tree))

    async def _write_tree(self, key: ObjectKey, tree: TreeUsage) -> None:
        rows: Sequence[UsageRow] = ()
        try:
            # No more than is there now: what moves meanwhile waits for its own turn.
            for _ in range(0, tree.unwritten_count, USAGE_ROWS_PER_UNIT_MAX):
                rows = tree.take(USAGE_ROWS_PER_UNIT_MAX)
                await self._write(key, partial(write_usage, rows=rows))
                rows = ()
        except UnknownObjectError:  # It was deleted, and its meters with it.
            rows = ()
        except PerdureError as error:
            if not isinstance(error, OverloadedError):  # A transaction that lasts: that is no failure.
                _LOG.warning("what facets used could not be written down yet: %s", error)
        finally:
            tree.give_back(rows)
            del self._writing[key]
            is_urgent = key in self._urgent
            self._urgent.discard(key)
            if tree.unwritten_count and not self._is_ending:
                self._changed(key, tree, is_urgent=is_urgent)
