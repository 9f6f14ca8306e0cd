"""SegmentArchive: what the journal forgets, in files of its own for each object.

    <data>/history/<namespace>/<hexid>/<sequence>.records     records from this one on
    <data>/history/<namespace>/<hexid>/<sequence>.base        the object after this record

A file is written once, made durable, and never changed; the journal drops a record only after that. Old files go when a
base image at their end is durable. So a crash at any step leaves a history that can be read. Effects: disk.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain, islice, zip_longest
from pathlib import Path
from typing import NamedTuple

from perdure.clock import Clock
from perdure.errors import BookmarkError, DamagedDataError
from perdure.history._options import HistoryOptions
from perdure.history._segments import (
    BASE,
    RECORDS,
    Header,
    base_chunks,
    is_whole_base,
    read_base,
    read_entries,
    read_header_or_none,
    read_record_headers,
    records_chunks,
)
from perdure.limits import HISTORY_COLLECTED_BYTES, HISTORY_SEGMENT_BYTES
from perdure.storage import (
    NO_DIGEST,
    PAGE_SIZE,
    Disk,
    HeldFile,
    Layout,
    Lineage,
    ObjectKey,
    RecordHeader,
    Replay,
    decode_header,
    decode_record,
    digest_of,
)


class End(NamedTuple):
    """The last record of a chain that is kept."""

    sequence: int
    digest: bytes


_BIRTH = End(0, NO_DIGEST)


class _Base(NamedTuple):
    header: Header
    path: Path


class SegmentArchive:
    """See the module, and `Archive` of storage. All methods block; one caller per object at a time."""

    def __init__(self, layout: Layout, disk: Disk, clock: Clock, options: HistoryOptions) -> None:
        self.options = options
        self._layout = layout
        self._disk = disk
        self._clock = clock

    @property
    def collected_bytes(self) -> int:
        return min(HISTORY_COLLECTED_BYTES, self.options.max_bytes)

    @property
    def _segment_bytes(self) -> int:
        """Of records in one file. Files are dropped whole, so a small history is made of small ones."""
        return min(HISTORY_SEGMENT_BYTES, self.options.max_bytes // 4)

    # ── writing ──────────────────────────────────────────────────────────────────────────────────────────────

    def collect(
        self,
        key: ObjectKey,
        *,
        records: Callable[[int], Iterator[bytes]],
        until: int,
        files: Mapping[Lineage, HeldFile],
    ) -> None:
        directory = self._layout.history(key)
        self._remove(key, [base.path for base in self._bases(key) if self._is_foreign(key, base, records)])
        end = self._end(key)
        if end.sequence > until:  # The object began anew while no history was kept.
            self._remove(key, self._segments(key) + self._base_paths(key))
            end = _BIRTH
        waiting = _until(records(end.sequence), until)
        first = next(waiting, None)
        if first is not None:
            self._disk.make_directory(directory)
            header = decode_header(first)
            if End(header.sequence - 1, header.previous_digest) != end:
                self._write_base(key, _position(files, records, until), files)
            for batch in _batches(chain([first], waiting), size_max=self._segment_bytes):
                header = decode_header(batch[0])
                path = directory / f"{header.sequence:016x}.records"
                self._disk.write_chunks(path, records_chunks(header.sequence, header.previous_digest, batch))
                self._disk.sync_file(path)
            self._disk.sync_directory(directory)
        self.trim(key)

    def _write_base(self, key: ObjectKey, position: End, files: Mapping[Lineage, HeldFile]) -> None:
        directory = self._layout.history(key)
        self._disk.make_directory(directory)
        path = directory / f"{position.sequence:016x}.base"
        self._disk.write_chunks(path, base_chunks(*position, files, page_size=PAGE_SIZE))
        self._disk.sync_file(path)
        self._disk.sync_directory(directory)

    def begin(self, key: ObjectKey, *, sequence: int, digest: bytes, files: Mapping[Lineage, Path]) -> None:
        held = {lineage: HeldFile(path, sequence) for lineage, path in files.items()}
        self._write_base(key, End(sequence, digest), held)

    def retract(self, key: ObjectKey, *, sequence: int) -> None:
        if self._layout.history(key).exists():
            self._remove(key, [self._layout.history(key) / f"{sequence:016x}.base"])

    def trim(self, key: ObjectKey) -> None:
        """Drop the oldest records, beyond what is to be kept, once an image of the object at the cut is safe."""
        dropped, last = self._beyond(key)
        if not dropped or last is None:
            return
        with tempfile.TemporaryDirectory(dir=self._layout.temporary) as directory:
            try:
                replay, digest = self.replay(key, last, Path(directory))
            except (BookmarkError, DamagedDataError):
                # It cannot be read as it is. What follows a gap has an image of its own, else nothing can be read.
                if not any(is_whole_base(path) for path in self._base_paths(key) if int(path.stem, 16) >= last):
                    dropped = self._segments(key)
            else:
                held = {lineage: HeldFile(path, last) for lineage, path in replay.files.items()}
                self._write_base(key, End(last, digest), held)
        former = [path for path in self._base_paths(key) if int(path.stem, 16) < last]
        self._remove(key, former + dropped)  # Images first: see `headers`.

    def _beyond(self, key: ObjectKey) -> tuple[list[Path], int | None]:
        """The oldest files that must go, and the last record in them."""
        oldest_ms = self._clock.now_ms() - self.options.max_age.total_seconds() * 1000
        sizes = {path: path.stat().st_size for path in self._segments(key)}
        total = sum(sizes.values())
        # A cut writes an image: when there is too much, make room for some time.
        kept_bytes = self.options.max_bytes * 3 // 4 if total > self.options.max_bytes else self.options.max_bytes
        dropped: list[Path] = []
        last = None
        for path, size in sizes.items():
            newest = None
            for newest in read_record_headers(path):  # noqa: B007 - the last one is wanted
                pass
            if total <= kept_bytes and (newest is None or newest.committed_at_ms >= oldest_ms):
                break
            dropped.append(path)
            total -= size
            last = newest.sequence if newest is not None else last
        return dropped, last

    def _remove(self, key: ObjectKey, paths: list[Path]) -> None:
        for path in paths:
            self._disk.unlink(path)
        if paths:
            self._disk.sync_directory(self._layout.history(key))

    # ── reading ──────────────────────────────────────────────────────────────────────────────────────────────

    def headers(self, key: ObjectKey) -> Iterator[RecordHeader]:
        """What the records kept say of themselves, the oldest first, from where the object can be read.

        That is its beginning, or its oldest image: a crash in `trim` may have left some of the records before it.
        """
        kept = (header for path in self._segments(key) for header in read_record_headers(path))
        first = next(kept, None)
        if first is None:
            return
        begins = 0 if first.sequence == 1 else self._oldest_base(key)
        yield from (header for header in chain([first], kept) if header.sequence > begins)

    def _oldest_base(self, key: ObjectKey) -> int:
        """After which record the object can be read, if not from its beginning on."""
        return min((base.header.sequence for base in self._bases(key)), default=0)

    def records(self, key: ObjectKey, *, after: int) -> Iterator[bytes]:
        """The records kept behind `after`, the oldest first. There may be gaps."""
        paths = self._segments(key)
        firsts = [int(path.stem, 16) for path in paths]
        for path, next_first in zip_longest(paths, firsts[1:]):
            if next_first is not None and next_first <= after + 1:
                continue
            for data in read_entries(path):
                if decode_header(data).sequence > after:
                    yield data

    def replay(
        self,
        key: ObjectKey,
        sequence: int,
        directory: Path,
        *,
        tail: Callable[[int], Iterable[bytes]] = lambda after: (),
        head: End | None = None,
    ) -> tuple[Replay, bytes]:
        """The object's databases after a record, as files in `directory`, which is empty; and that record's digest.

        `tail`: records behind a sequence number that are not here yet. `head`: the object's last record.
        Raises BookmarkError when records are missing.
        """
        base = self._base_or_none(key, sequence, tail, head)
        replay, covered = Replay(directory), dict[Lineage, int]()
        for record in read_base(base.path) if base is not None else ():
            replay.apply(1, record.sections)
            covered.update({section.lineage: record.sequence for section in record.sections})
        header = base.header if base is not None else Header(BASE, 0, 0, NO_DIGEST)
        end = End(header.lowest, header.digest if header.lowest == header.sequence else b"")
        for data in _chained(self.records(key, after=end.sequence), tail):
            if end.sequence == sequence:
                break
            record = decode_record(data)
            if record.sequence <= end.sequence:
                continue
            if record.sequence != end.sequence + 1 or end.digest not in (b"", record.previous_digest):
                raise _gap(end.sequence + 1, record.sequence - 1)
            end = End(record.sequence, digest_of(data))
            if end.sequence == header.sequence and end.digest != header.digest:
                raise DamagedDataError(f"the history's image at record {header.sequence} is of another object")
            replay.apply(record.sequence, record.sections, covered=covered)
        if end.sequence != sequence:
            raise _gap(end.sequence + 1, sequence)
        return replay, end.digest

    def _base_or_none(
        self, key: ObjectKey, sequence: int, tail: Callable[[int], Iterable[bytes]], head: End | None
    ) -> _Base | None:
        """The newest image up to a record that is whole, and of which the object's records or its head say it is its.

        One that was to begin an object, and was left by a crash, holds what another object holds.
        """
        for base in reversed(self._bases(key)):
            place = base.header.sequence
            if place <= sequence and is_whole_base(base.path):
                digests = self._digests(key, place, tail)
                if base.header.digest in digests or (not digests and head == End(place, base.header.digest)):
                    return base
        return None

    def _is_foreign(self, key: ObjectKey, base: _Base, tail: Callable[[int], Iterable[bytes]]) -> bool:
        """Whether the records say, all of them, that the image is not this object's."""
        digests = self._digests(key, base.header.sequence, tail)
        return bool(digests) and base.header.digest not in digests

    def _digests(self, key: ObjectKey, sequence: int, tail: Callable[[int], Iterable[bytes]]) -> set[bytes]:
        """What a record's digest is, by itself and by the next one, here and in `tail`; nothing when neither is there.

        One digest, unless the object began anew beside records of before.
        """
        after = max(sequence - 1, 0)
        digests = set()
        for data in chain(islice(self.records(key, after=after), 2), islice(tail(after), 2)):
            header = decode_header(data)
            if header.sequence == sequence:
                digests.add(digest_of(data))
            elif header.sequence == sequence + 1:
                digests.add(header.previous_digest)
        return digests

    def _end(self, key: ObjectKey) -> End:
        """The last record that is kept, or that the newest image holds."""
        end = _BIRTH
        for header, path in self._bases(key):
            if header.lowest == header.sequence and is_whole_base(path):
                end = End(header.sequence, header.digest)
        for path in reversed(self._segments(key)):
            last = None
            for last in read_entries(path):  # noqa: B007 - the last one is wanted
                pass
            if last is not None:
                sequence = decode_header(last).sequence
                return End(sequence, digest_of(last)) if sequence >= end.sequence else end
        return end

    def _segments(self, key: ObjectKey) -> list[Path]:
        """The files of records, the oldest first; those that cannot be read at all left out."""
        paths = sorted(self._layout.history(key).glob("*.records"))
        return [path for path in paths if (header := read_header_or_none(path)) and header.kind == RECORDS]

    def _base_paths(self, key: ObjectKey) -> list[Path]:
        return sorted(self._layout.history(key).glob("*.base"))

    def _bases(self, key: ObjectKey) -> list[_Base]:
        """The images, the oldest first, whether they are whole or not."""
        headers = ((read_header_or_none(path), path) for path in self._base_paths(key))
        return [_Base(header, path) for header, path in headers if header is not None]


