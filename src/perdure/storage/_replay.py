"""Replay: a directory of database files that records are applied to, one after the other.

Pages are whole, so applying a record twice does no harm; what a record does not name stays as it was. Nothing is
synced: such files are looked at, copied, or made durable by whoever keeps them. Effects: disk.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from perdure.storage._layout import Lineage
from perdure.storage._record import Changed, Deleted, Section

_NOTHING: Final[Mapping[Lineage, int]] = {}


class Replay:
    """The files of one object's databases, as of the last record that was applied."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.files: dict[Lineage, Path] = {}

    def path(self, lineage: Lineage) -> Path:
        """Where the file of a database lies, or would lie."""
        return self.directory / f"database{''.join(f'.{number}' for number in lineage)}.sqlite"

    def add_file(self, lineage: Lineage) -> Path:
        """Count the file that was put, or is about to be put, at `path(lineage)` among the databases."""
        return self.files.setdefault(lineage, self.path(lineage))

    def apply(self, sequence: int, sections: tuple[Section, ...], *, covered: Mapping[Lineage, int] = _NOTHING) -> None:
        """Apply a record's sections. `covered`: up to which record a database's file held everything at the start."""
        for section in sections:
            if sequence > covered.get(section.lineage, 0):
                self._apply(section)

    def _apply(self, section: Section) -> None:
        if isinstance(section, Deleted):
            path = self.files.pop(section.lineage, None)
            if path is not None:
                path.unlink()
            return
        path = self.add_file(section.lineage)
        write_section(path, section)


def write_section(path: Path, section: Changed) -> None:
    """Write what a record changed into a file of its own; one that is not there, or is created anew, begins empty."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | (os.O_TRUNC if section.created else 0), 0o600)
    try:
        # Cut first: pages that come back without an image are zeros, not what they were.
        if os.fstat(descriptor).st_size > section.database_pages * section.page_size:
            os.ftruncate(descriptor, section.database_pages * section.page_size)
        for number, page in section.pages.items():
            os.pwrite(descriptor, page, (number - 1) * section.page_size)
        os.ftruncate(descriptor, section.database_pages * section.page_size)
    finally:
        os.close(descriptor)
