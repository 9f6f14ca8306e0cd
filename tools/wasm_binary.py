"""The little of WebAssembly's binary format that building an image needs: sections, imports, exports, a baked memory.

Everything takes and returns the bytes of a whole module.
Effects: none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

PAGE_BYTES: Final = 65_536
_MAGIC: Final = b"\0asm\1\0\0\0"
_KINDS: Final = ("func", "table", "memory", "global", "tag")
_VALUE_TYPES: Final = {0x7F: "i32", 0x7E: "i64", 0x7D: "f32", 0x7C: "f64"}
_I32_CONST, _I64_CONST, _END = 0x41, 0x42, 0x0B
_ZERO_GAP_BYTES: Final = 256  # a run of zeros this long is worth a new data segment


class Section(IntEnum):
    """The sections that are read or changed here."""

    CUSTOM = 0
    TYPE = 1
    IMPORT = 2
    FUNCTION = 3
    TABLE = 4
    MEMORY = 5
    GLOBAL = 6
    EXPORT = 7
    START = 8
    DATA = 11
    DATA_COUNT = 12


@dataclass(frozen=True, slots=True)
class Import:
    """`type` is the encoded type: for a function, the index of its signature."""

    module: str
    field: str
    kind: str
    type: bytes


@dataclass(frozen=True, slots=True)
class Export:
    name: str
    kind: str
    index: int


@dataclass(frozen=True, slots=True)
class SharedLibrary:
    """What a dynamic library (section `dylink.0`) needs: bytes of static memory, entries of the function table."""

    memory_bytes: int
    table_entries: int


class _Reader:
    def __init__(self, content: bytes, position: int = 0) -> None:
        self.content = content
        self.position = position

    def byte(self) -> int:
        self.position += 1
        return self.content[self.position - 1]

    def unsigned(self) -> int:
        value = shift = 0
        while True:
            byte = self.byte()
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    def signed(self) -> int:
        value = shift = 0
        while True:
            byte = self.byte()
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value | -1 << shift if byte & 64 else value

    def take(self, size: int) -> bytes:
        self.position += size
        return self.content[self.position - size : self.position]

    def name(self) -> str:
        return self.take(self.unsigned()).decode()

    def since(self, start: int) -> bytes:
        return self.content[start : self.position]

    @property
    def is_at_end(self) -> bool:
        return self.position >= len(self.content)


def _unsigned(value: int) -> bytes:
    encoded = bytearray()
    while True:
        byte, value = value & 127, value >> 7
        encoded.append(byte | 128 if value else byte)
        if not value:
            return bytes(encoded)


def _signed(value: int) -> bytes:
    encoded = bytearray()
    while True:
        byte, value = value & 127, value >> 7
        is_last = (value == 0 and not byte & 64) or (value == -1 and byte & 64)
        encoded.append(byte if is_last else byte | 128)
        if is_last:
            return bytes(encoded)


def _name(text: str) -> bytes:
    return _unsigned(len(text.encode())) + text.encode()


# ── sections ─────────────────────────────────────────────────────────────────────────────────────────────────


def _sections(module: bytes) -> Iterator[tuple[int, bytes]]:
    if module[:8] != _MAGIC:
        raise ValueError("this is no WebAssembly module")
    reader = _Reader(module, 8)
    while not reader.is_at_end:
        yield reader.byte(), reader.take(reader.unsigned())


def _section(module: bytes, wanted: Section) -> _Reader:
    return _Reader(next((content for kind, content in _sections(module) if kind == wanted), b"\0"))


def _rewritten(module: bytes, change: Callable[[int, bytes], bytes | None]) -> bytes:
    """The module with every section's content replaced by what `change` returns; None leaves the section out."""
    joined = bytearray(_MAGIC)
    for kind, content in _sections(module):
        changed = change(kind, content)
        if changed is not None:
            joined += bytes([kind]) + _unsigned(len(changed)) + changed
    return bytes(joined)


# ── imports and exports ──────────────────────────────────────────────────────────────────────────────────────


def imports(module: bytes) -> list[Import]:
    """What the module imports, in order."""
    reader = _section(module, Section.IMPORT)
    return [_import(reader) for _ in range(reader.unsigned())]


def _import(reader: _Reader) -> Import:
    module, field, kind = reader.name(), reader.name(), _KINDS[reader.byte()]
    start = reader.position
    match kind:
        case "func":
            reader.unsigned()
        case "table":
            reader.byte()
            _skip_limits(reader)
        case "memory":
            _skip_limits(reader)
        case "global":
            reader.take(2)
        case _:
            raise ValueError(f"cannot read an import of kind `{kind}`")
    return Import(module, field, kind, reader.since(start))


def _skip_limits(reader: _Reader) -> None:
    has_maximum = reader.byte() & 1
    reader.unsigned()
    if has_maximum:
        reader.unsigned()


def exports(module: bytes) -> list[Export]:
    """What the module exports, in order."""
    reader = _section(module, Section.EXPORT)
    return [Export(reader.name(), _KINDS[reader.byte()], reader.unsigned()) for _ in range(reader.unsigned())]


def rename_imports(module: bytes, rename: Callable[[Import], tuple[str, str]]) -> bytes:
    """The module without custom sections, its imports under the module and field names that `rename` gives."""
    entries = [
        b"".join(map(_name, rename(each))) + bytes([_KINDS.index(each.kind)]) + each.type for each in imports(module)
    ]
    replaced = _unsigned(len(entries)) + b"".join(entries)

    def change(kind: int, content: bytes) -> bytes | None:
        if kind == Section.CUSTOM:
            return None
        return replaced if kind == Section.IMPORT else content

    return _rewritten(module, change)


