"""Core modules of WebAssembly: linking host functions to one, instantiating it, calling it.

Numbers cross in arrays of `Number`, in place: a host function finds its arguments there and leaves its result in the
first. A call of an instance is a few hundred nanoseconds; wasmtime-py's own takes ten times that.
Effects: memory of the process, through pointers.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Mapping
from ctypes import POINTER, c_bool, c_char_p, c_int32, c_int64, c_size_t, c_uint8, c_uint32, c_uint64, c_void_p
from typing import Final

from wasmtime import FuncType, Linker, Module, ValType
from wasmtime import _ffi as declared

from perdure.errors import InternalError
from perdure.isolates import _ffi as ffi
from perdure.isolates._engine import Engine, GuestStore, store_of

ARGUMENTS_MAX: Final = 6


class Number(ctypes.Union):
    """`wasmtime_val_raw_t`."""

    _fields_ = (
        ("i32", c_int32),
        ("u32", c_uint32),
        ("i64", c_int64),
        ("u64", c_uint64),
        ("_whole", c_uint8 * ctypes.sizeof(declared.wasmtime_val_raw_t)),
    )
    i32: int
    u32: int
    i64: int
    u64: int


Numbers = ctypes.Array[Number]

HostFunction = Callable[[GuestStore, Numbers], None]
"""What a module imports: takes the guest's store and the numbers. An exception ends the guest."""

_Callback: Final = ctypes.CFUNCTYPE(c_size_t, c_void_p, c_void_p, c_void_p, c_size_t)
"""(data, caller, numbers, count) → trap pointer, or 0."""

_define: Final = ffi.prototype(
    "wasmtime_linker_define_func_unchecked",
    c_void_p, c_void_p, c_char_p, c_size_t, c_char_p, c_size_t, c_void_p, _Callback, c_void_p, c_void_p,
)  # fmt: skip
_prepare: Final = ffi.prototype("wasmtime_linker_instantiate_pre", c_void_p, c_void_p, c_void_p, POINTER(c_void_p))
_instantiate: Final = ffi.prototype(
    "wasmtime_instance_pre_instantiate", c_void_p, c_void_p, c_void_p, c_void_p, POINTER(c_void_p)
)
_get_export: Final = ffi.prototype(
    "wasmtime_instance_export_get", c_bool, c_void_p, c_void_p, c_char_p, c_size_t, c_void_p
)
_call: Final = ffi.prototype("wasmtime_func_call_unchecked", c_void_p, c_void_p, c_void_p, c_void_p, c_size_t, c_void_p)
_caller_context: Final = ffi.prototype("wasmtime_caller_context", c_void_p, c_void_p)

_TYPES: Final = {"i": ValType.i32, "I": ValType.i64}


class CoreModule:
    """A compiled module with its imports linked, ready to be instantiated.

    `imports`: by module and field, the signature (`i` and `I` for 32 and 64 bits, as in `"iI>i"`) and the function.
    """

    def __init__(
        self, engine: Engine, module: Module, imports: Mapping[tuple[str, str], tuple[str, HostFunction]]
    ) -> None:
        self._kept: list[object] = []  # what Wasmtime holds only by address
        linker = Linker(engine.wasmtime)
        for (place, field), (signature, function) in imports.items():
            self._link(linker, place, field, signature, function)
        prepared = c_void_p()
        ffi.check(_prepare(ffi.address(linker.ptr()), ffi.address(module.ptr()), ctypes.byref(prepared)))
        if prepared.value is None:
            raise InternalError("Wasmtime prepared no instance where it must; please report this")
        self._prepared = prepared.value

    def instantiate(self, store: GuestStore) -> CoreInstance:
        """A fresh instance in `store`."""
        instance = declared.wasmtime_instance_t()
        trap = c_void_p()
        ffi.check(_instantiate(self._prepared, store.context, ctypes.addressof(instance), ctypes.byref(trap)))
        if trap.value:
            raise InternalError(f"a guest image does not start: {ffi.take_trap(trap.value)}; please report this")
        return CoreInstance(store, instance)

    def _link(self, linker: Linker, place: str, field: str, signature: str, function: HostFunction) -> None:
        parameters, _, results = signature.partition(">")
        kind = FuncType([_TYPES[letter]() for letter in parameters], [_TYPES[letter]() for letter in results])
        callback = _Callback(_guarded(function, max(len(parameters), len(results))))
        self._kept.append(callback)
        ffi.check(
            _define(
                ffi.address(linker.ptr()), place.encode(), len(place), field.encode(), len(field),
                ffi.address(kind.ptr()), callback, None, None,
            )
        )  # fmt: skip


def _guarded(function: HostFunction, count: int) -> Callable[[int | None, int, int | None, int], int]:
    """`function` as Wasmtime calls it: from inside, where an exception would be lost."""
    numbers_of = (Number * count).from_address

    def call(data: int | None, caller: int, numbers: int | None, size: int) -> int:
        del data, size
        store = store_of(_caller_context(caller))
        try:
            function(store, numbers_of(numbers or 0))
        except BaseException as failure:  # noqa: BLE001  # it comes out of Isolate.call, unchanged
            return store.trap_because(failure)
        return 0

    return call


class CoreInstance:
    """One instance of a core module, with its memory."""

    __slots__ = (
        "_functions",
        "_instance",
        "_numbers",
        "_numbers_address",
        "_store",
        "_trap",
        "_trap_address",
        "memory",
    )

    def __init__(self, store: GuestStore, instance: ctypes.Structure) -> None:
        self._store = store
        self._instance = instance
        self._functions: dict[str, ctypes.Structure] = {}
        self._numbers = (Number * ARGUMENTS_MAX)()
        self._numbers_address = ctypes.addressof(self._numbers)
        self._trap = c_void_p()
        self._trap_address = ctypes.addressof(self._trap)
        memory = declared.wasmtime_memory_t.from_buffer_copy(self._export("memory").of.memory)
        self._functions["memory"] = memory  # kept alive with the rest: `memory` below knows only its address
        self.memory = ffi.LinearMemory(store.context, ctypes.addressof(memory))

    def function(self, name: str) -> int:
        """The address of an exported function, for `call`."""
        found = self._functions.get(name)
        if found is None:
            found = declared.wasmtime_func_t.from_buffer_copy(self._export(name).of.func)
            self._functions[name] = found
        return ctypes.addressof(found)

    def call(self, function: int, *arguments: int) -> int:
        """Call a function with unsigned arguments of 32 bits; its result as 64 bits. Raises what stopped the guest."""
        numbers = self._numbers
        for place, argument in enumerate(arguments):
            numbers[place].u64 = argument
        error = _call(self._store.context, function, self._numbers_address, ARGUMENTS_MAX, self._trap_address)
        if error:
            raise self._store.stopped_by(error)
        if self._trap.value:
            trap, self._trap.value = self._trap.value, None
            raise self._store.trapped_by(trap)
        return numbers[0].u64

    def _export(self, name: str) -> ctypes.Structure:
        found = declared.wasmtime_extern_t()
        text = name.encode()
        if not _get_export(
            self._store.context, ctypes.addressof(self._instance), text, len(text), ctypes.addressof(found)
        ):
            raise InternalError(f"a guest image exports no `{name}`; please report this")
        return found
