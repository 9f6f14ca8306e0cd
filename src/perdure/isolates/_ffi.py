"""Wasmtime's C API, as far as guests need it: strings in, strings out, errors as values.

wasmtime-py's own wrappers reflect on types at every call (five times slower) and keep the last exception of a host
function in one global, which is wrong with two threads. These prototypes sit on a library handle of their own, so
that their argument types and wasmtime-py's never disturb each other.

Two kinds of guest share this file. A *component* (Python) hands over strings that Wasmtime has already copied out of
its memory. A *core module* (JavaScript) hands over offsets into its memory: `LinearMemory` is the only way to follow
one. Whatever arrives is checked before it is followed: a guest may have been taken over.
Effects: memory of the process, through pointers.
"""

from __future__ import annotations

import ctypes
from ctypes import POINTER, c_bool, c_char_p, c_int, c_int64, c_size_t, c_uint8, c_uint64, c_void_p
from typing import Final

from wasmtime import _ffi as declared

from perdure.errors import GuestCrashedError, InternalError

library: Final = ctypes.CDLL(declared.dll._name)  # noqa: SLF001  # there is no other way to its path

_KIND_U32: Final = int(declared.WASMTIME_COMPONENT_U32.value)
_KIND_U64: Final = int(declared.WASMTIME_COMPONENT_U64.value)
_KIND_STRING: Final = int(declared.WASMTIME_COMPONENT_STRING.value)
_KIND_RECORD: Final = int(declared.WASMTIME_COMPONENT_RECORD.value)
_VALUE_BYTES: Final = ctypes.sizeof(declared.wasmtime_component_val_t)
_WORD_BYTES: Final = 8
_HOST_CALL_ARGUMENTS: Final = 3


class Bytes(ctypes.Structure):
    """`wasm_byte_vec_t`: a size and a pointer."""

    _fields_ = (("size", c_size_t), ("data", c_void_p))
    size: int
    data: int | None


class Value(ctypes.Structure):
    """`wasmtime_component_val_t`, seen as what we use of it: a kind, and a number or a string.

    A string's size lies where a number lies, its pointer one word further.
    """

    _fields_ = (
        ("kind", c_uint8),
        ("_padding", c_uint8 * (_WORD_BYTES - 1)),
        ("number", c_uint64),
        ("data", c_void_p),
        ("_rest", c_uint8 * (_VALUE_BYTES - 3 * _WORD_BYTES)),
    )
    kind: int
    number: int
    data: int | None


# The layout above is Wasmtime's own on 64-bit machines, the only ones wasmtime-py runs on.
assert ctypes.sizeof(Value) == _VALUE_BYTES
assert declared.wasmtime_component_val_t.of.offset == _WORD_BYTES
_STRING_OFFSET: Final = _WORD_BYTES

# ── prototypes ───────────────────────────────────────────────────────────────────────────────────────────────

HostFunction: Final = ctypes.CFUNCTYPE(c_size_t, c_void_p, c_void_p, c_void_p, c_void_p, c_size_t, c_void_p, c_size_t)
"""(data, context, type, arguments, argument count, results, result count) → error pointer, or 0."""

EpochCallback: Final = ctypes.CFUNCTYPE(c_size_t, c_void_p, c_void_p, POINTER(c_uint64), c_void_p)
"""(context, data, more ticks, kind) → error pointer, or 0."""


def prototype(name: str, result: object, *arguments: object) -> ctypes._NamedFuncPointer:
    function = library[name]
    function.restype = result  # type: ignore[assignment]  # ctypes takes None and types alike
    function.argtypes = arguments  # type: ignore[assignment]  # as above
    return function


bytes_new: Final = prototype("wasm_byte_vec_new", None, c_void_p, c_size_t, c_char_p)
bytes_delete: Final = prototype("wasm_byte_vec_delete", None, c_void_p)
error_new: Final = prototype("wasmtime_error_new", c_void_p, c_char_p)
error_delete: Final = prototype("wasmtime_error_delete", None, c_void_p)
_error_message: Final = prototype("wasmtime_error_message", None, c_void_p, c_void_p)
_error_exit_status: Final = prototype("wasmtime_error_exit_status", c_bool, c_void_p, POINTER(c_int))

trap_new: Final = prototype("wasmtime_trap_new", c_void_p, c_char_p, c_size_t)
_trap_message: Final = prototype("wasm_trap_message", None, c_void_p, c_void_p)
_trap_delete: Final = prototype("wasm_trap_delete", None, c_void_p)

