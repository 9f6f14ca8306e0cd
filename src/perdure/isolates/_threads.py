"""Threads for guests: a stack of a known size, a lower priority than the event loop. Effects: threads, priorities."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from typing import Final

from perdure.limits import WORKER_THREAD_NICE, WORKER_THREAD_STACK_BYTES

_STACK_SIZE_LOCK: Final = threading.Lock()


def start_thread(serve: Callable[[], None]) -> threading.Thread:
    """A running thread with room for a guest's stack."""
    with _STACK_SIZE_LOCK:
        before = threading.stack_size(WORKER_THREAD_STACK_BYTES)  # a setting of the whole interpreter: put back below
        try:
            thread = threading.Thread(target=serve, name="perdure-guests", daemon=True)
            thread.start()
        finally:
            threading.stack_size(before)
    return thread


def lower_priority() -> None:
    """Let the event loop go before this thread. Linux alone has priorities per thread, by the kernel's own id."""
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), WORKER_THREAD_NICE)
