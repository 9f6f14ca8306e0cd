"""What makes one database file into another: the pages in which they differ, as the section of a record.

Effects: disk.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from perdure.errors import UsageError
from perdure.limits import REWRITE_BYTES_MAX
from perdure.storage._disk import Disk
from perdure.storage._layout import Lineage, wal_path
from perdure.storage._record import Changed, Deleted, Section
from perdure.storage._template import PAGE_SIZE

_PAGES_AT_ONCE: Final = 256


def differences(changes: Mapping[Lineage, tuple[Path | None, Path | None]]) -> list[Section]:
    """The sections that turn each first file into the second; None: there is none, or shall be none.

    Raises UsageError when they would be larger than one record may be.
    """
    sections: list[Section] = []
    room = REWRITE_BYTES_MAX
    for lineage, (present, wanted) in changes.items():
        if wanted is None:
            sections.append(Deleted(lineage))
            continue
        section = _difference(lineage, present, wanted, room=room)
        if section.created or section.pages or present is None or _pages(present) != section.database_pages:
            room -= len(section.pages) * PAGE_SIZE
            sections.append(section)
    return sections


def _difference(lineage: Lineage, present: Path | None, wanted: Path, *, room: int) -> Changed:
    pages: dict[int, bytes] = {}
    chunk = _PAGES_AT_ONCE * PAGE_SIZE
    with wanted.open("rb") as new:
        old = present.open("rb") if present is not None else None
        try:
            number = 0
            while content := new.read(chunk):
                former = old.read(chunk) if old is not None else b""
                if content != former:
                    for start in range(0, len(content), PAGE_SIZE):
                        page = content[start : start + PAGE_SIZE]
                        if page != former[start : start + PAGE_SIZE]:
                            pages[number + start // PAGE_SIZE + 1] = page
                number += len(content) // PAGE_SIZE
                if len(pages) * PAGE_SIZE > room:
                    raise UsageError(
                        f"this would change more than {REWRITE_BYTES_MAX} bytes of one object at once, the limit: "
                        "make a new object of that state instead (fork)"
                    )
        finally:
            if old is not None:
                old.close()
    return Changed(lineage, present is None, PAGE_SIZE, number, pages)


def _pages(path: Path) -> int:
    return path.stat().st_size // PAGE_SIZE


def write_sections(disk: Disk, paths: Mapping[Lineage, Path], sections: list[Section]) -> None:
    """Bring files to what `sections` say. Not durable: the journal holds the record they came with."""
    for section in sections:
        path = paths[section.lineage]
        disk.unlink(wal_path(path))
        if isinstance(section, Deleted):
            disk.unlink(path)
            continue
        if section.created:
            disk.make_directory(path.parent)
            disk.write_new_file(path, b"")
        disk.write_pages(path, section.pages, page_size=section.page_size, file_pages=section.database_pages)
