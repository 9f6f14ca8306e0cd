"""The Wasmtime engine: one configuration for all guests, the clock that stops them, and their stores.

The configuration is part of the sandbox: Cranelift only, memory on demand (a pooling allocator has leaked between
instances before), epochs to interrupt any loop. An epoch deadline only says when to look: what counts is the CPU time
of the thread, so that a busy machine stops nobody who did not compute.
Effects: threads, CPU clock.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Final, Protocol

from wasmtime import Config, Module
from wasmtime import Engine as WasmtimeEngine
from wasmtime import _ffi as declared
from wasmtime.component import Component

from perdure.isolates import _failures as failures
from perdure.isolates import _ffi as ffi
from perdure.isolates._code_cache import CodeCache
from perdure.isolates._images import Image
from perdure.isolates._isolate import GuestHost
from perdure.limits import GUEST_STACK_BYTES, MIB

TICK_S: Final = 0.005
_TICK_NS: Final = int(TICK_S * 1_000_000_000)
_LOOK_NS: Final = 100_000_000  # how soon a guest that nobody wants any more is stopped
_QUIET_TICKS: Final = 200  # how long the ticker stays awake after the last call: waking a thread costs more than a tick
_TICKS_WITHOUT_END: Final = 1 << 40  # for making an instance: our own code, from our own image

_TABLE_ELEMENTS_MAX: Final = 100_000
_INSTANCES_MAX: Final = 1_000  # a component is many core instances
_TABLES_MAX: Final = 100
_MEMORIES_MAX: Final = 10


class Engine:
    """Compiles or maps images, makes stores. Thread-safe."""

    def __init__(
        self, *, cache_directory: Path | None = None, on_progress: Callable[[str], None] | None = None
    ) -> None:
        self._engine = WasmtimeEngine(_config())
        self._cache = CodeCache(
            cache_directory, configuration=_configuration_key(), on_progress=on_progress or _tell_nobody
        )
        self.ticker = EpochTicker(ffi.address(self._engine.ptr()))

    @property
    def wasmtime(self) -> WasmtimeEngine:
        """Wasmtime's own engine, to make linkers with."""
        return self._engine

    def load_component(self, image: Image) -> Component:
        """A component (Python), from the cache or compiled."""
        return self._cache.load(image, self._engine, compile_code=Component, map_file=Component.deserialize_file)

    def load_module(self, image: Image) -> Module:
        """A core module (JavaScript), from the cache or compiled."""
        return self._cache.load(image, self._engine, compile_code=Module, map_file=Module.deserialize_file)

    def new_store(self) -> GuestStore:
        """A store for one guest."""
        return GuestStore(ffi.address(self._engine.ptr()), self.ticker)

    def close(self) -> None:
        """Stop the ticker. Stores that are still alive must not run after it."""
        self.ticker.close()


def _config() -> Config:
    config = Config()
    config.strategy = "cranelift"
    config.epoch_interruption = True
    declared.wasmtime_config_async_stack_size_set(
        config.ptr(), GUEST_STACK_BYTES + MIB
    )  # must not be smaller, used or not
    config.max_wasm_stack = GUEST_STACK_BYTES
    config.memory_may_move = False  # so that an address into a memory stays right while it grows
    return config


def _configuration_key() -> str:
    """Everything but the image that compiled code depends on; Wasmtime checks the CPU itself."""
    return f"wasmtime {version('wasmtime')} cranelift epochs stack={GUEST_STACK_BYTES}"


def _tell_nobody(text: str) -> None:
    del text


class EpochTicker:
    """Moves the engine's epoch forward while guests run, and sleeps while none do."""

    def __init__(self, engine: int) -> None:
        self._engine = engine
        self._lock = threading.Lock()
        self._running = 0
        self._is_asleep = True
        self._wake = threading.Event()
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._tick, name="perdure-epochs", daemon=True)
        self._thread.start()

    def enter(self) -> None:
        """A guest begins to run."""
        with self._lock:
            self._running += 1
            if self._is_asleep:
                self._is_asleep = False
                self._wake.set()

    def leave(self) -> None:
        """A guest has stopped running."""
        with self._lock:
            self._running -= 1

    def close(self) -> None:
        """End the thread."""
        self._closed.set()
        self._wake.set()
        self._thread.join()

    def _tick(self) -> None:
        quiet = 0
        while True:
            self._wake.wait()
            if self._closed.wait(TICK_S):
                return
            ffi.increment_epoch(self._engine)
            with self._lock:
                quiet = 0 if self._running else quiet + 1
                if quiet > _QUIET_TICKS and not self._closed.is_set():
                    self._is_asleep = True
                    self._wake.clear()


class StoredIsolate(Protocol):
    """Whoever lives in a store, as callbacks need it."""

    def answer(self, op: int, key: str, payload: str) -> str:
        """The reply to one host call."""
        ...

    @property
    def host(self) -> GuestHost:
        """Who answers."""
        ...


