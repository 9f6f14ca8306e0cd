"""Store: one data directory, owned by one process at a time. Effects: disk, process, tasks."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Final

from perdure.clock import Clock, Entropy, new_uuid
from perdure.errors import DataDirectoryError, StorageFailedError, UnavailableError
from perdure.limits import ALARM_MS_MAX, JOURNAL_BYTES_SOFT_MAX, JOURNAL_HISTORY_BYTES_SOFT_MAX, STORAGE_THREADS
from perdure.storage._adoption import take_back
from perdure.storage._archive import Archive
from perdure.storage._directory_lock import DirectoryLock
from perdure.storage._disk import Disk, SystemDisk
from perdure.storage._journal import DueAlarm, Incarnation, Journal, ListedObject
from perdure.storage._layout import Layout, ObjectKey, wal_path
from perdure.storage._root_context import RootContext
from perdure.storage._root_store import RootStore
from perdure.storage._sqlite_journal import SqliteJournal
from perdure.storage._template import new_database

_NEW_FILE_BYTES: Final = len(new_database())
_ARCHIVED_AT_ONCE: Final = 256  # roots, those with the most records; the rest at the next sweep
_COMPACTED_AT_ONCE: Final = 64  # roots; more would only wait for the same threads


@dataclass(frozen=True, slots=True)
class StoreOptions:
    """How to open a store.

    `adopt_changed_files`: take databases as they are that another program changed while we were stopped.
    `vfs` is SQLite's file system for objects: the directory's lock is ours, so files need none of their own.
    `make_archive` makes what keeps the records that the journal forgets; without it they are dropped.
    `stand_before`: what objects use instead of the journal, for tests that decide when it answers.
    """

    adopt_changed_files: bool = False
    disk: Disk = field(default_factory=SystemDisk)
    vfs: str = "unix-none"
    journal_vfs: str | None = None
    make_archive: Callable[[Layout, Disk, Clock], Archive] | None = None
    stand_before: Callable[[Journal], Journal] | None = None


@dataclass(slots=True)
class _AlarmListener:
    """Who wants to know of alarms; known later than those who tell."""

    listener: Callable[[int], object] | None = None

    def __call__(self, at_ms: int) -> None:
        if self.listener is not None:
            self.listener(at_ms)


class Store:
    """The objects of one data directory. Made by `open`, used on one event loop, ended by `close`."""

    def __init__(
        self, context: RootContext, journal: SqliteJournal, lock: DirectoryLock, alarm_listener: _AlarmListener
    ) -> None:
        self._context = context
        self._alarm_listener = alarm_listener
        self._journal = journal
        self._lock = lock
        self._roots: dict[ObjectKey, RootStore] = {}
        self._has_strays = not journal.was_stopped_cleanly
        """Whether there may be files that the journal never heard of."""

    @classmethod
    def open(cls, directory: Path, *, clock: Clock, entropy: Entropy, options: StoreOptions | None = None) -> Store:
        """Lock the directory and open its journal; blocks. Objects are recovered when they are first used.

        Raises DataDirectoryError when another process has it, DamagedDataError when the journal is damaged.
        """
        options = options or StoreOptions()
        layout, disk = Layout(directory.absolute()), options.disk
        try:
            for part in (layout.objects, layout.journal.parent, layout.temporary):
                disk.make_directory(part)
        except OSError as error:
            raise StorageFailedError(f"data directory `{directory}` cannot be made: {error}") from error
        lock = DirectoryLock(layout.lock)
        try:
            for left in layout.temporary.iterdir():
                shutil.rmtree(left, ignore_errors=True)
            journal = SqliteJournal(layout.journal, entropy=entropy, vfs=options.journal_vfs)
            try:
                lease = journal.register(Incarnation(new_uuid(entropy)))
            except BaseException:
                journal.close()
                raise
        except BaseException:
            lock.release()
            raise
        executor = ThreadPoolExecutor(STORAGE_THREADS, thread_name_prefix="perdure-storage")
        alarm_listener = _AlarmListener()
        context = RootContext(
            layout=layout,
            disk=disk,
            journal=journal if options.stand_before is None else options.stand_before(journal),
            lease=lease,
            clock=clock,
            executor=executor,
            vfs=options.vfs,
            adopt_changed_files=options.adopt_changed_files,
            archive=None if options.make_archive is None else options.make_archive(layout, disk, clock),
            alarm_set=alarm_listener,
        )
        return cls(context, journal, lock, alarm_listener)

    def root(self, namespace: str, object_id: bytes, *, name: str | None = None) -> RootStore:
        """The files of one object. Cheap: files are made, or made whole, at the first `open_database`.

        `name`: the object's, when the caller knows it; it is kept with the object's next commit.
        After its log broke, an object gets a new RootStore, whose files are what the journal acknowledged.
        """
        key = ObjectKey(namespace, object_id)
        root = self._roots.get(key)
        if root is None:
            root = self._roots[key] = RootStore(self._context, key)
        elif root.is_broken:
            self._has_strays = True
            root = self._roots[key] = RootStore(self._context, key, name=root.name, after=root)
        if name is not None:
            root.tell_name(name)
        return root

    def count_objects(self, namespace: str) -> int:
        """How many objects of a namespace exist. Reads all of the journal's names: ask once, then count along."""
        return self._journal.queries.count_objects(namespace)

    def release(self, root: RootStore) -> None:
        """Close the databases of an object that nobody uses. Its log stays known until it is compacted."""
        root.close()
        if root.is_idle and root.is_clean:
            self._forget(root)

    @property
    def is_compaction_due(self) -> bool:
        """Whether the journal grew so large that `compact_idle` should run."""
        return self._journal.bytes_kept > JOURNAL_BYTES_SOFT_MAX or self._is_archiving_due

    @property
    def _is_archiving_due(self) -> bool:
        return self._context.archive is not None and self._journal.history_bytes > JOURNAL_HISTORY_BYTES_SOFT_MAX

    async def compact_idle(self) -> None:
        """Make durable the files of objects that have no open database, those that waited longest first."""
        for key in self._journal.queries.keys_with_records():
            root = self.root(*key)
            if root.is_idle:
                await root.compact()
                if root.is_idle:  # Somebody may have opened it meanwhile.
                    self.release(root)
            if not self.is_compaction_due:
                return
        if self._is_archiving_due:
            for key in self._journal.queries.keys_with_history(limit=_ARCHIVED_AT_ONCE):
                root = self.root(*key)
                await root.archive()
                if root.is_idle:
                    self.release(root)

    # ── alarms ───────────────────────────────────────────────────────────────────────────────────────────────

    def due_alarms(self, *, until_ms: int, limit: int) -> list[DueAlarm]:
        """The first alarms to look at up to a time, of all objects whether in use or not."""
        return self._journal.due_alarms(until_ms=until_ms, limit=limit)

    def alarms(self, *, limit: int, after: DueAlarm | None = None) -> list[DueAlarm]:
        """A page of all pending alarms, the earliest first: those behind `after`."""
        return self._journal.due_alarms(until_ms=ALARM_MS_MAX, limit=limit, after=after)

    def watch_alarms(self, listener: Callable[[int], object] | None) -> None:
        """Tell `listener` the time of each alarm that objects set from now on, once it is durable."""
        self._alarm_listener.listener = listener

    def postpone_alarms(self, alarms: Sequence[tuple[DueAlarm, int]]) -> None:
        """Look at alarms at another time, each at its own, without touching their objects. Waits for the disk."""
        self._journal.postpone_alarms(alarms)

    def hurry_alarms(self, *, namespace: str | None = None) -> None:
        """Take back every postponement, of one namespace or all. Waits for the disk."""
        self._journal.hurry_alarms(namespace=namespace)

    # ── objects ──────────────────────────────────────────────────────────────────────────────────────────────

    def objects(
        self, *, namespace: str | None = None, after: ObjectKey | None = None, limit: int
    ) -> list[ListedObject]:
        """A page of the objects that ever committed, of one namespace or all, in the order of their keys."""
        return self._journal.objects(namespace=namespace, after=after, limit=limit)

    @property
    def archive(self) -> Archive | None:
        """Where records go that the journal forgets; None: no history is kept."""
        return self._context.archive

    def exists(self, key: ObjectKey) -> bool:
        """Whether something was committed to the object and it is not deleted. Makes its files whole."""
        root = self.root(*key)
        exists = root.exists
        if root.is_idle:
            self.release(root)
        return exists

    @property
    def disk(self) -> Disk:
        """What makes files durable."""
        return self._context.disk

    @property
    def layout(self) -> Layout:
        """Where the files are."""
        return self._context.layout

    def statistics(self) -> dict[str, int]:
        """Counts for people."""
        return {"journal_bytes": self._journal.bytes_kept, "roots_known": len(self._roots)}

    async def close(self) -> None:
        """A clean stop: wait for what is on its way, make every file durable, leave plain SQLite files and no `-wal`.

        What cannot be made durable, because the disk fails, stays in the journal for the next start; then raises
        StorageFailedError.
        """
        failures: list[str] = []
        try:
            await self._settle()
            await self._compact(self._journal_keys(failures), failures)
            for root in list(self._roots.values()):
                self._forget(root)
            if not failures:
                self._remove_strays(failures)
            if not failures:
                self._journal.unregister()
        finally:
            self._context.executor.shutdown()
            try:
                await asyncio.to_thread(self._journal.close)
            finally:
                self._lock.release()
        if failures:
            raise StorageFailedError(f"{len(failures)} objects could not be closed cleanly; the first: {failures[0]}")

    async def _settle(self) -> None:
        """Everything in use: acknowledged, durable, closed. What fails here is tried again from the journal."""
        for root in list(self._roots.values()):
            if not root.is_clean:
                with suppress(StorageFailedError):
                    await root.log.wait_until_settled()
                    await root.compact()
            self._has_strays |= root.is_broken or root.leaves_strays
            await root.close_in_turn()

    def _remove_strays(self, failures: list[str]) -> None:
        """Databases made just before a crash or a reset, none of whose commits reached the journal; failed adoptions.

        Nobody will ask for them. Such a file is as it was made, or the first part of that, unless it has a `-wal`; by
        now no other has one that holds anything. A larger one may be somebody's who lost the journal: it stays.
        """
        layout, disk = self._context.layout, self._context.disk
        try:
            self._take_back_adoptions()
            if not self._has_strays:
                return
            for key, lineage in chain(layout.databases(), layout.lone_logs()):
                path = layout.database(key, lineage)
                has_wal = wal_path(path).exists()
                if has_wal:
                    disk.unlink(wal_path(path))
                if (has_wal or path.stat().st_size <= _NEW_FILE_BYTES) and not self._journal.queries.has_file(
                    key, lineage
                ):
                    disk.unlink(path)
        except (OSError, StorageFailedError) as error:
            failures.append(str(error))

    def _take_back_adoptions(self) -> None:
        """What failed adoptions left, and the journal does not know. Their names may have been used since."""
        queries = self._journal.queries
        for key, (sequence, lineages) in list(self._context.unfinished.items()):
            if queries.history(key).head < sequence:
                take_back(self._context, key, sequence=sequence, lineages=lineages)
            else:  # The archive finds out by itself that the image is not this object's.
                for lineage in lineages:
                    if not queries.has_file(key, lineage):
                        self._context.disk.unlink(self._context.layout.database(key, lineage))

    def _journal_keys(self, failures: list[str]) -> Iterable[ObjectKey]:
        try:
            return self._journal.queries.keys_with_records()
        except StorageFailedError as error:
            failures.append(str(error))
            return ()

    async def _compact(self, keys: Iterable[ObjectKey], failures: list[str]) -> None:
        """Those that were not used since the last crash, and those whose log broke."""
        room = asyncio.Semaphore(_COMPACTED_AT_ONCE)

        async def compact(root: RootStore) -> None:
            async with room:
                try:
                    await root.compact()
                except (UnavailableError, DataDirectoryError) as error:
                    failures.append(str(error))

        async with asyncio.TaskGroup() as tasks:
            for key in keys:
                tasks.create_task(compact(self.root(*key)))

    def _forget(self, root: RootStore) -> None:
        self._has_strays |= root.leaves_strays
        root.release()
        self._roots.pop(root.key, None)