def _until(records: Iterator[bytes], until: int) -> Iterator[bytes]:
    for data in records:
        if decode_header(data).sequence > until:
            return
        yield data


def _batches(records: Iterable[bytes], *, size_max: int) -> Iterator[list[bytes]]:
    """Records for one file each: so many that files are few, and so few that they fit into memory."""
    batch: list[bytes] = []
    size = 0
    for data in records:
        if batch and size + len(data) > size_max:
            yield batch
            batch, size = [], 0
        batch.append(data)
        size += len(data)
    if batch:
        yield batch


def _position(files: Mapping[Lineage, HeldFile], records: Callable[[int], Iterator[bytes]], until: int) -> End:
    """After which record an object is what `files` together with the records behind them say."""
    sequence = max((held.covered for held in files.values()), default=until)
    data = next(records(max(sequence - 1, 0)), None)
    assert data is not None, f"the journal holds no record behind {sequence - 1}"
    header = decode_header(data)
    return End(sequence, digest_of(data) if header.sequence == sequence else header.previous_digest)


def _chained(kept: Iterator[bytes], tail: Callable[[int], Iterable[bytes]]) -> Iterator[bytes]:
    last = 0
    for data in kept:
        last = decode_header(data).sequence
        yield data
    yield from tail(last)


def _gap(first: int, last: int) -> BookmarkError:
    return BookmarkError(
        f"the history lacks records {first} to {last}: they are older than what is kept, or a file of it is damaged; "
        "choose a later bookmark, `commits()` lists those there are"
    )
