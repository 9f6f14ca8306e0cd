"""The pages a commit changed, read from the tail of the database's `-wal` file.

SQLite appends to that file one frame per page: page number, size of the database after the commit (0 in all frames
but a commit's last), two salts, two checksums, the page. What lies behind the last commit belongs to nobody yet.
The salts change when the file starts again after a checkpoint, so frames of a former round are told by theirs.
Effects: disk.
"""

from __future__ import annotations

import os
from pathlib import Path
from struct import Struct
from typing import Final, NamedTuple

from perdure.errors import StorageFailedError
from perdure.storage._journal import AlarmChange

_WAL_HEADER_BYTES: Final = 32
_SALTS: Final = slice(16, 24)
_FRAME_HEADER: Final = Struct(">II8s8x")  # page number, database pages after the commit or 0, salts, checksums
_FRAME_HEADER_BYTES: Final = _FRAME_HEADER.size
_FRAMES_READ_AHEAD: Final = 4  # one read serves most commits; a longer one is read on


class Captured(NamedTuple):
    """What one commit of one database changed: the last image of each page, and how many pages there are now.

    `alarm`: what became of the database's alarm, when the commit touched it.
    `is_confirmed`: whatever is said after it must wait until it is durable.
    """

    number: int
    page_size: int
    database_pages: int
    pages: dict[int, bytes]
    alarm: AlarmChange | None = None
    is_confirmed: bool = True


class WalTail:
    """Follows one database's `-wal`. There must be no other reader who checkpoints, and one connection.

    What the file holds when the tail is opened counts as captured already.
    """

    __slots__ = ("_descriptor", "_number", "_offset", "_page_size", "_path", "_read_ahead", "_salts")

    def __init__(self, path: Path, *, number: int, page_size: int) -> None:
        self._path = path
        self._number = number
        self._page_size = page_size
        self._read_ahead = _FRAMES_READ_AHEAD * (_FRAME_HEADER_BYTES + page_size)
        self._descriptor = -1
        self._salts = b""
        self._offset = _WAL_HEADER_BYTES
        if path.exists():
            while self.read_or_none() is not None:
                pass

    def read(self) -> Captured:
        """The pages of the commits since the last call. Raises StorageFailedError when there is none."""
        captured = self.read_or_none()
        if captured is None:
            raise StorageFailedError(
                f"SQLite reported a commit, but `{self._path}` holds none since the last one: "
                "another program changed the file while the store was open"
            )
        return captured

    def read_or_none(self) -> Captured | None:
        """As `read`, but None when nothing was committed."""
        try:
            return self._read_on() or (self._read_on() if self._starts_again() else None)
        except OSError as error:
            raise StorageFailedError(f"`{self._path}` cannot be read: {error}") from error

    def close(self) -> None:
        """Forget the file."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _starts_again(self) -> bool:
        """Whether the file began a new round since the last look; then the tail stands at its start."""
        if self._descriptor < 0:
            self._descriptor = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        header = os.pread(self._descriptor, _WAL_HEADER_BYTES, 0)
        if len(header) < _WAL_HEADER_BYTES or header[_SALTS] == self._salts:
            return False
        self._salts = header[_SALTS]
        self._offset = _WAL_HEADER_BYTES
        return True

    def _read_on(self) -> Captured | None:
        if self._descriptor < 0:
            return None
        data = os.pread(self._descriptor, self._read_ahead, self._offset)
        if len(data) == self._read_ahead:
            rest = os.fstat(self._descriptor).st_size - self._offset - len(data)
            if rest > 0:
                data += os.pread(self._descriptor, rest, self._offset + len(data))
        return self._committed(data)

    def _committed(self, data: bytes) -> Captured | None:
        """The frames up to the last commit in `data`; moves the tail behind it."""
        page_size, salts, unpack_from = self._page_size, self._salts, _FRAME_HEADER.unpack_from
        frame_bytes = _FRAME_HEADER_BYTES + page_size
        database_pages = end = 0
        pages: dict[int, bytes] = {}
        pages_open: dict[int, bytes] = {}
        for start in range(0, len(data) - frame_bytes + 1, frame_bytes):
            page, pages_after_commit, frame_salts = unpack_from(data, start)
            if frame_salts != salts:
                break
            pages_open[page] = data[start + _FRAME_HEADER_BYTES : start + frame_bytes]
            if pages_after_commit:
                pages.update(pages_open)
                pages_open = {}
                database_pages, end = pages_after_commit, start + frame_bytes
        if not database_pages:
            return None
        self._offset += end
        if max(pages) > database_pages:
            pages = {page: image for page, image in pages.items() if page <= database_pages}
        return Captured(self._number, page_size, database_pages, pages)
