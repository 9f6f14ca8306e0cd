"""A disk that loses power: it shows what was written, and remembers what was never synced.

`RecordingFiles` is SQLite's file system and `RecordingDisk` is ours; both write real files, and both tell one
`Platter` what they do. `Platter.after_power_loss` makes a directory as a power loss could leave it: any part of the
writes since a file's last sync, torn at sectors, and any part of the names since a directory's last sync.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import apsw

from perdure.storage._disk import SystemDisk

SECTOR = 512


@dataclass
class Inode:
    """A file: what is surely on the disk, and what was done since. `is_directory` ones only have a name."""

    is_directory: bool = False
    durable: bytes = b""
    durable_modified_ns: int = 0
    written: list[tuple[int, bytes | None]] = field(default_factory=list)  # (offset, data) or (size, None): truncated

    def sync(self, modified_ns: int) -> None:
        self.durable_modified_ns = modified_ns
        self.durable = applied(self.durable, self.written)
        self.written = []

    def after_power_loss(self, chance: Random) -> bytes:
        match chance.randrange(4):
            case 0:
                kept = []
            case 1:
                kept = self.written
            case 2:
                kept = self.written[: chance.randrange(len(self.written) + 1)]
            case _:
                kept = [torn(write, chance) for write in self.written if chance.random() < 0.5]
        return applied(self.durable, kept)


def torn(write: tuple[int, bytes | None], chance: Random) -> tuple[int, bytes | None]:
    offset, data = write
    if data is None or len(data) <= SECTOR or chance.random() < 0.5:
        return write
    return offset, data[: SECTOR * chance.randrange(1, len(data) // SECTOR + 1)]


def applied(content: bytes, writes: list[tuple[int, bytes | None]]) -> bytes:
    result = bytearray(content)
    for offset, data in writes:
        size = offset if data is None else offset + len(data)
        if len(result) < size:
            result.extend(bytes(size - len(result)))
        if data is None:
            del result[offset:]
        else:
            result[offset:size] = data
    return bytes(result)


class Platter:
    """All files below one directory. `step` is called before everything that is done, in whichever thread."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.lock = threading.RLock()
        self.names: dict[Path, Inode] = {}
        self.durable_names: dict[Path, Inode] = {}
        self.renamed: list[tuple[Path, Inode | None]] = []
        """Names made, or (None) removed, since their directory's last sync."""
        self.step: Callable[[], None] = lambda: None
        self.deaf_to: Callable[[str, Path], bool] = lambda act, path: False

    def create(self, path: Path, *, is_directory: bool = False) -> Inode:
        inode = self.names.get(path)
        if inode is None:
            inode = self.names[path] = Inode(is_directory)
            self.renamed.append((path, inode))
        return inode

    def write(self, path: Path, offset: int, data: bytes | None) -> None:
        with self.lock:
            self.step()
            self.create(path).written.append((offset, data))

    def remove(self, path: Path) -> None:
        with self.lock:
            self.step()
            if self.names.pop(path, None) is not None:
                self.renamed.append((path, None))

    def sync(self, path: Path) -> None:
        with self.lock:
            self.step()
            if not self.deaf_to("file", path) and path in self.names:
                self.names[path].sync(path.stat().st_mtime_ns)
            self.step()

    def sync_directory(self, path: Path) -> None:
        with self.lock:
            self.step()
            if not self.deaf_to("directory", path):
                synced = [item for item in self.renamed if item[0].parent == path]
                self.durable_names = renamed(self.durable_names, synced)
                self.renamed = [item for item in self.renamed if item[0].parent != path]
            self.step()

    def after_power_loss(self, target: Path, chance: Random) -> None:
        """Make `target` what the disk may hold if the power fails now."""
        with self.lock:
            match chance.randrange(3):
                case 0:
                    kept = []
                case 1:
                    kept = self.renamed
                case _:
                    kept = [item for item in self.renamed if chance.random() < 0.5]
            names = renamed(self.durable_names, kept)
            target.mkdir()
            for path in sorted(names):
                if path.parent != self.root and not (target / path.relative_to(self.root)).parent.is_dir():
                    continue
                copy = target / path.relative_to(self.root)
                if names[path].is_directory:
                    copy.mkdir()
                else:
                    content = names[path].after_power_loss(chance)
                    copy.write_bytes(content)
                    if content == names[path].durable:
                        os.utime(copy, ns=(names[path].durable_modified_ns,) * 2)


