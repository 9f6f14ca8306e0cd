"""Disk: the only place that makes things durable, or takes them away.

SQLite writes its own files; what makes those writes and their names survive a power loss goes through this port, so
that a test can drop everything that was not asked for. Effects: disk.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple, Protocol


class FileState(NamedTuple):
    """How a file looked when it was last ours to write."""

    size_bytes: int
    modified_ns: int


class Disk(Protocol):
    """What storage asks of a file system, besides SQLite's own reads and writes. Everything raises OSError."""

    def sync_file(self, path: Path) -> None:
        """What was written to the file survives a power loss from now on."""
        ...

    def sync_directory(self, path: Path) -> None:
        """Names made or removed in the directory survive a power loss from now on."""
        ...

    def make_directory(self, path: Path) -> None:
        """Make the directory durably, with its parents; fine if it is there."""
        ...

    def unlink(self, path: Path) -> None:
        """Remove the name; fine if it is not there."""
        ...

    def write_new_file(self, path: Path, content: bytes) -> None:
        """Make the file hold exactly `content`, whatever it held. Not durable."""
        ...

    def write_chunks(self, path: Path, chunks: Iterable[bytes]) -> None:
        """Make the file hold exactly the chunks, one after the other, whatever it held. Not durable."""
        ...

    def write_pages(self, path: Path, pages: Mapping[int, bytes], *, page_size: int, file_pages: int) -> None:
        """Write pages (numbered from 1) into a file that exists, then cut it to `file_pages`. Not durable."""
        ...

    def file_state_or_none(self, path: Path) -> FileState | None:
        """The file's state, None when there is none."""
        ...


class SystemDisk:
    """The operating system's files."""

    def sync_file(self, path: Path) -> None:
        _sync(path, os.O_RDONLY)

    def sync_directory(self, path: Path) -> None:
        _sync(path, os.O_RDONLY | os.O_DIRECTORY)

    def make_directory(self, path: Path) -> None:
        if path.is_dir():
            return
        self.make_directory(path.parent)
        path.mkdir(mode=0o700, exist_ok=True)  # It holds what people entrusted to apps.
        self.sync_directory(path.parent)

    def unlink(self, path: Path) -> None:
        path.unlink(missing_ok=True)

    def write_new_file(self, path: Path, content: bytes) -> None:
        path.write_bytes(content)

    def write_chunks(self, path: Path, chunks: Iterable[bytes]) -> None:
        with path.open("wb") as file:
            for chunk in chunks:
                file.write(chunk)

    def write_pages(self, path: Path, pages: Mapping[int, bytes], *, page_size: int, file_pages: int) -> None:
        descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            for number, page in pages.items():
                os.pwrite(descriptor, page, (number - 1) * page_size)
            os.ftruncate(descriptor, file_pages * page_size)
        finally:
            os.close(descriptor)

    def file_state_or_none(self, path: Path) -> FileState | None:
        try:
            status = path.stat()
        except FileNotFoundError:
            return None
        return FileState(status.st_size, status.st_mtime_ns)


def _sync(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
