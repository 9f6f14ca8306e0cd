"""The Python guest: CPython as a WebAssembly component, made from a snapshot with its standard library loaded.

It imports one function of ours, `host-call`, and WASI. WASI gives it randomness and no files, sockets, arguments or
environment; its clocks are replaced, so that a guest sees its host's time, in steps too coarse to time a cache with,
and cannot make its thread wait.
Effects: memory, through pointers; clock.
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
from perdure.isolates._engine import Engine, GuestStore, isolate_of, store_of
from perdure.isolates._images import load_image
from perdure.isolates._wasm_isolate import WasmIsolate
from perdure.limits import HOST_CALL_BYTES_MAX, MEMORY_BYTES_DEFAULT, MIB
from perdure.wire import GuestOp, HostOp

_WASI: Final = "0.2.9"  # the version that componentize-py's runtime imports
_OWN_CPU_MS: Final = 10_000  # for our own code, before any worker's
_CLOCK_STEP_NS: Final = 1_000_000
_LIVE_BYTES: Final = MIB  # measured: private memory of a rehearsed instance that has loaded a small worker


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
        """A fresh instance, awake, before any code is loaded into it."""
        store = self._engine.new_store()
        store.limit_memory(MEMORY_BYTES_DEFAULT)
        try:
            function = _instantiate(self._linker, self._component, store, ffi.address(self._call.ptr()))
        except BaseException:
            store.close()
            raise
        isolate = PythonIsolate(store, function)
        isolate.wake()
        return isolate


class PythonIsolate(WasmIsolate):
    """One Python guest."""

    language = "python"

    __slots__ = ("_arguments", "_function", "_result")

    def __init__(self, store: GuestStore, function: ctypes.Structure) -> None:
        super().__init__(store)
        self._function = function
        self._arguments = (ffi.Value * 2)()
        self._result = ffi.Value()

    @property
    def memory_bytes(self) -> int:
        """What an instance holds as a rule: Wasmtime does not tell the size of a component's memory."""
        return _LIVE_BYTES if self._is_alive else 0

    def wake(self) -> None:
        """Run what could not be in the snapshot."""
        self.call(GuestOp.WAKE, "", cpu_ms=_OWN_CPU_MS)

    def rehearse(self) -> None:
        """Touch the memory that every worker needs: that takes longer than the rest of a worker's start."""
        self.call(GuestOp.REHEARSE, "", cpu_ms=_OWN_CPU_MS)

    def _enter(self, op: int, payload: bytes) -> str:
        arguments = ctypes.addressof(self._arguments)
        text = arguments + ctypes.sizeof(ffi.Value)
        result = ctypes.addressof(self._result)
        ffi.write_u32(arguments, op)
        ffi.write_string(text, payload)
        try:
            error = ffi.component_call(ctypes.addressof(self._function), self._store.context, arguments, 2, result, 1)
        finally:
            ffi.free_string(text)
        if error:
            raise self._store.stopped_by(error)
        try:
            return ffi.read_string(result, size_bytes_max=self.checked_size(self._result.number))
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
    if not ffi.instance_get_function(ctypes.addressof(instance), store.context, call, ctypes.addressof(function)):
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


def _add_instance(root: int, name: str, functions: dict[str, object]) -> None:
    instance = ctypes.c_void_p()
    ffi.check(ffi.linker_add_instance(root, name.encode(), len(name), ctypes.addressof(instance)))
    try:
        _add_functions(instance.value or 0, functions)
    finally:
        ffi.linker_instance_delete(instance)


def _add_functions(instance: int, functions: dict[str, object]) -> None:
    for name, function in functions.items():
        ffi.check(ffi.linker_add_function(instance, name.encode(), len(name), function, None, None))


# ── host functions ───────────────────────────────────────────────────────────────────────────────────────────
# Python calls these from inside Wasmtime, where an exception would be lost: each one turns it into an error.


def _host_function(work: Callable[[int, int, int, int], None]) -> object:
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
    op, key, payload = ffi.read_host_call(arguments, count, size_bytes_max=HOST_CALL_BYTES_MAX)
    reply = isolate_of(context).answer(op, key, payload)
    ffi.write_string(results, reply.encode("utf-8", "replace"))


@_host_function
def _wall_now(context: int, arguments: int, count: int, results: int) -> None:
    milliseconds = int(isolate_of(context).host.host_call(HostOp.CLOCK, "", ""))
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
