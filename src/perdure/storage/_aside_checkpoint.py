"""AsideCheckpoint: copies a busy database's `-wal` into its file on a thread of its own.

A passive checkpoint blocks nobody, so it runs beside the writer on a second connection. What the writer adds meanwhile
the writer copies itself, which lets the `-wal` start again from its beginning. Effects: disk, threads.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress

import apsw


class AsideCheckpoint:
    """One thread beside one writer. All methods are the writer's. Raises apsw.Error when it cannot connect."""

    def __init__(self, connect: Callable[[], apsw.Connection], *, wal_bytes: int, page_size: int) -> None:
        self._connection = connect()
        # A connection that never read does not know that its database has a -wal.
        self._connection.execute("SELECT count(*) FROM sqlite_schema").fetchall()
        self._frames_max = wal_bytes // page_size
        self._wake = threading.Semaphore(0)
        self._is_running = False
        self._is_ending = False
        self._is_copied = False
        self._frames = 0
        self._thread = threading.Thread(target=self._run, name="perdure-journal-checkpoint", daemon=True)
        self._thread.start()

    def watch(self, writer: apsw.Connection) -> None:
        """Count the frames `writer` adds."""
        writer.set_wal_hook(self._count)

    def go_on(self, writer: apsw.Connection) -> None:
        """Between two transactions: start a copy when there is much, or finish one."""
        if self._is_running:
            return
        if self._is_copied:
            self._is_copied = False
            writer.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
        elif self._frames >= self._frames_max:
            self._frames = 0
            self._is_running = True
            self._wake.release()

    def close(self) -> None:
        """Wait for a copy under way, and end the thread."""
        self._is_ending = True
        self._wake.release()
        self._thread.join()

    def _count(self, _connection: apsw.Connection, _name: str, frames: int) -> int:
        self._frames = frames
        return apsw.SQLITE_OK

    def _run(self) -> None:
        while True:
            self._wake.acquire()
            if self._is_ending:
                break
            try:
                self._connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
                self._is_copied = True
            except apsw.Error:
                # The writer copies everything itself, and meets the same disk with someone to tell about it.
                self._is_copied = True
            self._is_running = False
        with suppress(apsw.Error):  # The last connection to close copies the rest, and may fail like any other.
            self._connection.close()