def set_exports(module: bytes, kept: list[Export]) -> bytes:
    """The module with exactly these exports."""
    entries = [_name(each.name) + bytes([_KINDS.index(each.kind)]) + _unsigned(each.index) for each in kept]
    replaced = _unsigned(len(entries)) + b"".join(entries)
    return _rewritten(module, lambda kind, content: replaced if kind == Section.EXPORT else content)


def signature(module: bytes, type_index: int) -> str:
    """A function type in text format: ` (param i32) (result i64)`."""
    reader = _section(module, Section.TYPE)
    text = ""
    for _ in range(min(reader.unsigned(), type_index + 1)):
        if reader.byte() != 0x60:
            raise ValueError("cannot read a type that is no function type")
        text = ""
        for role in ("param", "result"):
            text += "".join(f" ({role} {_VALUE_TYPES[reader.byte()]})" for _ in range(reader.unsigned()))
    return text


def type_of_export(module: bytes, name: str) -> int:
    """The index of an exported function's type."""
    function = next(each.index for each in exports(module) if each.name == name and each.kind == "func")
    imported = sum(each.kind == "func" for each in imports(module))
    reader = _section(module, Section.FUNCTION)
    types = [reader.unsigned() for _ in range(reader.unsigned())]
    return types[function - imported]


# ── linking ──────────────────────────────────────────────────────────────────────────────────────────────────


def shared_library(module: bytes) -> SharedLibrary:
    """What a dynamic library asks of its loader. Raises ValueError for a module that is none."""
    for kind, content in _sections(module):
        reader = _Reader(content)
        if kind == Section.CUSTOM and reader.name() == "dylink.0":
            while not reader.is_at_end:
                subsection, end = reader.byte(), reader.unsigned()
                end += reader.position
                if subsection == 1:
                    memory_bytes, _, table_entries, _ = (reader.unsigned() for _ in range(4))
                    return SharedLibrary(memory_bytes, table_entries)
                reader.position = end
    raise ValueError("this is no shared library")


def minimum(module: bytes, section: Section) -> int:
    """The size that the only memory (in pages) or the only table (in entries) starts with."""
    reader = _at_minimum(module, section)
    return reader.unsigned()


def set_minimum(module: bytes, section: Section, size: int) -> bytes:
    """Let the only memory or table start with this size; one with a maximum keeps it."""
    reader = _at_minimum(module, section)
    start = reader.position
    reader.unsigned()
    replaced = reader.content[:start] + _unsigned(size) + reader.content[reader.position :]
    return _rewritten(module, lambda kind, content: replaced if kind == section else content)


def _at_minimum(module: bytes, section: Section) -> _Reader:
    reader = _section(module, section)
    if reader.unsigned() != 1:
        raise ValueError(f"the module must have exactly one {section.name.lower()}")
    reader.take(2 if section == Section.TABLE else 1)
    return reader


# ── snapshots ────────────────────────────────────────────────────────────────────────────────────────────────


def mutable_globals(module: bytes) -> list[int]:
    """The indices of globals whose value can change."""
    return [index for index, (is_mutable, _) in enumerate(_globals(module)) if is_mutable]


def _globals(module: bytes) -> list[tuple[bool, bytes]]:
    """Whether each global is mutable, and its type and instruction without the value."""
    reader = _section(module, Section.GLOBAL)
    found = []
    for _ in range(reader.unsigned()):
        head = reader.take(3)
        if head[2] not in {_I32_CONST, _I64_CONST}:
            raise ValueError("cannot bake a global that is no plain integer")
        reader.signed()
        reader.byte()
        found.append((bool(head[1]), head))
    return found


def bake(module: bytes, memory: bytes, values: Mapping[int, int]) -> bytes:
    """The module as if it had just run: `memory` as its data, its mutable globals at `values`, no start function."""
    pages = set_minimum(module, Section.MEMORY, len(memory) // PAGE_BYTES)
    segments = list(_data_segments(memory))
    data = _unsigned(len(segments)) + b"".join(segments)
    replaced_globals = _baked_globals(module, values)

    def change(kind: int, content: bytes) -> bytes | None:
        match kind:
            case Section.CUSTOM | Section.DATA_COUNT | Section.START:
                return None
            case Section.GLOBAL:
                return replaced_globals
            case Section.DATA:
                return data
            case _:
                return content

    return _rewritten(pages, change)


def _baked_globals(module: bytes, values: Mapping[int, int]) -> bytes:
    reader = _section(module, Section.GLOBAL)
    count = reader.unsigned()
    baked = _unsigned(count)
    for index in range(count):
        head, value = reader.take(3), reader.signed()
        reader.byte()
        baked += head + _signed(values[index] if head[1] else value) + bytes([_END])
    return baked


def _data_segments(memory: bytes) -> Iterator[bytes]:
    zeros = bytes(_ZERO_GAP_BYTES)
    position, size = 0, len(memory)
    while position < size:
        if memory[position : position + _ZERO_GAP_BYTES] == zeros:
            position += _ZERO_GAP_BYTES
            continue
        end = memory.find(zeros, position)
        end = size if end < 0 else end
        yield (
            b"\0"
            + bytes([_I32_CONST])
            + _signed(position)
            + bytes([_END])
            + _unsigned(end - position)
            + memory[position:end]
        )
        position = end
