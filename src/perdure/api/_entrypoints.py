"""The classes that user code extends. Effects: none."""

from __future__ import annotations

from typing import Any, ClassVar

from perdure.api._context import Context, WorkerContext


class DurableObject:
    """A named, single-threaded object with a database of its own.

    `async def fetch(self, request)` answers HTTP; every other public method can be called through a stub.
    `on_start(self)`, sync or async, runs before the first event. In-memory attributes last until the object is idle
    for ten seconds; `self.ctx.storage` lasts.
    """

    ctx: Context
    env: Any

    def __init__(self, ctx: Context, env: Any) -> None:
        self.ctx = ctx
        self.env = env


class WorkerEntrypoint:
    """A stateless entry point: a new instance answers each request."""

    ctx: WorkerContext
    env: Any
    is_entrypoint: ClassVar[bool] = True

    def __init__(self, ctx: WorkerContext, env: Any) -> None:
        self.ctx = ctx
        self.env = env
