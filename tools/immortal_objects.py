"""Makes the objects of a finished Python image immortal: CPython then never writes to their reference counts.

`perdure.guest._memory` leaves a tuple of all objects in the snapshot, and its address beside a mark. The snapshot is
the data section of one core module inside the component; only bytes that are there are changed, so nothing moves.
Effects: none.
"""

from __future__ import annotations

import bisect
import struct
from collections.abc import Iterator
from typing import Final, NamedTuple

MARK: Final = b"perdure immortals"

_COMPONENT_MODULE: Final = 1  # section ids
_COMPONENT_COMPONENT: Final = 4
_CORE_DATA: Final = 11
_HEADER_BYTES: Final = 8
_I32_CONST: Final = 0x41

# CPython 3.14 on 32 bits: a count, then the type; a tuple's items follow its size and its hash.
_IMMORTAL: Final = 5 << 28
_MORTAL_BELOW: Final = 1 << 28
_TUPLE_SIZE: Final = 8
_TUPLE_ITEMS: Final = 16
_OBJECTS_MIN: Final = 50_000  # far fewer than there are: what is no list of objects is told by its size


class _Segment(NamedTuple):
    address: int
    offset: int
    size: int


def make_immortal(image: bytearray) -> int:
    """Set the counts of the listed objects; how many. Raises ValueError when the image holds no list."""
    for segments in _snapshots(image):
        memory = _Memory(image, segments)
        for table in _tables(image, segments):
            size = memory.word(table + _TUPLE_SIZE)
            if size is not None and size >= _OBJECTS_MIN:
                objects = [memory.word(table + _TUPLE_ITEMS + 4 * index) for index in range(size)]
                return sum(memory.make_immortal(address) for address in (table, *objects) if address)
    raise ValueError("the image holds no list of its objects: perdure.guest._memory should leave one")


class _Memory:
    """The guest's memory as its image has it: zero where there is no segment."""

    def __init__(self, image: bytearray, segments: list[_Segment]) -> None:
        self._image = image
        self._segments = sorted(segments)
        self._addresses = [segment.address for segment in self._segments]

    def word(self, address: int) -> int | None:
        """The word at `address`, None where it is not in one segment."""
        offset = self._offset(address)
        return None if offset is None else int(struct.unpack_from("<I", self._image, offset)[0])

    def make_immortal(self, address: int) -> bool:
        """Set one object's count; False for one that is immortal already, or has no count to set."""
        offset, count = self._offset(address), self.word(address)
        if offset is None or count is None or not 0 < count < _MORTAL_BELOW:
            return False
        struct.pack_into("<I", self._image, offset, _IMMORTAL)
        return True

    def _offset(self, address: int) -> int | None:
        index = bisect.bisect_right(self._addresses, address) - 1
        if index < 0:
            return None
        start, offset, size = self._segments[index]
        return offset + address - start if address - start + 4 <= size else None


def _tables(image: bytearray, segments: list[_Segment]) -> Iterator[int]:
    for segment in segments:
        found = image.find(MARK, segment.offset, segment.offset + segment.size)
        while found >= 0:
            yield int(struct.unpack_from("<I", image, found + len(MARK))[0])
            found = image.find(MARK, found + 1, segment.offset + segment.size)


# ── the binary format ────────────────────────────────────────────────────────────────────────────────────────


def _snapshots(image: bytearray) -> Iterator[list[_Segment]]:
    """The data segments of each core module."""
    parts = [(0, len(image), False)]
    while parts:
        start, end, is_core = parts.pop()
        position = start + _HEADER_BYTES
        while position < end:
            section = image[position]
            size, body = _unsigned(image, position + 1)
            if is_core and section == _CORE_DATA:
                yield list(_segments(image, body))
            elif not is_core and section in {_COMPONENT_MODULE, _COMPONENT_COMPONENT}:
                parts.append((body, body + size, section == _COMPONENT_MODULE))
            position = body + size


def _segments(image: bytearray, position: int) -> Iterator[_Segment]:
    count, position = _unsigned(image, position)
    for _ in range(count):
        flags, position = _unsigned(image, position)
        address = None
        if flags == 0:  # active, in the first memory; its address is an expression that ends with one byte
            operation = image[position]
            value, position = _signed(image, position + 1)
            address = value if operation == _I32_CONST else None
            position += 1
        size, position = _unsigned(image, position)
        if address is not None:
            yield _Segment(address, position, size)
        position += size


def _unsigned(image: bytearray, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = image[position]
        position += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if not byte & 0x80:
            return value, position


def _signed(image: bytearray, position: int) -> tuple[int, int]:
    value, after = _unsigned(image, position)
    bits = 7 * (after - position)
    return (value - (1 << bits) if value >> (bits - 1) else value), after
