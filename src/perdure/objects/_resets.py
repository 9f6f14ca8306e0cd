"""Why an object is reset, as the error that everybody who waits for it gets.

Effects: tasks (it knows what a cancelled one raises).
"""

from __future__ import annotations

import asyncio

from perdure.errors import InternalError, ObjectResetError, OverloadedError, PerdureError
from perdure.limits import BLOCK_CONCURRENCY_TIMEOUT_S


def section_overdue() -> OverloadedError:
    """Why an object is reset whose critical section took too long (spec 1.8)."""
    return OverloadedError(
        "A call to blockConcurrencyWhile() in a Durable Object waited for too long "
        f"({BLOCK_CONCURRENCY_TIMEOUT_S:g} s): the object was reset"
    )


def as_perdure_error(error: BaseException) -> PerdureError:
    """`error`, or what it means for an object that cannot go on."""
    if isinstance(error, PerdureError):
        return error
    if isinstance(error, Exception):
        reset = ObjectResetError(f"the object was reset: {type(error).__name__}: {error}")
        reset.__cause__ = error
        return reset
    if isinstance(error, asyncio.CancelledError):
        return ObjectResetError(
            "the object was reset: the call that ran its start or its critical section was cancelled", retryable=True
        )
    return InternalError(f"the object was reset by {type(error).__name__}")
