"""Records: what the journal keeps of a root object's commits, as values and as bytes.

A record holds the last image of each page that some commits changed, by database. Records of one root object form a
chain: each carries its sequence number and the digest of the one before, so a lost, doubled or foreign record cannot
pass unseen. All numbers are little-endian; the zeros SQLite leaves inside a page are left out, byte-exactly.

    record   version u8 · sequence u64 · committed at u64 (ms) · previous digest 8 · cause u16 + UTF-8 · sections u32
    section  kind u8 (0 changed, 1 created, 2 deleted) · lineage u8 + u32 each
             unless deleted: page size u32 · database pages u32 · pages u32
    page     number u32 · gap start u16 · gap length u16 · page without the gap
Effects: none.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from struct import Struct
from typing import Final, NamedTuple

from perdure.errors import DamagedDataError
from perdure.limits import FACET_DEPTH_MAX
from perdure.storage._layout import Lineage

DIGEST_BYTES: Final = 8
NO_DIGEST: Final = bytes(DIGEST_BYTES)
"""What the first record of an object carries as the digest of the one before."""

_VERSION: Final = 1
_CHANGED, _CREATED, _DELETED = 0, 1, 2
_HEADER: Final = Struct("<BQQ")
_U8: Final = Struct("<B")
_U16: Final = Struct("<H")
_U32: Final = Struct("<I")
_SIZES: Final = Struct("<III")
_PAGE_HEADER: Final = Struct("<IHH")
_PAGE_SIZES: Final = frozenset(1 << power for power in range(9, 17))
_CAUSE_BYTES_MAX: Final = 0xFFFF
_GAP_BYTES_MAX: Final = 0xFFFF
_ZEROS: Final = bytes(_GAP_BYTES_MAX)
_BTREE_PAGE_KINDS: Final = frozenset((2, 5, 10, 13))


@dataclass(frozen=True, slots=True)
class Changed:
    """A database's new pages. `created`: its file begins as the template's pages, whatever was there before."""

    lineage: Lineage
    created: bool
    page_size: int
    database_pages: int
    pages: Mapping[int, bytes]


@dataclass(frozen=True, slots=True)
class Deleted:
    """A database that is no more; its number is never used again, or its root begins anew."""

    lineage: Lineage


Section = Changed | Deleted


@dataclass(frozen=True, slots=True)
class Record:
    """One link of a root object's chain. `cause` says for people what led to it: a request, a call, an alarm."""

    sequence: int
    previous_digest: bytes
    committed_at_ms: int
    cause: str
    sections: tuple[Section, ...]


def digest_of(data: bytes) -> bytes:
    """The digest the next record carries."""
    return hashlib.blake2b(data, digest_size=DIGEST_BYTES).digest()


def encode_record(record: Record) -> bytes:
    """The bytes of `record`: the same value gives the same bytes, so it can be sent twice."""
    cause = _cause_bytes(record.cause)
    parts = [
        _HEADER.pack(_VERSION, record.sequence, record.committed_at_ms),
        record.previous_digest,
        _U16.pack(len(cause)),
        cause,
        _U32.pack(len(record.sections)),
    ]
    for section in record.sections:
        _encode_section(section, parts)
    return b"".join(parts)


def _cause_bytes(cause: str) -> bytes:
    """A cause is somebody's text: half a pair of surrogates, or a character cut in two, must not spoil a record."""
    return cause.encode(errors="replace")[:_CAUSE_BYTES_MAX].decode(errors="ignore").encode()


def _encode_section(section: Section, parts: list[bytes]) -> None:
    depth = len(section.lineage)
    kind = _DELETED if isinstance(section, Deleted) else _CREATED if section.created else _CHANGED
    parts.append(Struct(f"<BB{depth}I").pack(kind, depth, *section.lineage))
    if isinstance(section, Deleted):
        return
    parts.append(_SIZES.pack(section.page_size, section.database_pages, len(section.pages)))
    for number, page in section.pages.items():
        start, length = _zero_gap(page)
        parts += (_PAGE_HEADER.pack(number, start, length), page[:start], page[start + length :])


def _zero_gap(page: bytes) -> tuple[int, int]:
    """Where the longest likely run of zeros starts and its length: inside a b-tree page, else at the end."""
    if page[0] in _BTREE_PAGE_KINDS:
        start = (12 if page[0] < 8 else 8) + 2 * (page[3] << 8 | page[4])
        end = page[5] << 8 | page[6] or len(page)
        if start <= end <= len(page):
            # What follows the zeros may be remains of cells deleted long ago: they are kept.
            length = min(_leading_zeros(page[start:end]), _GAP_BYTES_MAX)
            return (start, length) if length else (0, 0)
    start = len(page.rstrip(b"\0"))
    length = min(len(page) - start, _GAP_BYTES_MAX)
    return (start, length) if length else (0, 0)


