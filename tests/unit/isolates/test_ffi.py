"""How the trampoline reads what a guest hands over: it is refused or copied, never followed blindly."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wasmtime import Limits, Memory, MemoryType, Store

from perdure.errors import GuestCrashedError
from perdure.isolates import _ffi as ffi

SIZE_MAX = 64
ARGUMENTS = 3

U32, STRING = ffi._KIND_U32, ffi._KIND_STRING


class Arguments:
    """Three values as Wasmtime lays them out, and the memory behind them."""

    def __init__(self, op: int, key: bytes, payload: bytes) -> None:
        self.values = (ffi.Value * ARGUMENTS)()
        self.buffers = [ctypes.create_string_buffer(text, len(text) + 1) for text in (key, payload)]
        self.values[0].kind, self.values[0].number = U32, op
        for value, buffer in zip(self.values[1:], self.buffers, strict=True):
            value.kind, value.number, value.data = STRING, len(buffer) - 1, ctypes.addressof(buffer)

    def read(self, count: int = ARGUMENTS) -> tuple[int, str, str]:
        return ffi.read_host_call(ctypes.addressof(self.values), count, size_bytes_max=SIZE_MAX)


@given(st.integers(0, 2**32 - 1), st.text(max_size=10), st.text(max_size=10))
def test_what_is_well_formed_is_copied(op: int, key: str, payload: str) -> None:
    arguments = Arguments(op, key.encode("utf-8", "replace"), payload.encode("utf-8", "replace"))

    read = arguments.read()

    assert read == (op, key.encode("utf-8", "replace").decode(), payload.encode("utf-8", "replace").decode())


@given(st.integers(0, 255), st.integers(0, 255), st.integers(0, 255), st.integers(0, 2**64 - 1), st.integers(-5, 300))
def test_forged_kinds_sizes_and_counts_are_refused(first: int, second: int, third: int, size: int, count: int) -> None:
    arguments = Arguments(1, b"key", b"payload")
    for value, kind in zip(arguments.values, (first, second, third), strict=True):
        value.kind = kind
    arguments.values[1].number = size if size > SIZE_MAX else 3
    is_well_formed = (first, second, third) == (U32, STRING, STRING) and size <= SIZE_MAX and count == ARGUMENTS

    if is_well_formed:
        assert arguments.read(count) == (1, "key", "payload")
    else:
        with pytest.raises(GuestCrashedError, match="malformed host call"):
            arguments.read(count)


@given(st.binary(min_size=1, max_size=20))
def test_bytes_that_are_no_text_are_refused(content: bytes) -> None:
    arguments = Arguments(1, content, b"")
    try:
        expected: str | None = content.decode()
    except UnicodeDecodeError:
        expected = None

    if expected is None:
        with pytest.raises(GuestCrashedError, match="UTF-8"):
            arguments.read()
    else:
        assert arguments.read() == (1, expected, "")


def test_string_that_is_nowhere_is_refused() -> None:
    arguments = Arguments(1, b"key", b"")
    arguments.values[1].data = None

    with pytest.raises(GuestCrashedError, match="nowhere"):
        arguments.read()


def test_no_arguments_at_all_are_refused() -> None:
    with pytest.raises(GuestCrashedError, match="arguments"):
        ffi.read_host_call(0, ARGUMENTS, size_bytes_max=SIZE_MAX)


def test_upper_half_of_a_u32_is_ignored() -> None:
    arguments = Arguments((7 << 32) | 5, b"", b"")

    assert arguments.read() == (5, "", "")


PAGE_BYTES = 65_536


@pytest.fixture(scope="module")
def memory() -> Iterator[ffi.LinearMemory]:
    """A memory of one page."""
    store = Store()
    made = Memory(store, MemoryType(Limits(1, 2)))
    yield ffi.LinearMemory(ffi.address(store._context()), ctypes.addressof(made._memory))
    store.close()


@given(offset=st.integers(-(2**65), 2**65), size=st.integers(-(2**65), 2**65))
def test_offsets_outside_a_linear_memory_are_refused(memory: ffi.LinearMemory, offset: int, size: int) -> None:
    if offset >= 0 and size >= 0 and offset + size <= PAGE_BYTES:
        assert memory.read(offset, size) == bytes(size)
    else:
        with pytest.raises(GuestCrashedError):
            memory.read(offset, size)


@given(offset=st.integers(PAGE_BYTES - 10, PAGE_BYTES + 10), size=st.integers(-10, 20))
def test_edge_of_a_linear_memory_is_exact(memory: ffi.LinearMemory, offset: int, size: int) -> None:
    if size >= 0 and offset + size <= PAGE_BYTES:
        assert len(memory.read(offset, size)) == size
    else:
        with pytest.raises(GuestCrashedError):
            memory.read(offset, size)


def test_linear_memory_is_written_inside_only(memory: ffi.LinearMemory) -> None:
    memory.write(PAGE_BYTES - 2, b"ab")

    assert memory.read(PAGE_BYTES - 3, 3) == b"\0ab"
    with pytest.raises(GuestCrashedError):
        memory.write(PAGE_BYTES - 1, b"ab")
    with pytest.raises(GuestCrashedError):
        memory.write(-1, b"ab")
    memory.write(PAGE_BYTES - 2, bytes(2))