store_new: Final = prototype("wasmtime_store_new", c_void_p, c_void_p, c_void_p, c_void_p)
store_context: Final = prototype("wasmtime_store_context", c_void_p, c_void_p)
store_delete: Final = prototype("wasmtime_store_delete", None, c_void_p)
wasi_new: Final = prototype("wasi_config_new", c_void_p)
set_wasi: Final = prototype("wasmtime_context_set_wasi", c_void_p, c_void_p, c_void_p)
store_limiter: Final = prototype("wasmtime_store_limiter", None, c_void_p, c_int64, c_int64, c_int64, c_int64, c_int64)
store_epoch_callback: Final = prototype(
    "wasmtime_store_epoch_deadline_callback", None, c_void_p, EpochCallback, c_void_p, c_void_p
)
set_epoch_deadline: Final = prototype("wasmtime_context_set_epoch_deadline", None, c_void_p, c_uint64)
increment_epoch: Final = prototype("wasmtime_engine_increment_epoch", None, c_void_p)

linker_add_function: Final = prototype(
    "wasmtime_component_linker_instance_add_func",
    c_void_p,
    c_void_p,
    c_char_p,
    c_size_t,
    HostFunction,
    c_void_p,
    c_void_p,
)
linker_root: Final = prototype("wasmtime_component_linker_root", c_void_p, c_void_p)
linker_add_instance: Final = prototype(
    "wasmtime_component_linker_instance_add_instance", c_void_p, c_void_p, c_char_p, c_size_t, c_void_p
)
linker_instance_delete: Final = prototype("wasmtime_component_linker_instance_delete", None, c_void_p)
linker_instantiate: Final = prototype(
    "wasmtime_component_linker_instantiate", c_void_p, c_void_p, c_void_p, c_void_p, c_void_p
)
instance_get_function: Final = prototype(
    "wasmtime_component_instance_get_func", c_bool, c_void_p, c_void_p, c_void_p, c_void_p
)
component_call: Final = prototype(
    "wasmtime_component_func_call", c_void_p, c_void_p, c_void_p, c_void_p, c_size_t, c_void_p, c_size_t
)
_record_new: Final = prototype("wasmtime_component_valrecord_new_uninit", None, c_void_p, c_size_t)

memory_data: Final = prototype("wasmtime_memory_data", c_void_p, c_void_p, c_void_p)
memory_data_size: Final = prototype("wasmtime_memory_data_size", c_size_t, c_void_p, c_void_p)


def address(pointer: object) -> int:
    """The address a wasmtime-py pointer holds."""
    value = ctypes.cast(pointer, c_void_p).value  # type: ignore[arg-type]  # wasmtime-py types its pointers loosely
    if value is None:
        raise InternalError("Wasmtime returned no object where it must; please report this")
    return value


# ── errors ───────────────────────────────────────────────────────────────────────────────────────────────────


def new_error(text: str) -> int:
    """An error for Wasmtime: returned from a host function, it stops the guest, which cannot catch it."""
    return int(error_new(text.encode()))


def take_error(error: int) -> tuple[str, int | None]:
    """The message of an error and the guest's exit status, if it exited; frees the error."""
    message = Bytes()
    status = c_int()
    try:
        exited = _error_exit_status(error, ctypes.byref(status))
        _error_message(error, ctypes.byref(message))
        text = ctypes.string_at(message.data, message.size).decode("utf-8", "replace") if message.data else ""
        return text, status.value if exited else None
    finally:
        bytes_delete(ctypes.byref(message))
        error_delete(error)


def new_trap(text: str) -> int:
    """As `new_error`, for host functions of core modules."""
    message = text.encode()
    return int(trap_new(message, len(message)))


def take_trap(trap: int) -> str:
    """The message of a trap; frees it."""
    message = Bytes()
    try:
        _trap_message(trap, ctypes.byref(message))
        return ctypes.string_at(message.data, message.size).decode("utf-8", "replace") if message.data else ""
    finally:
        bytes_delete(ctypes.byref(message))
        _trap_delete(trap)


def check(error: int | None) -> None:
    """Raise InternalError for an error of a call that cannot fail unless we have a bug."""
    if error:
        raise InternalError(f"Wasmtime refused: {take_error(error)[0]}; please report this")


# ── values of components ─────────────────────────────────────────────────────────────────────────────────────


def forged(what: str) -> GuestCrashedError:
    """What to raise when a guest hands over something that its fixed, reviewed code cannot produce."""
    return GuestCrashedError(f"the guest's runtime made a malformed host call ({what}): its isolate has ended")


