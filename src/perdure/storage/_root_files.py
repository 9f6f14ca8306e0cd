"""RootFiles: the database files of one root object and its facets, and what is done to them on worker threads.

After a failed write or sync nobody knows what a file holds: then the object's log breaks. Effects: disk, tasks.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

import apsw

from perdure.errors import ObjectResetError, StorageFailedError
from perdure.storage._disk import FileState
from perdure.storage._layout import Lineage, ObjectKey, wal_path
from perdure.storage._recovery import fold_history, restore_files
from perdure.storage._root_context import RootContext, failures_explained
from perdure.storage._root_log import RootLog
from perdure.storage._template import new_database

Result = TypeVar("Result")


class RootFiles:
    """See the module. `log` gives the object's log, and makes the files whole when it is first asked."""

    def __init__(self, context: RootContext, key: ObjectKey, log: Callable[[], RootLog]) -> None:
        self.context = context
        self.key = key
        self._log = log
        self._suspect: set[int] = set()
        """Databases that broke: their files may hold commits that were never handed on."""

    @property
    def log(self) -> RootLog:
        """The log that makes them durable."""
        return self._log()

    def path(self, lineage: Lineage) -> Path:
        """Where a database lies."""
        return self.context.layout.database(self.key, lineage)

    def path_or_none(self, number: int) -> Path | None:
        """The database's file, None when it is deleted."""
        chain = self.log.chain
        return None if chain.is_deleted(number) else self.path(chain.lineage(number))

    # ── one file ─────────────────────────────────────────────────────────────────────────────────────────────

    def make(self, path: Path) -> None:
        """Make an empty database, whatever lies there."""
        disk = self.context.disk
        disk.make_directory(path.parent)
        disk.unlink(wal_path(path))
        disk.write_new_file(path, new_database())

    def remove(self, lineage: Lineage) -> None:
        """Take a database away."""
        self.remove_wal(lineage)
        self.context.disk.unlink(self.path(lineage))

    def remove_wal(self, lineage: Lineage) -> None:
        """Take away a `-wal` that holds nothing that the file needs."""
        self.context.disk.unlink(wal_path(self.path(lineage)))

    def sync(self, paths: Mapping[Lineage, Path | None]) -> dict[Lineage, FileState | None]:
        """Make files durable, and that those without a path are gone; their states then. For a worker thread."""
        disk = self.context.disk
        states: dict[Lineage, FileState | None] = {}
        for lineage, path in paths.items():
            if path is None:
                self.remove(lineage)
                states[lineage] = None
            else:
                disk.sync_file(path)
                states[lineage] = disk.file_state_or_none(path)
        disk.sync_directory(self.context.layout.namespace(self.key.namespace))
        return states

    # ── files that are not to be trusted ─────────────────────────────────────────────────────────────────────

    def distrust(self, number: int) -> None:
        """A database broke: `make_whole` before it is used again."""
        self._suspect.add(number)

    def is_suspect(self, number: int) -> bool:
        """Whether the file may hold commits that were never handed on."""
        return number in self._suspect

    def make_whole(self, number: int) -> None:
        """Bring a suspect file to what the journal acknowledged, as after a crash; its siblings go on.

        Raises ObjectResetError while the journal has still to answer, StorageFailedError.
        """
        if number in self._suspect:
            with failures_explained(self.path(self.log.chain.lineage(number))):
                self._restore(number)

    def _restore(self, number: int) -> None:
        log, chain = self.log, self.log.chain
        if not chain.is_acknowledged(number):
            raise ObjectResetError("the database failed, and its last commits are still on their way", retryable=True)
        lineage = chain.lineage(number)
        context = self.context
        folded = fold_history(self.key, context.journal.load(log.grant))
        self.remove_wal(lineage)
        if lineage in folded.files:
            only = folded._replace(files={lineage: folded.files[lineage]})
            restore_files(context.layout, context.disk, self.key, only, {})
            chain.checkpointed(number)
        self._suspect.discard(number)

    # ── work ─────────────────────────────────────────────────────────────────────────────────────────────────

    async def change(self, work: Callable[[], Result]) -> Result:
        """Run on a worker thread what writes or syncs databases. Its failure breaks the log."""
        try:
            return await asyncio.get_running_loop().run_in_executor(self.context.executor, work)
        except (OSError, apsw.Error) as error:
            raise self._broken(error) from error

    def change_now(self, work: Callable[[], None]) -> None:
        """The same as one step of the event loop."""
        try:
            work()
        except (OSError, apsw.Error) as error:
            raise self._broken(error) from error

    async def copy(self, work: Callable[[], Result]) -> Result:
        """Run on a worker thread what changes none of them. Its failure harms nothing."""
        try:
            return await asyncio.get_running_loop().run_in_executor(self.context.executor, work)
        except OSError as error:
            raise StorageFailedError(
                f"object `{self.key.object_id.hex()}` could not be copied or archived: {error}"
            ) from error

    def _broken(self, error: Exception) -> StorageFailedError:
        reason = f"object `{self.key.object_id.hex()}` could not be made durable: {error}"
        self.log.break_(reason)
        return StorageFailedError(reason)
