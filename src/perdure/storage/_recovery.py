"""Recovery: a root object's files made whole from what the journal holds, before anything reads them.

A main file is kept, its `-wal` dropped, and every record since the file was last durable is applied again: page images
are whole, so it does not matter how much of them the file holds already, or whether it was torn. What was not
acknowledged is gone, as if it had never been committed. Nothing is synced: the records stay until a compaction.
Effects: disk.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from perdure.errors import DamagedDataError, DataDirectoryError
from perdure.storage._disk import Disk, FileState
from perdure.storage._journal import History
from perdure.storage._layout import Layout, Lineage, ObjectKey, wal_path
from perdure.storage._record import Changed, Deleted, decode_record, digest_of
from perdure.storage._root_chain import KeptRecord


@dataclass(slots=True)
class FoldedFile:
    """What all records together say of one file. `page_size` 0: it is deleted."""

    is_created: bool = False
    page_size: int = 0
    file_pages: int = 0
    pages: dict[int, bytes] = field(default_factory=dict)

    @property
    def is_deleted(self) -> bool:
        return self.page_size == 0


class FoldedHistory(NamedTuple):
    """A history, checked and folded."""

    kept: list[KeptRecord]
    files: dict[Lineage, FoldedFile]


def fold_history(key: ObjectKey, history: History) -> FoldedHistory:
    """The last image of each page. Raises DamagedDataError when a link of the chain is missing or wrong."""
    if len(history.records) != history.head - history.forgotten:
        raise _damage(
            key,
            f"the journal holds {len(history.records)} records, "
            f"but those from {history.forgotten + 1} to {history.head} are needed",
        )
    kept: list[KeptRecord] = []
    files: dict[Lineage, FoldedFile] = {}
    digest = history.forgotten_digest
    for sequence, data in enumerate(history.records, history.forgotten + 1):
        try:
            record = decode_record(data)
        except DamagedDataError as error:
            raise _damage(key, f"record {sequence}: {error}") from error
        if record.sequence != sequence:
            raise _damage(key, f"record {sequence} calls itself {record.sequence}")
        if record.previous_digest != digest:
            raise _damage(key, f"record {sequence} does not follow the record before it: the digests differ")
        for section in record.sections:
            if isinstance(section, Deleted):
                files[section.lineage] = FoldedFile()
            elif not _fold_changed(files, section):
                raise _damage(key, f"record {sequence} changes the page size of database {section.lineage}")
        digest = digest_of(data)
        kept.append(KeptRecord(sequence, digest, len(data)))
    if digest != history.head_digest:
        raise _damage(key, f"record {history.head} is not the one that was acknowledged: its digest differs")
    return FoldedHistory(kept, files)


def _fold_changed(files: dict[Lineage, FoldedFile], section: Changed) -> bool:
    file = files.get(section.lineage)
    if file is None or section.created:
        file = files[section.lineage] = FoldedFile(section.created, section.page_size)
    if file.page_size != section.page_size:
        return False
    if section.database_pages < file.file_pages:
        # Pages cut off and later added again without an image are zeros, not what they were.
        file.pages = {number: page for number, page in file.pages.items() if number <= section.database_pages}
    file.pages.update(section.pages)
    file.file_pages = section.database_pages
    return True


def restore_files(
    layout: Layout, disk: Disk, key: ObjectKey, folded: FoldedHistory, known: dict[Lineage, FileState]
) -> dict[Lineage, FileState]:
    """Bring the files to the journal's head; `known` are their states when last durable.

    Returns the states of files that others changed since. Raises DamagedDataError when one that is needed is missing.
    """
    changed_by_others: dict[Lineage, FileState] = {}
    for lineage in {**known, **folded.files}:
        path = layout.database(key, lineage)
        disk.unlink(wal_path(path))
        file = folded.files.get(lineage)
        if file is None:
            state = disk.file_state_or_none(path)
            if state is None:
                raise _damage(key, f"its file `{path}` is missing. Restore it from a backup together with the journal")
            if state != known[lineage]:
                changed_by_others[lineage] = state
        elif file.is_deleted:
            disk.unlink(path)
        else:
            if file.is_created:
                disk.make_directory(path.parent)
                disk.write_new_file(path, b"")
            elif disk.file_state_or_none(path) is None:
                raise _damage(
                    key,
                    f"its file `{path}` is missing, and the journal holds only the latest changes. Restore a backup",
                )
            disk.write_pages(path, file.pages, page_size=file.page_size, file_pages=file.file_pages)
    return changed_by_others


def refuse_changed_files(layout: Layout, key: ObjectKey, changed: dict[Lineage, FileState]) -> None:
    """Raise DataDirectoryError if another program changed files."""
    if changed:
        path = layout.database(key, next(iter(changed)))
        raise DataDirectoryError(
            f"`{path}` was changed by another program since it was last closed: "
            f"it has {next(iter(changed.values())).size_bytes} bytes now. "
            "Put back the file as it was, or take it as it is: start once with `--adopt-changed-files`, "
            "or Platform(adopt_changed_files=True)"
        )


def _damage(key: ObjectKey, what: str) -> DamagedDataError:
    return DamagedDataError(f"object `{key.object_id.hex()}` of `{key.namespace}` cannot be recovered: {what}")
