"""What the isolates of all languages share: one store, one host, one life. Effects: threads (a lock)."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod

from perdure.errors import InternalError, ObjectResetError
from perdure.isolates import _failures as failures
from perdure.isolates._engine import GuestStore
from perdure.isolates._isolate import GuestHost, NoHost
from perdure.limits import GUEST_REPORT_BYTES_MAX, HOST_CALLS_PER_TURN_MAX
from perdure.wire import HostOp


class WasmIsolate(ABC):
    """One guest in one store; see the port `Isolate`.

    A language adds how its export is entered. Closing an isolate that runs on another thread stops it at the
    engine's next look and frees it when it has returned.
    """

    language: str

    __slots__ = ("_host_calls", "_is_alive", "_running", "_store", "host")

    def __init__(self, store: GuestStore) -> None:
        self.host: GuestHost = NoHost()
        self._store = store
        self._is_alive = True
        self._host_calls = 0
        self._running = threading.Lock()
        store.isolate = self

    @property
    def is_alive(self) -> bool:
        """False once a call has failed, or after `close`."""
        return self._is_alive

    @property
    @abstractmethod
    def memory_bytes(self) -> int:
        """What it holds, measured or estimated."""

    @abstractmethod
    def _enter(self, op: int, payload: bytes) -> str:
        """Call the guest's export. Raises what stopped it."""

    @abstractmethod
    def rehearse(self) -> None:
        """Get ready for use, ahead of it."""

    def limit_memory(self, memory_bytes: int) -> None:
        """Bound its memory; before the first call."""
        self._store.limit_memory(memory_bytes)

    def call(self, op: int, payload: str, *, cpu_ms: int) -> str:
        """Run the guest until it is idle; see `Isolate.call`."""
        if not self._running.acquire(blocking=False):
            raise InternalError("an isolate was entered while it was running; please report this")
        try:
            if not self._is_alive:
                raise failures.ended()
            self._host_calls = 0
            self._store.begin(cpu_ms)
            try:
                return self._enter(op, payload.encode())
            except BaseException:
                self._is_alive = False
                raise
            finally:
                self._store.finish()
        finally:
            self._running.release()
            if self._store.is_unwanted:
                self.close()

    def close(self) -> None:
        """Free it, or let the thread that runs it do so. Idempotent."""
        self._is_alive = False
        # First the wish, then the attempt: whichever thread comes last finds both.
        self._store.is_unwanted = True
        if self._running.acquire(blocking=False):
            try:
                self._store.close()
            finally:
                self._running.release()

    def answer(self, op: int, key: str, payload: str) -> str:
        """The reply to one host call. Raises what ends the isolate."""
        self._host_calls += 1
        if self._host_calls > HOST_CALLS_PER_TURN_MAX:
            raise failures.host_calls_exceeded()
        if op == HostOp.EXHAUSTED:
            raise failures.memory_exceeded(self._store.memory_limit_bytes)
        reply = self.host.host_call(op, key, payload)
        if op == HostOp.ABORT:
            raise ObjectResetError(payload)  # The host need not raise: a guest that aborts never goes on.
        return reply

    def checked_size(self, size_bytes: int) -> int:
        """The size of a report. Raises LimitExceededError when it is too large to take."""
        if size_bytes > GUEST_REPORT_BYTES_MAX:
            raise failures.output_exceeded(size_bytes, GUEST_REPORT_BYTES_MAX)
        return size_bytes
