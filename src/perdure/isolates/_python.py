"""The Python guest: CPython as a WebAssembly component, made from a snapshot with its standard library loaded.

It imports one function of ours, `host-call`, and WASI. WASI gives it randomness and no files, sockets, arguments or
environment; its clocks are replaced, so that a guest sees its host's time, in steps too coarse to time a cache with,
and cannot make its thread wait.
Effects: none of its own (the CPU clock, through the engine).
"""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable
from typing import Final

from wasmtime import _ffi as declared
from wasmtime.component import Component, Linker

from perdure.errors import InternalError
from perdure.isolates import _failures as failures
from perdure.isolates import _ffi as ffi
from perdure.isolates._engine import Engine, GuestStore, store_of
from perdure.isolates._images import load_image
from perdure.isolates._isolate import GuestHost, NoHost
from perdure.limits import (
    GUEST_REPORT_BYTES_MAX,
    HOST_CALL_BYTES_MAX,
    HOST_CALLS_PER_TURN_MAX,
    MEMORY_BYTES_DEFAULT,
    MIB,
)
from perdure.wire import HostOp

_WASI: Final = "0.2.9"  # the version that componentize-py's runtime imports
_CLOCK_STEP_NS: Final = 1_000_000
_LIVE_BYTES: Final = 2 * MIB  # measured: private memory of an instance that has loaded a small worker

_ISOLATES: Final[dict[int, PythonIsolate]] = {}
"""Isolates by the context of their store: how a host call finds whom it comes from."""


class PythonGuests:
    """Makes Python isolates: compile or map the image once, then an instance takes half a millisecond."""

    language = "python"

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._component = engine.load_component(load_image(self.language))
        self._linker = _linker(engine)
        call = self._component.get_export_index("call")
        if call is None:
            raise InternalError("the Python guest image exports no `call`; please report this")
        self._call = call

    def make(self) -> PythonIsolate:
        """A fresh instance, before any code is loaded into it."""
        store = self._engine.new_store()
        store.limit_memory(MEMORY_BYTES_DEFAULT)
        try:
            return PythonIsolate(store, _instantiate(self._linker, self._component, store, ffi.address(self._call.ptr())))
        except BaseException:
            store.close()
            raise


class PythonIsolate:
    """One Python guest; see `Isolate`."""

    language = "python"

    __slots__ = ("_arguments", "_function", "_host_calls", "_is_alive", "_result", "_store", "host")

    def __init__(self, store: GuestStore, function: ctypes.Structure) -> None:
        self._store = store
        self._function = function
        self._arguments = (ffi.Value * 2)()
        self._result = ffi.Value()
        self._is_alive = True
        self._host_calls = 0
        self.host: GuestHost = NoHost()
        _ISOLATES[store.context] = self

    @property
    def is_alive(self) -> bool:
        """False once a call has failed, or after `close`."""
        return self._is_alive

    @property
    def memory_bytes(self) -> int:
        """What an instance holds as a rule: Wasmtime does not tell the size of a component's memory."""
        return _LIVE_BYTES if self._is_alive else 0

    def limit_memory(self, memory_bytes: int) -> None:
        """Bound its memory; before the first call."""
        self._store.limit_memory(memory_bytes)

    def call(self, op: int, payload: str, *, cpu_ms: int) -> str:
        """Run the guest until it is idle; see `Isolate.call`."""
        if not self._is_alive:
            raise failures.ended()
        text = payload.encode()
        first, second = ctypes.addressof(self._arguments), ctypes.addressof(self._arguments[1])
        result = ctypes.addressof(self._result)
        ffi.write_u32(first, op)
        ffi.write_string(second, text)
        self._host_calls = 0
        self._is_alive = False  # until it has come back in good order: it may not be entered again meanwhile
        self._store.begin(cpu_ms)
        try:
            error = ffi.component_call(ctypes.addressof(self._function), self._store.context, first, 2, result, 1)
        finally:
            self._store.finish()
            ffi.free_string(second)
        if error:
            raise self._store.stopped_by(error)
        reply = self._take_reply(result)
        self._is_alive = True
        return reply

    def close(self) -> None:
        """Free it. Idempotent."""
        self._is_alive = False
        _ISOLATES.pop(self._store.context, None)
        self._store.close()

    def answer(self, arguments: int, count: int) -> str:
        """The reply to one host call. Raises what ends the isolate."""
        op, key, payload = ffi.read_host_call(arguments, count, size_bytes_max=HOST_CALL_BYTES_MAX)
        self._host_calls += 1
        if self._host_calls > HOST_CALLS_PER_TURN_MAX:
            raise failures.host_calls_exceeded()
        if op == HostOp.EXHAUSTED:
            raise failures.memory_exceeded(self._store.memory_limit_bytes)
        return self.host.host_call(op, key, payload)

    def _take_reply(self, result: int) -> str:
        try:
            if self._result.number > GUEST_REPORT_BYTES_MAX:
                raise failures.output_exceeded(self._result.number, GUEST_REPORT_BYTES_MAX)
            return ffi.read_string(result, size_bytes_max=GUEST_REPORT_BYTES_MAX)
        finally:
            ffi.free_string(result)