def read_host_call(arguments: int, count: int, *, size_bytes_max: int) -> tuple[int, str, str]:
    """The arguments of `host_call(op, key, payload)`, checked. Raises GuestCrashedError when they are forged."""
    if count != _HOST_CALL_ARGUMENTS or not arguments:
        raise forged(f"{count} arguments instead of {_HOST_CALL_ARGUMENTS}")
    op, key, payload = (Value * _HOST_CALL_ARGUMENTS).from_address(arguments)
    if op.kind != _KIND_U32:
        raise forged(f"an operation of kind {op.kind} instead of {_KIND_U32}")
    # Wasmtime writes 32 bits into a slot of 64: the upper half is whatever was there before.
    return op.number & 0xFFFF_FFFF, _text(key, size_bytes_max), _text(payload, size_bytes_max)


def read_string(value: int, *, size_bytes_max: int) -> str:
    """The text of the string value at this address, checked. Raises GuestCrashedError."""
    return _text(Value.from_address(value), size_bytes_max)


def _text(value: Value, size_bytes_max: int) -> str:
    size = value.number
    if value.kind != _KIND_STRING:
        raise forged(f"a value of kind {value.kind} instead of a string")
    if size > size_bytes_max:
        raise forged(f"a string of {size} bytes, the limit is {size_bytes_max}")
    if not size:
        return ""
    if value.data is None:
        raise forged("a string that is nowhere")
    try:
        return ctypes.string_at(value.data, size).decode()
    except UnicodeDecodeError:
        raise forged("a string that is not UTF-8") from None


def write_string(value: int, text: bytes) -> None:
    """Make the value at this address a string; Wasmtime owns the copy."""
    Value.from_address(value).kind = _KIND_STRING
    bytes_new(value + _STRING_OFFSET, len(text), text)


def free_string(value: int) -> None:
    """Free the string of the value at this address."""
    bytes_delete(value + _STRING_OFFSET)


def write_u32(value: int, number: int) -> None:
    """Make the value at this address a u32."""
    slot = Value.from_address(value)
    slot.kind = _KIND_U32
    slot.number = number


def write_u64(value: int, number: int) -> None:
    """Make the value at this address a u64."""
    slot = Value.from_address(value)
    slot.kind = _KIND_U64
    slot.number = number


def write_datetime(value: int, *, seconds: int, nanoseconds: int) -> None:
    """Make the value at this address WASI's record `datetime`."""
    slot = declared.wasmtime_component_val_t.from_address(value)
    slot.kind = _KIND_RECORD
    _record_new(ctypes.addressof(slot.of.record), 2)
    for entry, (name, kind, number) in zip(
        slot.of.record.data[:2],
        ((b"seconds", _KIND_U64, seconds), (b"nanoseconds", _KIND_U32, nanoseconds)),
        strict=True,
    ):
        bytes_new(ctypes.addressof(entry.name), len(name), name)
        content = Value.from_address(ctypes.addressof(entry.val))
        content.kind = kind
        content.number = number


# ── memory of core modules ───────────────────────────────────────────────────────────────────────────────────


class LinearMemory:
    """A core module's memory. Every offset and length is checked against its size before it is followed.

    It may grow but never moves (`Engine` sees to that), so its address is asked once, and its size only when an access
    lies beyond the size that is known.
    """

    __slots__ = ("_address", "_context", "_memory", "_size", "_window")

    def __init__(self, context: int, memory: int) -> None:
        self._context = context
        self._memory = memory
        self._address = int(memory_data(context, memory))
        self._size = 0
        self._window = memoryview(b"")
        self._look_again()

    @property
    def size_bytes(self) -> int:
        """How large it is now."""
        return int(memory_data_size(self._context, self._memory))

    def read(self, offset: int, size: int) -> bytes:
        """A copy of `size` bytes at `offset`. Raises GuestCrashedError when they are not all inside."""
        end = offset + size
        if end > self._size or offset < 0 or size < 0:
            self._check(offset, size)
        return bytes(self._window[offset:end])

    def write(self, offset: int, content: bytes) -> None:
        """Copy `content` to `offset`. Raises GuestCrashedError when it does not fit inside."""
        end = offset + len(content)
        if end > self._size or offset < 0:
            self._check(offset, len(content))
        self._window[offset:end] = content

    def _check(self, offset: int, size: int) -> None:
        self._look_again()
        if offset < 0 or size < 0 or offset + size > self._size:
            raise forged(f"{size} bytes at offset {offset} of a memory of {self._size}")

    def _look_again(self) -> None:
        self._size = self.size_bytes
        self._window = memoryview((c_uint8 * self._size).from_address(self._address)).cast("B")