def renamed(names: dict[Path, Inode], items: list[tuple[Path, Inode | None]]) -> dict[Path, Inode]:
    result = dict(names)
    for path, inode in items:
        if inode is None:
            result.pop(path, None)
        else:
            result[path] = inode
    return result


class RecordingDisk(SystemDisk):
    """Our own writes. Nothing is really synced: the platter knows what would have been."""

    def __init__(self, platter: Platter) -> None:
        self.platter = platter

    def sync_file(self, path: Path) -> None:
        self.platter.sync(path)

    def sync_directory(self, path: Path) -> None:
        self.platter.sync_directory(path)

    def make_directory(self, path: Path) -> None:
        if path == self.platter.root or path.is_dir():
            return
        self.make_directory(path.parent)
        path.mkdir()
        with self.platter.lock:
            self.platter.create(path, is_directory=True)
        self.sync_directory(path.parent)

    def unlink(self, path: Path) -> None:
        self.platter.remove(path)
        super().unlink(path)

    def write_new_file(self, path: Path, content: bytes) -> None:
        super().write_new_file(path, content)
        self.platter.write(path, 0, None)
        self.platter.write(path, 0, content)

    def write_chunks(self, path: Path, chunks: Iterable[bytes]) -> None:
        content = list(chunks)
        super().write_chunks(path, content)
        self.platter.write(path, 0, None)
        offset = 0
        for chunk in content:
            self.platter.write(path, offset, chunk)
            offset += len(chunk)

    def write_pages(self, path: Path, pages: Mapping[int, bytes], *, page_size: int, file_pages: int) -> None:
        super().write_pages(path, pages, page_size=page_size, file_pages=file_pages)
        for number, page in pages.items():
            self.platter.write(path, (number - 1) * page_size, page)
        self.platter.write(path, file_pages * page_size, None)


class RecordingFiles(apsw.VFS):
    """SQLite's writes, over one of its own file systems."""

    def __init__(self, name: str, base: str, platter: Platter) -> None:
        super().__init__(name, base)
        self.name = name
        self.base = base
        self.platter = platter
        self.is_full: Callable[[Path, int], bool] = lambda path, end: False

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> RecordingFile:  # noqa: N802
        return RecordingFile(self, name, flags)

    def xDelete(self, filename: str, syncdir: bool) -> None:  # noqa: FBT001, N802
        path = Path(filename)
        self.platter.remove(path)
        super().xDelete(filename, syncdir)
        if syncdir:
            self.platter.sync_directory(path.parent)


class RecordingFile(apsw.VFSFile):
    def __init__(self, files: RecordingFiles, name: str | apsw.URIFilename | None, flags: list[int]) -> None:
        filename = name.filename() if isinstance(name, apsw.URIFilename) else name
        self.path = Path(str(filename))
        self.files = files
        self.platter = files.platter
        # SQLite's own file systems sync the directory when a new log is synced for the first time.
        self.syncs_directory = bool(flags[0] & (apsw.SQLITE_OPEN_WAL | apsw.SQLITE_OPEN_MAIN_JOURNAL))
        super().__init__(files.base, name, flags)
        if flags[0] & apsw.SQLITE_OPEN_CREATE:
            with self.platter.lock:
                self.platter.create(self.path)

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802
        if self.files.is_full(self.path, offset + len(data)):
            error = apsw.FullError("no space left on the platter")
            vars(error).update(result=apsw.SQLITE_FULL, extendedresult=apsw.SQLITE_FULL)  # as SQLite's own carry it
            raise error
        super().xWrite(data, offset)
        self.platter.write(self.path, offset, bytes(data))

    def xTruncate(self, size: int) -> None:  # noqa: N802
        super().xTruncate(size)
        self.platter.write(self.path, size, None)

    def xSync(self, _flags: int) -> None:  # noqa: N802
        self.platter.sync(self.path)
        if self.syncs_directory:
            self.syncs_directory = False
            self.platter.sync_directory(self.path.parent)
