"""The files of a history: records and base images, as docs/reference/history-format.md says.

    file    magic 8 · version u16 · kind u16 (1 records, 2 base) · sequence u64 · lowest u64 · digest 8 · CRC-32 u32
    entry   stored bytes u32 · bytes u32 · CRC-32 u32 of those two and the stored ones · a record, compressed by zlib
    end     of a base: an entry of no bytes

Records: `sequence` is the first one's, `digest` that of the record before. Base: the state after record `sequence`,
whose digest it names, as records that each create a database or add pages to it; such a record's own sequence says up
to where the database holds everything already, and `lowest` is the lowest of them. What comes after a damaged entry of
a file cannot be read; what comes before it can. All numbers are little-endian. Effects: disk.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from struct import Struct
from typing import Final, NamedTuple

from perdure.errors import DamagedDataError
from perdure.limits import JOURNAL_RECORD_BYTES_MAX
from perdure.storage import (
    DIGEST_BYTES,
    NO_DIGEST,
    RECORD_HEADER_BYTES_MAX,
    Changed,
    HeldFile,
    Lineage,
    Record,
    RecordHeader,
    decode_header,
    decode_record,
    encode_record,
)

_MAGIC: Final = b"perdureH"
_VERSION: Final = 1
RECORDS, BASE = 1, 2
_HEADER: Final = Struct(f"<8sHHQQ{DIGEST_BYTES}s")
_CRC: Final = Struct("<I")
_FRAME: Final = Struct("<II")
_PAGES_AT_ONCE: Final = 256
_LEVEL: Final = 1  # the next level takes half as long again for a few per cent
_STORED_LEVEL: Final = 0  # zlib's own format for what is not worth it, fifty times as fast to write
_SAMPLE_BYTES: Final = 1024
_SAMPLE_EVERY_BYTES: Final = 32 * 1024


class Header(NamedTuple):
    """How a file begins."""

    kind: int
    sequence: int
    lowest: int
    digest: bytes


def encode_header(header: Header) -> bytes:
    """The first bytes of a file."""
    data = _HEADER.pack(_MAGIC, _VERSION, *header)
    return data + _CRC.pack(zlib.crc32(data))


def encode_entry(data: bytes) -> bytes:
    """One entry."""
    stored = zlib.compress(data, _LEVEL if _is_worth_compressing(data) else _STORED_LEVEL) if data else b""
    frame = _FRAME.pack(len(stored), len(data))
    return frame + _CRC.pack(zlib.crc32(stored, zlib.crc32(frame))) + stored


def _is_worth_compressing(data: bytes) -> bool:
    """False for what is dense already, such as pictures: zlib is slowest where it saves nothing."""
    if len(data) <= _SAMPLE_EVERY_BYTES:
        return True
    sample = b"".join(data[at : at + _SAMPLE_BYTES] for at in range(0, len(data), _SAMPLE_EVERY_BYTES))
    return len(zlib.compress(sample, _LEVEL)) < len(sample) * 7 // 8


def read_header_or_none(path: Path) -> Header | None:
    """How a file begins; None when that is damaged, or of a version that is not known."""
    with path.open("rb") as file:
        data = file.read(_HEADER.size)
        if len(data) < _HEADER.size or file.read(_CRC.size) != _CRC.pack(zlib.crc32(data)):
            return None
    magic, version, kind, sequence, lowest, digest = _HEADER.unpack(data)
    return Header(kind, sequence, lowest, digest) if (magic, version) == (_MAGIC, _VERSION) else None


def read_stored(path: Path) -> Iterator[tuple[bytes, int]]:
    """The entries up to the first that is damaged: as they are stored, each with its real size."""
    with path.open("rb") as file:
        file.seek(_HEADER.size + _CRC.size)
        while True:
            frame = file.read(_FRAME.size + _CRC.size)
            if len(frame) < _FRAME.size + _CRC.size:
                return
            stored_bytes, size = _FRAME.unpack_from(frame)
            if stored_bytes > JOURNAL_RECORD_BYTES_MAX or size > JOURNAL_RECORD_BYTES_MAX:
                return
            stored = file.read(stored_bytes)
            checksum = zlib.crc32(stored, zlib.crc32(frame[: _FRAME.size]))
            if len(stored) < stored_bytes or frame[_FRAME.size :] != _CRC.pack(checksum):
                return
            yield stored, size


def entries_end(path: Path) -> int:
    """Behind which byte of a file its last whole entry ends."""
    size = _HEADER.size + _CRC.size
    return size + sum(_FRAME.size + _CRC.size + len(stored) for stored, _ in read_stored(path))


def unpacked(stored: bytes, size: int) -> bytes:
    """What an entry holds. Raises DamagedDataError."""
    unpacking = zlib.decompressobj()
    try:
        data = unpacking.decompress(stored, size) if stored else b""
    except zlib.error as error:
        raise DamagedDataError(f"an entry of the history is damaged: {error}") from error
    if len(data) != size:
        raise DamagedDataError(f"an entry of the history has {len(data)} bytes and says {size}")
    return data


def read_entries(path: Path) -> Iterator[bytes]:
    """What the entries hold, up to the first that is damaged."""
    for stored, size in read_stored(path):
        try:
            yield unpacked(stored, size)
        except DamagedDataError:
            return


def read_record_headers(path: Path) -> Iterator[RecordHeader]:
    """What the records of a file say of themselves, without unpacking their pages."""
    for stored, _ in read_stored(path):
        try:
            yield decode_header(zlib.decompressobj().decompress(stored, RECORD_HEADER_BYTES_MAX))
        except (zlib.error, DamagedDataError):
            return


def base_chunks(sequence: int, digest: bytes, files: Mapping[Lineage, HeldFile], *, page_size: int) -> Iterator[bytes]:
    """A base image, chunk by chunk: a large database is never in memory as a whole."""
    lowest = min((held.covered for held in files.values()), default=sequence)
    yield encode_header(Header(BASE, sequence, lowest, digest))
    for lineage, held in sorted(files.items()):
        size = held.path.stat().st_size
        with held.path.open("rb") as file:
            for number, pages in enumerate(_chunks(file.read, page_size), 0):
                section = Changed(
                    lineage,
                    number == 0,
                    page_size,
                    size // page_size,
                    {number * _PAGES_AT_ONCE + index + 1: page for index, page in enumerate(pages)},
                )
                yield encode_entry(encode_record(Record(held.covered, NO_DIGEST, 0, "base", (section,))))
    yield encode_entry(b"")


def _chunks(read: Callable[[int], bytes], page_size: int) -> Iterator[list[bytes]]:
    while content := read(_PAGES_AT_ONCE * page_size):
        yield [content[start : start + page_size] for start in range(0, len(content), page_size)]


def read_base(path: Path) -> Iterator[Record]:
    """The records that make up a base image. Raises DamagedDataError when it is not whole."""
    for data in read_entries(path):
        if not data:
            return
        yield decode_record(data)
    raise DamagedDataError(f"the base image `{path}` is not whole")


def is_whole_base(path: Path) -> bool:
    """Whether all of a base image can be read."""
    header = read_header_or_none(path)
    return header is not None and header.kind == BASE and any(not size for _, size in read_stored(path))


def records_chunks(first: int, digest: bytes, records: Iterable[bytes]) -> Iterator[bytes]:
    """A file of records."""
    yield encode_header(Header(RECORDS, first, first, digest))
    yield from map(encode_entry, records)
