"""A disk that fails at the n-th of its acts, below SQLite and below our own file work.

`FaultyFiles` is a file system of SQLite over another, `FaultyDisk` a `Disk` over another. Both count what they are
asked for in one `Faults`, by what it is and to which kind of file, and one of those acts fails as a real disk would
make it fail: with an I/O error, for want of room, or half done. It may be well again afterwards, or stay broken.
"""

from __future__ import annotations

import errno
import itertools
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import NamedTuple, cast

import apsw

from perdure.storage._disk import Disk

_vfs_names = itertools.count()


class Cause(Enum):
    """Why an act fails."""

    BROKEN = "I/O error"
    FULL = "no room"
    SHORT = "half written, then no room"


class Place(NamedTuple):
    """One kind of act on one kind of file: `write` of `object-wal`, `sync_file` of `disk`."""

    file: str
    act: str

    def __str__(self) -> str:
        return f"{self.file}.{self.act}"


class Fault(NamedTuple):
    """The n-th act of a place fails, counted from 1; when `is_lasting`, so does everything after it."""

    place: Place
    number: int
    cause: Cause
    is_lasting: bool

    def __str__(self) -> str:
        return f"{self.place} number {self.number}: {self.cause.value}{', for good' if self.is_lasting else ''}"


WRITING = frozenset(
    {"write", "truncate", "write_new_file", "write_chunks", "write_pages", "open", "make_directory", "append"}
)
"""Acts that may want room. A disk without room still reads, syncs and deletes."""


def causes_of(place: Place) -> list[Cause]:
    """How this act can fail."""
    if place.act in {"write", "write_new_file", "write_chunks", "write_pages", "append"}:
        return list(Cause)
    return [Cause.BROKEN, Cause.FULL] if place.act in WRITING else [Cause.BROKEN]


@dataclass
class Faults:
    """What was done so far, and what is to fail."""

    fault: Fault | None = None
    counts: Counter[Place] = field(default_factory=Counter)
    has_struck: bool = False
    is_healed: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)

    def cause_or_none(self, place: Place) -> Cause | None:
        """Count one act; why it fails, if it does."""
        with self.lock:
            self.counts[place] += 1
            fault = self.fault
            if fault is None or self.is_healed:
                return None
            if place == fault.place and self.counts[place] == fault.number:
                self.has_struck = True
                return fault.cause
            if not (self.has_struck and fault.is_lasting):
                return None
            if fault.cause is Cause.BROKEN:
                return fault.cause if place.act not in {"open", "read", "file_state_or_none"} else None
            return Cause.FULL if place.act in WRITING - {"open"} else None


class FaultyFiles(apsw.VFS):
    """SQLite's file system, over the one called `base`. `kind` names its databases in places."""

    def __init__(self, base: str, kind: str, faults: Faults) -> None:
        self.name = f"faulty-{next(_vfs_names)}"
        self.base = base
        self.kind = kind
        self.faults = faults
        super().__init__(self.name, base)

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> FaultyFile:  # noqa: N802
        return FaultyFile(self, name, flags)

    def xDelete(self, filename: str, syncdir: bool) -> None:  # noqa: FBT001, N802
        cause = self.faults.cause_or_none(Place(self.kind, "delete"))
        if cause is not None:
            raise error_of(cause, apsw.SQLITE_IOERR_DELETE)
        super().xDelete(filename, syncdir)


class FaultyFile(apsw.VFSFile):
    def __init__(self, files: FaultyFiles, name: str | apsw.URIFilename | None, flags: list[int]) -> None:
        self.faults = files.faults
        is_database = bool(flags[0] & apsw.SQLITE_OPEN_MAIN_DB)
        self.kind = files.kind if is_database else f"{files.kind}-wal"
        self.is_there = False
        cause = self.faults.cause_or_none(Place(self.kind, "open"))
        if cause is not None:
            raise error_of(cause, apsw.SQLITE_CANTOPEN)
        super().__init__(files.base, name, flags)

    def xRead(self, amount: int, offset: int) -> bytes:  # noqa: N802
        self._act("read", apsw.SQLITE_IOERR_READ)
        return super().xRead(amount, offset)

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802
        cause = self.faults.cause_or_none(Place(self.kind, "write"))
        if cause is Cause.SHORT:
            super().xWrite(bytes(data[: len(data) // 2]), offset)
        if cause is not None:
            raise error_of(cause, apsw.SQLITE_IOERR_WRITE)
        super().xWrite(data, offset)

    def xTruncate(self, size: int) -> None:  # noqa: N802
        self._act("truncate", apsw.SQLITE_IOERR_TRUNCATE)
        super().xTruncate(size)

    def xSync(self, flags: int) -> None:  # noqa: N802
        self._act("sync", apsw.SQLITE_IOERR_FSYNC)
        super().xSync(flags)

    def _act(self, act: str, code: int) -> None:
        cause = self.faults.cause_or_none(Place(self.kind, act))
        if cause is not None:
            raise error_of(cause, code)


def error_of(cause: Cause, extended_code: int) -> apsw.Error:
    """As SQLite's own errors carry their codes."""
    if cause is Cause.BROKEN:
        kind = apsw.CantOpenError if extended_code == apsw.SQLITE_CANTOPEN else apsw.IOError
        error: apsw.Error = kind("disk I/O error")
    else:
        error, extended_code = apsw.FullError("database or disk is full"), apsw.SQLITE_FULL
    vars(error).update(result=extended_code & 0xFF, extendedresult=extended_code)
    return error


class FaultyDisk:
    """Our own file work, over another `Disk`; counts whatever that can do."""

    def __init__(self, disk: Disk, faults: Faults) -> None:
        self._disk = disk
        self._faults = faults

    @classmethod
    def over(cls, disk: Disk, faults: Faults) -> Disk:
        """One of these, which answers to everything that `disk` answers to."""
        return cast("Disk", cls(disk, faults))

    def __getattr__(self, name: str) -> Callable[..., object]:
        method: Callable[..., object] = getattr(self._disk, name)

        def act(path: Path, *arguments: object, **options: object) -> object:
            cause = self._faults.cause_or_none(Place("disk", name))
            if cause is Cause.SHORT:
                arguments = tuple([*each] if isinstance(each, Iterator) else each for each in arguments)
                method(path, *(_half(argument) for argument in arguments), **options)
            if cause is not None:
                number = errno.EIO if cause is Cause.BROKEN else errno.ENOSPC
                raise OSError(number, cause.value, str(path))
            return method(path, *arguments, **options)

        return act


def _half(argument: object) -> object:
    if isinstance(argument, bytes | list):
        return argument[: len(argument) // 2]
    if isinstance(argument, Mapping):
        return dict(list(argument.items())[: len(argument) // 2])
    return argument
