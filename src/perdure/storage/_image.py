"""Images: copies of all databases of an object, exactly as of one record; and records on their way to an archive.

Effects: disk.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from shutil import copyfile
from typing import NamedTuple

from perdure.limits import RECORDS_READ_BYTES
from perdure.storage._archive import Archive, HeldFile
from perdure.storage._journal import Journal
from perdure.storage._layout import Layout, Lineage, ObjectKey
from perdure.storage._record import Record, decode_header, decode_record
from perdure.storage._replay import Replay


class Image(NamedTuple):
    """The files of an object's databases after the record `sequence`, whose digest is `digest`."""

    sequence: int
    digest: bytes
    replay: Replay


def copy_files(
    layout: Layout, journal: Journal, key: ObjectKey, directory: Path, *, covered: Mapping[Lineage, int], until: int
) -> Replay:
    """Copy databases whose files hold the records up to `covered`, and apply what follows up to `until`.

    Nobody may change the files meanwhile; what lies in a `-wal` is in the records.
    """
    replay = Replay(directory)
    for lineage in covered:
        copyfile(layout.database(key, lineage), replay.add_file(lineage))
    for record in records_of(journal, key, after=min(covered.values(), default=until)):
        if record.sequence > until:
            break
        replay.apply(record.sequence, record.sections, covered=covered)
    return replay


def records_of(journal: Journal, key: ObjectKey, *, after: int) -> Iterator[Record]:
    """The records behind `after` that the journal still holds, a few in memory at a time. For any thread."""
    return map(decode_record, record_bytes(journal, key, after=after))


def record_bytes(journal: Journal, key: ObjectKey, *, after: int) -> Iterator[bytes]:
    """The same, as the journal holds them."""
    while page := journal.records(key, after=after, bytes_max=RECORDS_READ_BYTES):
        yield from page
        after = decode_header(page[-1]).sequence


def move_to_archive(
    journal: Journal, archive: Archive, key: ObjectKey, *, until: int, files: Mapping[Lineage, HeldFile]
) -> None:
    """Have the archive keep the records up to `until`; only then does the journal drop them."""
    archive.collect(key, records=lambda after: record_bytes(journal, key, after=after), until=until, files=files)
    journal.archive(key, until=until)