def _leading_zeros(data: bytes) -> int:
    # Nearly always all of it is zeros; a comparison finds that 30 times as fast as `lstrip`.
    if data == _ZEROS[: len(data)]:
        return len(data)
    return len(data) - len(data.lstrip(b"\0"))


def decode_record(data: bytes) -> Record:
    """The record in `data`, which may come from anywhere. Raises DamagedDataError that says where it is wrong."""
    reader = _Reader(data)
    version, sequence, committed_at_ms = reader.unpack(_HEADER)
    previous_digest = reader.take(DIGEST_BYTES)
    if version != _VERSION:
        raise reader.damage(f"the version is {version}, this program reads {_VERSION}")
    (cause_bytes,) = reader.unpack(_U16)
    try:
        cause = reader.take(cause_bytes).decode()
    except UnicodeDecodeError as error:
        raise reader.damage("the cause is not UTF-8") from error
    (count,) = reader.unpack(_U32)
    sections = []
    for _ in range(count):  # A count too large ends at the end of the data.
        sections.append(_decode_section(reader))  # noqa: PERF401 - a comprehension would hide the reading order
    if len({section.lineage for section in sections}) != count:
        raise reader.damage("a database occurs twice")
    if reader.rest:
        raise reader.damage(f"{reader.rest} bytes follow the last section")
    return Record(sequence, previous_digest, committed_at_ms, cause, tuple(sections))


class RecordHeader(NamedTuple):
    """What a record says of itself, its pages left aside."""

    sequence: int
    previous_digest: bytes
    committed_at_ms: int
    cause: str


RECORD_HEADER_BYTES_MAX: Final = _HEADER.size + DIGEST_BYTES + _U16.size + _CAUSE_BYTES_MAX
"""No header is longer: so much of a record's beginning is enough for `decode_header`."""


def decode_header(data: bytes) -> RecordHeader:
    """The header of the record that begins with `data`. Raises DamagedDataError."""
    reader = _Reader(data)
    _, sequence, committed_at_ms = reader.unpack(_HEADER)
    previous_digest = reader.take(DIGEST_BYTES)
    (cause_bytes,) = reader.unpack(_U16)
    return RecordHeader(sequence, previous_digest, committed_at_ms, reader.take(cause_bytes).decode(errors="replace"))


def _decode_section(reader: _Reader) -> Section:
    (kind,) = reader.unpack(_U8)
    (depth,) = reader.unpack(_U8)
    if kind > _DELETED:
        raise reader.damage(f"section kind {kind} is unknown")
    if depth >= FACET_DEPTH_MAX:
        raise reader.damage(f"a facet lies {depth} levels below its root, the limit is {FACET_DEPTH_MAX - 1}")
    lineage: Lineage = tuple(reader.unpack(Struct(f"<{depth}I")))
    if any(child <= parent for parent, child in zip((0, *lineage), lineage, strict=False)):
        raise reader.damage(f"facet numbers {lineage} do not grow from parent to child")
    if kind == _DELETED:
        return Deleted(lineage)
    page_size, database_pages, count = reader.unpack(_SIZES)
    if page_size not in _PAGE_SIZES:
        raise reader.damage(f"page size {page_size} is not SQLite's")
    if not database_pages > 0 or count > database_pages:
        raise reader.damage(f"{count} pages changed in a database of {database_pages}")
    pages: dict[int, bytes] = {}
    for _ in range(count):
        number, page = _decode_page(reader, page_size)
        if not 0 < number <= database_pages or number in pages:
            raise reader.damage(f"page {number} occurs twice, or lies outside a database of {database_pages} pages")
        pages[number] = page
    return Changed(lineage, kind == _CREATED, page_size, database_pages, pages)


def _decode_page(reader: _Reader, page_size: int) -> tuple[int, bytes]:
    number, start, length = reader.unpack(_PAGE_HEADER)
    if start + length > page_size:
        raise reader.damage(f"the gap of page {number} ends behind the page")
    head = reader.take(start)
    return number, head + _ZEROS[:length] + reader.take(page_size - start - length)


class _Reader:
    """Takes values off the front of `data`; every length is checked."""

    __slots__ = ("_data", "_offset")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._offset = 0

    @property
    def rest(self) -> int:
        return len(self._data) - self._offset

    def take(self, size: int) -> bytes:
        if size > self.rest:
            raise self.damage(f"{size} bytes were expected, {self.rest} are left")
        taken = self._data[self._offset : self._offset + size]
        self._offset += size
        return taken

    def unpack(self, shape: Struct) -> tuple[int, ...]:
        return shape.unpack(self.take(shape.size))

    def damage(self, what: str) -> DamagedDataError:
        return DamagedDataError(f"a record of {len(self._data)} bytes is damaged at byte {self._offset}: {what}")
