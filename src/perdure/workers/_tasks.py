"""Tasks that several callers wait for. Effects: tasks."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import TypeVar

T = TypeVar("T")


def shared_task(work: Coroutine[object, object, T]) -> asyncio.Task[T]:
    """A task to be awaited through `asyncio.shield`, by any number of callers.

    Its failure is raised at each of them; when all have gone, it is nobody's and no warning is due.
    """
    task = asyncio.get_running_loop().create_task(work)
    task.add_done_callback(_look_at)
    return task


def _look_at(task: asyncio.Task[T]) -> None:
    if not task.cancelled():
        task.exception()
