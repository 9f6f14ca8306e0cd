"""Tails: who is told of each event of a dynamic worker after it has ended: its log, its exception, what it used.

What a tail does, or fails to do, is never noticed by the worker or by whoever called it. Effects: tasks, log.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Mapping, Sequence
from contextvars import Context
from typing import Final

from perdure.api import TAIL, Stub, target_of
from perdure.errors import GuestError, LimitExceededError
from perdure.limits import TAIL_LOG_BYTES_MAX, TAIL_S, TAILS_WAITING_MAX
from perdure.web import Request, Response

_LOG: Final = logging.getLogger("perdure")
_HIDDEN: Final = re.compile(r"auth|cookie|key|secret|token", re.IGNORECASE)
_OUTCOMES: Final = {"cpu": "exceededCpu", "memory": "exceededMemory", "wall": "exceededWall"}


class Trace:
    """What is known of one event."""

    def __init__(self, event: Mapping[str, object], *, entry_point: str, script: str, now_ms: int) -> None:
        self._item: dict[str, object] = {
            "scriptName": script,
            "entrypoint": None if entry_point == "default" else entry_point,
            "event": dict(event),
            "eventTimestamp": now_ms,
            "outcome": "ok",
        }
        self._logs: list[object] = []
        self._exceptions: list[object] = []
        self._log_bytes = 0
        self._is_truncated = False
        self._began_ms = now_ms

    def log(self, level: str, line: str, now_ms: int) -> None:
        """A line of the guest's log. What is too much is left out, and said so."""
        self._log_bytes += len(line)
        if self._log_bytes > TAIL_LOG_BYTES_MAX:
            self._is_truncated = True
        else:
            self._logs.append({"timestamp": now_ms, "level": level, "message": [line]})

    def answered(self, response: Response) -> None:
        """It was a request, and this is the answer."""
        event = self._item["event"]
        assert isinstance(event, dict)
        event["response"] = {"status": response.status}

    def failed(self, error: BaseException, now_ms: int) -> None:
        """It ended with an error."""
        if isinstance(error, asyncio.CancelledError):
            self._item["outcome"] = "canceled"
            return
        name = error.type_name if isinstance(error, GuestError) else type(error).__name__
        stack = error.guest_traceback if isinstance(error, GuestError) else ""
        limit = error.limit if isinstance(error, LimitExceededError) else ""
        self._item["outcome"] = _OUTCOMES.get(limit, "exception")
        self._exceptions.append({"timestamp": now_ms, "name": name, "message": str(error), "stack": stack})

    def item(self, *, cpu_ns: int, now_ms: int) -> Mapping[str, object]:
        """The TraceItem, once all is said."""
        return {
            **self._item,
            "logs": self._logs,
            "exceptions": self._exceptions,
            "cpuTime": cpu_ns // 1_000_000,
            "wallTime": now_ms - self._began_ms,
            "truncated": self._is_truncated,
        }


def request_event(request: Request) -> Mapping[str, object]:
    """What a tail is told of a request: no body, and no header that may hold a credential."""
    headers = {name: "REDACTED" if _HIDDEN.search(name) else value for name, value in request.headers.items()}
    return {"request": {"method": request.method, "url": request.url, "headers": headers}}


class Tails:
    """Tells the tails of all workers, beside everything else. A tail that is too slow misses what is too much."""

    def __init__(self) -> None:
        self._under_way: set[asyncio.Task[None]] = set()

    def tell(self, tails: Sequence[Stub], item: Mapping[str, object]) -> None:
        """Call `tail([item])` of each."""
        for tail in tails:
            if len(self._under_way) >= TAILS_WAITING_MAX:
                _LOG.warning("%d calls of tails are under way: what comes now is not told", TAILS_WAITING_MAX)
                return
            task = asyncio.get_running_loop().create_task(_tell(tail, item), context=Context())
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)

    def close(self) -> None:
        """Nobody is told any more."""
        for task in self._under_way:
            task.cancel()


async def _tell(tail: Stub, item: Mapping[str, object]) -> None:
    try:
        async with asyncio.timeout(TAIL_S):
            await target_of(tail).call((TAIL,), [[item]])
    except Exception as error:  # noqa: BLE001  # a tail may fail in any way: that is its own affair
        _LOG.warning("a tail has failed: %s: %s", type(error).__name__, error)
