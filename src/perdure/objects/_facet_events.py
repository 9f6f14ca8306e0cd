"""EventStream: what a supervisor is told about its facets, in a queue that never grows too long.

Effects: tasks.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import replace
from typing import Any

from perdure.api import FacetEvent
from perdure.errors import (
    BudgetExceededError,
    GuestError,
    LimitExceededError,
    PerdureError,
    QuotaExceededError,
    UnavailableError,
)
from perdure.limits import FACET_EVENTS_WAITING_MAX


def outcome_of(error: BaseException | None) -> str:
    """How a request ended, in a word."""
    match error:
        case None:
            return "ok"
        case BudgetExceededError():
            return "budget"
        case LimitExceededError() | QuotaExceededError():
            return "limit"
        case asyncio.CancelledError() | GeneratorExit():
            return "cancelled"
        case PerdureError() if error.durable_object_reset or isinstance(error, UnavailableError):
            return "reset"
        case _:
            return "exception"


def told_of_error(error: BaseException | None) -> list[dict[str, Any]]:
    """The events that tell of an error, before the one that tells of the request's end."""
    match outcome_of(error):
        case "exception":
            text = (error.guest_traceback if isinstance(error, GuestError) else "") or str(error)
            type_name = error.type_name if isinstance(error, GuestError) else type(error).__name__
            return [{"kind": "exception", "text": text, "type_name": type_name}]
        case "limit" | "budget":
            limit = error.quota if isinstance(error, QuotaExceededError) else getattr(error, "limit", "")
            return [{"kind": "limit", "limit": limit, "text": str(error), "type_name": type(error).__name__}]
        case _:
            return []


class EventStream:
    """An async iterator of events. What is not read in time is lost, the oldest first, and counted.

    Several may read: each event goes to one of them.
    """

    def __init__(self) -> None:
        self._waiting: deque[FacetEvent] = deque()
        self._dropped = 0
        self._is_closed = False
        self._news = asyncio.Event()

    def put(self, event: FacetEvent) -> None:
        """Tell whoever reads."""
        if len(self._waiting) >= FACET_EVENTS_WAITING_MAX:
            self._waiting.popleft()
            self._dropped += 1
        self._waiting.append(event)
        self._news.set()

    def close(self) -> None:
        """Nothing more comes: whoever reads gets what waits, and then the end."""
        self._is_closed = True
        self._news.set()

    def __aiter__(self) -> EventStream:
        return self

    async def __anext__(self) -> FacetEvent:
        while not self._waiting:
            if self._is_closed:
                raise StopAsyncIteration
            self._news.clear()
            await self._news.wait()
        event, dropped = self._waiting.popleft(), self._dropped
        self._dropped = 0
        return replace(event, dropped=dropped) if dropped else event
