"""The snapshot's memory: what the build makes immortal, and how few pages a guest then writes to."""

from __future__ import annotations

import struct
import types

import pytest
from tools import immortal_objects

from perdure.guest import _memory as memory

TABLE = 0x1000
OBJECT = 0x2000
IMMORTAL = struct.pack("<I", 5 << 28)


def unsigned(value: int) -> bytes:
    out = b""
    while value > 0x7F:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])


def section(number: int, body: bytes) -> bytes:
    return bytes([number]) + unsigned(len(body)) + body


def segment(address: int, content: bytes) -> bytes:
    # A trailing zero group keeps the number positive in the signed encoding.
    place = bytes([address & 0x7F | 0x80, address >> 7 & 0x7F | 0x80, address >> 14 & 0x3F])
    return b"\x00\x41" + place + b"\x0b" + unsigned(len(content)) + content


def component(*segments: bytes) -> bytearray:
    data = section(11, unsigned(len(segments)) + b"".join(segments))
    core = b"\0asm\x01\0\0\0" + section(0, b"\x01x") + data
    return bytearray(b"\0asm\x0d\0\x01\0" + section(1, core))


def test_listed_objects_become_immortal_and_nothing_else_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(immortal_objects, "_OBJECTS_MIN", 1)
    table = struct.pack("<IIIIII", 1, 7, 2, 0xFFFFFFFF, OBJECT, OBJECT + 8)
    objects = struct.pack("<IIII", 3, 7, 7 << 28, 7)
    mark = immortal_objects.MARK + struct.pack("<I", TABLE)
    image = component(segment(0x100, mark), segment(TABLE, table), segment(OBJECT, objects))
    before = bytes(image)

    count = immortal_objects.make_immortal(image)

    assert count == 2, "the table and one object; the other was immortal already"
    assert bytes(image) == before.replace(table, IMMORTAL + table[4:]).replace(objects, IMMORTAL + objects[4:])


def test_both_sides_know_the_same_mark() -> None:
    assert memory._MARK_BACKWARDS[::-1] == immortal_objects.MARK


def test_an_image_without_a_list_is_refused() -> None:
    with pytest.raises(ValueError, match="no list of its objects"):
        immortal_objects.make_immortal(component(segment(TABLE, b"nothing")))


def test_the_list_holds_what_the_collector_does_not_see() -> None:
    immortals = memory._all_objects()
    known = {id(thing) for thing in immortals}

    assert id(test_an_image_without_a_list_is_refused.__code__.co_consts) in known
    assert id(str.__dict__["join"]) in known
    assert not any(isinstance(thing, types.FrameType) for thing in immortals)


def test_gathered_code_behaves_as_before() -> None:
    def double(number: int) -> int:
        return number * 2

    before = double.__code__

    def use() -> None:
        double(2)

    memory.gather_code(use)

    assert double.__code__ is not before
    assert double(4) == 8