class GuestStore:
    """One guest's Wasmtime store: its memory limit, its CPU budget, and why it was stopped.

    `failure` is set by whoever stops the guest, before it returns an error to Wasmtime; `stopped_by` finds it there.
    """

    __slots__ = (
        "_budget_ns", "_cpu_ms", "_memory_bytes", "_started_ns", "_store", "_ticker",
        "context", "failure", "is_unwanted", "isolate",
    )  # fmt: skip

    def __init__(self, engine: int, ticker: EpochTicker) -> None:
        self._ticker = ticker
        self._store: int | None = int(ffi.store_new(engine, None, None))
        self.context = int(ffi.store_context(self._store))
        self.failure: BaseException | None = None
        self.is_unwanted = False
        self.isolate: StoredIsolate | None = None
        self._cpu_ms = 0
        self._budget_ns = 0
        self._started_ns = 0
        self._memory_bytes = 0
        ffi.store_epoch_callback(self._store, _on_deadline, None, None)
        ffi.set_epoch_deadline(self.context, _TICKS_WITHOUT_END)
        _STORES[self.context] = self

    @property
    def memory_limit_bytes(self) -> int:
        """How large the guest's memory may become."""
        return self._memory_bytes

    def limit_memory(self, memory_bytes: int) -> None:
        """Bound the guest's linear memory; an allocation beyond it fails inside the guest."""
        self._memory_bytes = memory_bytes
        ffi.store_limiter(self._store, memory_bytes, _TABLE_ELEMENTS_MAX, _INSTANCES_MAX, _TABLES_MAX, _MEMORIES_MAX)

    def begin(self, cpu_ms: int) -> None:
        """The guest begins to run on this thread, with this much CPU time."""
        self.failure = None
        self._cpu_ms = cpu_ms
        self._budget_ns = cpu_ms * 1_000_000
        self._started_ns = time.thread_time_ns()
        self._ticker.enter()
        ffi.set_epoch_deadline(self.context, _ticks(min(self._budget_ns, _LOOK_NS)))

    def finish(self) -> None:
        """The guest has stopped running."""
        self._ticker.leave()

    def stop_because(self, failure: BaseException) -> int:
        """Note why, and give Wasmtime the error that stops the guest: what a host function returns."""
        self.failure = failure
        return ffi.new_error("stopped by the host")

    def stopped_by(self, error: int) -> BaseException:
        """Why the call that returned this error ended; frees the error."""
        message, exit_status = ffi.take_error(error)
        if self.failure is not None:
            return self.failure
        return failures.stopped(
            message, exit_status=exit_status, memory_bytes=self._memory_bytes, stack_bytes=GUEST_STACK_BYTES
        )

    def trap_because(self, failure: BaseException) -> int:
        """As `stop_because`, for host functions of core modules: they return a trap."""
        self.failure = failure
        return ffi.new_trap("stopped by the host")

    def trapped_by(self, trap: int) -> BaseException:
        """Why the call that ended in this trap did; frees the trap."""
        message = ffi.take_trap(trap)
        if self.failure is not None:
            return self.failure
        return failures.stopped(
            message, exit_status=None, memory_bytes=self._memory_bytes, stack_bytes=GUEST_STACK_BYTES
        )

    def close(self) -> None:
        """Free the guest with its memory. Idempotent."""
        if self._store is not None:
            _STORES.pop(self.context, None)
            ffi.store_delete(self._store)
            self._store = None
            self.isolate = None

    def more_ticks(self) -> int:
        """How long the guest may go on before the next look; 0 when it may not."""
        if self.is_unwanted:
            self.failure = failures.ended()
            return 0
        left_ns = self._budget_ns - (time.thread_time_ns() - self._started_ns)
        if left_ns > 0:
            return _ticks(min(left_ns, _LOOK_NS))
        self.failure = failures.cpu_exceeded(self._cpu_ms)
        return 0


_STORES: Final[dict[int, GuestStore]] = {}
"""Live stores by the address of their context: how a callback finds whose guest it serves."""


def store_of(context: int) -> GuestStore:
    """The store a callback was called for."""
    return _STORES[context]


def isolate_of(context: int) -> StoredIsolate:
    """The isolate a callback was called for."""
    isolate = _STORES[context].isolate
    assert isolate is not None
    return isolate


def _ticks(duration_ns: int) -> int:
    """The ticks after which `duration_ns` has passed for certain: the current one is already under way."""
    return -(-duration_ns // _TICK_NS) + 1


@ffi.EpochCallback  # type: ignore[untyped-decorator]  # ctypes
def _on_deadline(context: int, data: int | None, ticks: object, kind: int | None) -> int:
    del data, kind  # Nothing is registered, and 0, which is `continue`, is what Wasmtime put there.
    store = _STORES.get(context)
    more = store.more_ticks() if store is not None else 0
    if not more:
        return ffi.new_error("stopped by the engine")
    ticks[0] = more  # type: ignore[index]  # a ctypes pointer to u64
    return 0


assert GUEST_STACK_BYTES % MIB == 0