# ── linking ──────────────────────────────────────────────────────────────────────────────────────────────────


def _instantiate(linker: Linker, component: Component, store: GuestStore, call: int) -> ctypes.Structure:
    ffi.check(ffi.set_wasi(store.context, ffi.wasi_new()))
    instance = declared.wasmtime_component_instance_t()
    ffi.check(
        ffi.linker_instantiate(
            ffi.address(linker.ptr()), store.context, ffi.address(component.ptr()), ctypes.addressof(instance)
        )
    )
    function = declared.wasmtime_component_func_t()
    if not ffi.instance_get_function(
        ctypes.addressof(instance), store.context, call, ctypes.addressof(function)
    ):
        raise InternalError("the Python guest's `call` is no function; please report this")
    return function


def _linker(engine: Engine) -> Linker:
    linker = Linker(engine.wasmtime)
    linker.add_wasip2()
    linker.allow_shadowing = True
    root = ffi.linker_root(ffi.address(linker.ptr()))
    try:
        _add_functions(root, {"host-call": _host_call})
        # A definition of an instance replaces the whole instance, so both clocks are complete.
        _add_instance(
            root,
            f"wasi:clocks/monotonic-clock@{_WASI}",
            {
                "now": _monotonic_now,
                "resolution": _monotonic_resolution,
                "subscribe-duration": _refuse_to_wait,
                "subscribe-instant": _refuse_to_wait,
            },
        )
        _add_instance(root, f"wasi:clocks/wall-clock@{_WASI}", {"now": _wall_now, "resolution": _wall_resolution})
    finally:
        ffi.linker_instance_delete(root)
    return linker


def _add_instance(root: int, name: str, functions: dict[str, ffi.HostFunctionType]) -> None:
    instance = ctypes.c_void_p()
    ffi.check(ffi.linker_add_instance(root, name.encode(), len(name), ctypes.addressof(instance)))
    try:
        _add_functions(instance.value or 0, functions)
    finally:
        ffi.linker_instance_delete(instance)


def _add_functions(instance: int, functions: dict[str, ffi.HostFunctionType]) -> None:
    for name, function in functions.items():
        ffi.check(ffi.linker_add_function(instance, name.encode(), len(name), function, None, None))


# ── host functions ───────────────────────────────────────────────────────────────────────────────────────────
# Python calls these from inside Wasmtime, where an exception would be lost: each one turns it into an error.


def _host_function(work: Callable[[int, int, int, int], None]) -> ffi.HostFunctionType:
    def call(
        data: int | None, context: int, kind: int | None, arguments: int, count: int, results: int, result_count: int
    ) -> int:
        del data, kind, result_count
        try:
            work(context, arguments, count, results)
        except BaseException as failure:  # noqa: BLE001  # it comes out of Isolate.call, unchanged
            return store_of(context).stop_because(failure)
        return 0

    return ffi.HostFunction(call)


@_host_function
def _host_call(context: int, arguments: int, count: int, results: int) -> None:
    reply = _ISOLATES[context].answer(arguments, count)
    ffi.write_string(results, reply.encode("utf-8", "replace"))


@_host_function
def _wall_now(context: int, arguments: int, count: int, results: int) -> None:
    milliseconds = int(_ISOLATES[context].host.host_call(HostOp.CLOCK, "", ""))
    seconds, rest = divmod(milliseconds, 1000)
    ffi.write_datetime(results, seconds=seconds, nanoseconds=rest * 1_000_000)


@_host_function
def _wall_resolution(context: int, arguments: int, count: int, results: int) -> None:
    ffi.write_datetime(results, seconds=0, nanoseconds=_CLOCK_STEP_NS)


@_host_function
def _monotonic_now(context: int, arguments: int, count: int, results: int) -> None:
    ffi.write_u64(results, time.monotonic_ns() // _CLOCK_STEP_NS * _CLOCK_STEP_NS)  # noqa: TID251  # only for intervals


@_host_function
def _monotonic_resolution(context: int, arguments: int, count: int, results: int) -> None:
    ffi.write_u64(results, _CLOCK_STEP_NS)


@_host_function
def _refuse_to_wait(context: int, arguments: int, count: int, results: int) -> None:
    raise failures.blocked()
