"""Threads for guests: a stack of a known size, a lower priority than the event loop.

Effects: threads, process (their priority).
"""

from __future__ import annotations

import functools
import os
import sys
import threading
from collections.abc import Callable
from typing import Final

from perdure.limits import GUEST_STACK_BYTES, MIB, WORKER_THREAD_NICE, WORKER_THREAD_STACK_BYTES

if sys.platform != "win32":
    import resource

_HOST_STACK_BYTES: Final = 3 * MIB  # for what calls the guest, and what the guest calls
_STACK_SIZE_LOCK: Final = threading.Lock()


def has_room_for_guest() -> bool:
    """True on a thread whose stack certainly holds a guest's and our own frames: a deeper one would kill the process.

    That is a main thread with the usual 8 MiB. Of other threads that are not ours nothing is known: the stack of a
    second thread is 128 KiB with musl, 512 KiB on macOS.
    """
    return threading.current_thread() is threading.main_thread() and _main_thread_is_large()


@functools.cache
def _main_thread_is_large() -> bool:
    if sys.platform == "win32":
        return False
    soft, _ = resource.getrlimit(resource.RLIMIT_STACK)
    return soft == resource.RLIM_INFINITY or soft >= GUEST_STACK_BYTES + _HOST_STACK_BYTES


def start_thread(serve: Callable[[], None], *, name: str) -> threading.Thread:
    """A running thread with room for a guest's stack."""
    with _STACK_SIZE_LOCK:
        before = threading.stack_size(WORKER_THREAD_STACK_BYTES)  # a setting of the whole interpreter: put back below
        try:
            thread = threading.Thread(target=serve, name=name, daemon=True)
            thread.start()
        finally:
            threading.stack_size(before)
    return thread


def lower_priority() -> None:
    """Let the event loop go before this thread. Linux alone has priorities per thread, by the kernel's own id."""
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), WORKER_THREAD_NICE)
