"""RootStore: the files of one root object and its facets, and the log that makes them durable.

Files are made whole from the journal at the first use in this process, so a start after a crash costs nothing until
an object is used. Lives on the event loop, except where a method says otherwise. Effects: disk, tasks.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TypeVar

from perdure.errors import FacetError, InternalError, ObjectResetError, UsageError
from perdure.storage._adoption import adopt_files
from perdure.storage._capture import Captured
from perdure.storage._compaction import Compaction
from perdure.storage._database import Database
from perdure.storage._facet_index import FacetCount, FacetIndex
from perdure.storage._image import Image, copy_files, record_bytes
from perdure.storage._journal import AlarmChange
from perdure.storage._layout import ROOT, Lineage, ObjectKey, number_of
from perdure.storage._object_name import ObjectName
from perdure.storage._record import Record
from perdure.storage._root_context import RootContext, failures_explained
from perdure.storage._root_facets import RootFacets
from perdure.storage._root_files import RootFiles
from perdure.storage._root_log import Commit, RootLog
from perdure.storage._root_recovery import recover
from perdure.storage._template import template_pages
from perdure.storage._tree_rewrite import TreeRewrite
from perdure.storage._usage import UsageRow, usage_or_none

Result = TypeVar("Result")
HostTurn = Callable[[Database], tuple[Result, Captured | None]]
"""A turn of the host in a database, as `Database.host_turn` makes it: its result, and what it changed."""


class RootStore:
    """See the module. `Store.root` makes it; it makes files and asks the journal when it is first used."""

    def __init__(
        self, context: RootContext, key: ObjectKey, *, name: str | None = None, after: RootStore | None = None
    ) -> None:
        self.key = key
        self._name = ObjectName(name)
        self.files_aside: asyncio.Lock = asyncio.Lock() if after is None else after.files_aside
        """Held while a thread works on files. A root that follows a broken one shares it: the files are the same."""
        self.leaves_strays = False
        """Whether a file or a `-wal` that nobody needs may lie there."""
        self._after = after
        self._context = context
        self._log: RootLog | None = None
        self._databases: dict[int, Database] = {}
        self._files = RootFiles(context, key, lambda: self.log)
        self._compaction = Compaction(self._files, self._databases)
        self._rewrite = TreeRewrite(self._files, self._compaction, self._databases)
        self._facets = RootFacets(self.open_database, lambda: self.log.chain.commit_count(0))
        self._deletion: Commit | None = None
        self._openings = 0
        self._unlinked_later: list[Lineage] | None = None  # a list while a thread copies files

    # ── state ────────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def name(self) -> str | None:
        """The object's name, once somebody told it; after the first use also what the journal remembers."""
        return self._name.known

    def tell_name(self, name: str) -> None:
        """Keep the object's name with its next commit, so that a cold alarm or a listing has it."""
        self._name.tell(name)

    @property
    def log(self) -> RootLog:
        """Where commits go. The first use makes the files whole. Raises DamagedDataError, DataDirectoryError."""
        if self._log is None:
            if self._after is not None:  # Only now, that no thread works on what it has open: see `files_aside`.
                self._after.close()
                self._after = None
            self._log = recover(self._context, self.key, self._name)
        return self._log

    @property
    def is_broken(self) -> bool:
        """Whether an append failed: the store makes a new RootStore at the next `root`."""
        return self._log is not None and self._log.error is not None

    @property
    def is_idle(self) -> bool:
        """Whether no database is open, or about to be, and nothing is on its way."""
        if self._after is not None and not self._after.is_closed:
            return False
        return self.is_closed and not self._openings and (self._log is None or self._log.chain.is_settled)

    @property
    def is_closed(self) -> bool:
        """Whether no database is open."""
        return not self._databases

    def is_open(self, number: int) -> bool:
        """Whether one database is open."""
        return number in self._databases

    @property
    def is_clean(self) -> bool:
        """Whether the files alone hold everything, durably: the journal needs nothing of this object."""
        return self._log is None or self._compaction.is_done

    @property
    def is_compaction_due(self) -> bool:
        """Whether so many records collected that making the files durable is worth it."""
        return self._log is not None and self._compaction.is_due

    # ── databases ────────────────────────────────────────────────────────────────────────────────────────────

    def open_database(self, number: int = 0) -> Database:
        """The root's own database (0) or a facet's. Blocks for as long as the file system takes."""
        database = self._databases.get(number)
        if database is None:
            database = self._databases[number] = self._opening(number)()
        return database

    def open_database_aside(self, number: int = 0) -> asyncio.Task[Database]:
        """The same on a worker thread: a new file takes a millisecond where many were deleted lately.

        The task must run to its end. Whoever no longer wants the database closes it then.
        """
        self._openings += 1  # At once, so that nobody takes this root for an idle one.
        return asyncio.get_running_loop().create_task(self._open_aside(number))

    async def _open_aside(self, number: int) -> Database:
        try:
            async with self.files_aside:
                database = self._databases.get(number)
                if database is None:
                    self._check_not_broken()
                    opening = self._opening(number)
                    database = await asyncio.get_running_loop().run_in_executor(self._context.executor, opening)
                    self._databases[number] = database
                    if self.is_broken:
                        self.close_database(number)
                        self._check_not_broken()
                return database
        finally:
            self._openings -= 1

    def _opening(self, number: int) -> Callable[[], Database]:
        """What opens the file, and makes it if nothing was ever committed to it. It touches nothing but the file."""
        chain = self.log.chain
        if self._deletion is not None and not self._deletion.done:
            raise ObjectResetError(f"object `{self.key.object_id.hex()}` is being deleted", retryable=True)
        if self._rewrite.is_replacing(number):
            raise ObjectResetError(f"object `{self.key.object_id.hex()}` is being rewound", retryable=True)
        lineage = self._lineage(number)
        path = self._files.path(lineage)
        self._files.make_whole(number)
        is_born = chain.is_born(number)
        if not is_born:
            chain.attach(number, lineage, template=template_pages())

        def open_() -> Database:
            with failures_explained(path):
                if not is_born:
                    self._files.make(path)
                return Database.open(path, number=number, vfs=self._context.vfs)

        return open_

    def _check_not_broken(self) -> None:
        if self._log is not None:
            self._log.check_not_broken()

    def close_database(self, number: int) -> None:
        """Close one database, so that its actor can be forgotten. Its `-wal` stays until a compaction."""
        database = self._databases.pop(number, None)
        if database is None:
            return
        if number == 0:
            self._facets.forget()
        if database.is_broken:
            self._files.distrust(number)
        database.close()
        chain = self.log.chain
        try:
            if not chain.is_born(number):
                self._files.remove(chain.lineage(number))
            elif not chain.has_log(number):
                self._files.remove_wal(chain.lineage(number))
        except OSError:  # Nobody reads what stays: such a file is made anew, and this `-wal` holds nothing.
            self.leaves_strays = True

    # ── visits ───────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def exists(self) -> bool:
        """Whether something was ever committed to the object, and it is not deleted."""
        return self.log.chain.is_born(0)

    def find(self, path: Sequence[str]) -> int:
        """The number of the database that facet names lead to, from the root's child down; `()` is the root's own.

        The caller holds `files_aside`. Raises FacetError when a name leads nowhere.
        """
        number = 0
        was_open = 0 in self._databases
        try:
            for name in path:
                below = self.facet_number_or_none(number, name)
                if below is None:
                    names = self.facet_names(number, start_after="", limit=20)
                    there = ", ".join(f"`{known}`" for known in names) or "none"
                    raise FacetError(f"there is no facet `{name}` here; there are: {there}")
                number = below
        finally:
            if path and not was_open:
                self.close_database(0)
        return number

    async def visit(
        self, number: int, turn: HostTurn[Result], *, aside: bool, cause: str
    ) -> tuple[Result, Commit | None]:
        """Open a database that nobody has open, run `turn` on it, and close it. `aside`: on a worker thread.

        The caller holds `files_aside`, so that nobody opens it meanwhile, and knows that the database exists.
        """
        opening = self._opening(number)
        self._openings += 1
        try:
            loop = asyncio.get_running_loop()
            database = await loop.run_in_executor(self._context.executor, opening) if aside else opening()
            try:
                result, captured = await self.turn_aside(turn, database) if aside else turn(database)
                return result, None if captured is None else self.log.submit(captured, cause=cause)
            finally:
                self._databases[number] = database
                self.close_database(number)
        finally:
            self._openings -= 1

    async def turn_aside(self, turn: HostTurn[Result], database: Database) -> tuple[Result, Captured | None]:
        """Run `turn` on a worker thread. The caller keeps everybody else from the database, and is not cancelled."""
        return await asyncio.get_running_loop().run_in_executor(self._context.executor, turn, database)

    def close(self) -> None:
        """Close all databases. Nothing is waited for: commits on their way stay on their way."""
        if self._after is not None:
            self._after.close()
        for number in list(self._databases):
            self.close_database(number)

    async def close_in_turn(self) -> None:
        """The same, once no thread works on the files."""
        async with self.files_aside:
            self.close()

    def release(self) -> None:
        """Give the object back to the journal; for the store, when the object is idle."""
        if self._log is not None:
            self._context.journal.release(self._log.grant)
            self._log = None

    # ── facets ───────────────────────────────────────────────────────────────────────────────────────────────

    def facet_number(self, parent: int, name: str) -> int:
        """The number of facet `name` of database `parent`: given out at the first call, inside the root's open unit.

        Whoever opens it then needs the index no more. Raises FacetError when a rule of facets forbids it.
        """
        number = self._facets.number(parent, name)
        if not self.log.chain.is_born(number):
            self._facets.look_up(number)
        return number

    def facet_numbers(self, parent: int) -> dict[str, int]:
        """The live facets of database `parent`, by name."""
        return self._facets.index.numbers(parent)

    def facet_number_or_none(self, parent: int, name: str) -> int | None:
        """The number of facet `name` of database `parent`, if it exists."""
        return self._facets.index.number_or_none(parent, name)

    def facet_names(self, parent: int, *, start_after: str, limit: int) -> list[str]:
        """The names of a database's live facets in their order, from behind `start_after`."""
        return self._facets.index.names(parent, start_after=start_after, limit=limit)

    @property
    def facets(self) -> FacetIndex:
        """The facets of the object; what it changes belongs to the root's open unit."""
        return self._facets.index

    @property
    def temporary(self) -> Path:
        """Where copies of databases may lie for a while; it may not exist yet."""
        return self._context.layout.temporary

    def facet_count(self, number: int) -> FacetCount:
        """How many facets lie below a database."""
        return self._facets.index.count(number)

    def usage_or_none(self, number: int) -> UsageRow | None:
        """What was written down of the use of a database."""
        return usage_or_none(self.open_database(0), number)

    def delete_facet(self, number: int) -> Commit:
        """Delete a facet and all below it. Their files go when the journal has acknowledged it.

        The root's unit must be closed before, and what runs on these databases must have ended.
        """
        root = self.open_database(0)
        if root.in_unit:
            raise InternalError(f"facet {number} was deleted while its root's unit was open: commit that first")
        tree = self._facets.remove(number)
        captured = root.commit()
        for lineage in tree:
            self.close_database(number_of(lineage))
        return self._delete(tree, captured=[] if captured is None else [captured])

    def forget_below(self, number: int) -> list[Lineage]:
        """Take the facets below a database out of the index, in the root's unit; `delete_below` follows."""
        children = self._facets.index.numbers(number).values()
        return [lineage for child in children for lineage in self._facets.remove(child)]

    def delete_below(self, lineages: list[Lineage], captured: Sequence[Captured]) -> Commit:
        """Delete what `forget_below` gave, in one record with what databases committed of it.

        What runs on them has been reset; a turn that ends later on a thread commits nothing any more.
        """
        return self._delete(lineages, captured=captured)

    def delete(self) -> Commit:
        """Delete the object with all its facets. It may be opened anew when the journal has acknowledged it."""
        lineages = sorted({ROOT, *self.log.chain.live_lineages()})
        self.close()
        self._deletion = self._delete(lineages)
        return self._deletion

    def _delete(self, lineages: list[Lineage], *, captured: Sequence[Captured] = ()) -> Commit:
        commit = self.log.delete(lineages, captured=captured, cause="deleted")

        def unlink(commit: Commit) -> None:
            if commit.error is not None:
                return
            if self._unlinked_later is None:
                self._unlink(lineages)
            else:
                self._unlinked_later.extend(lineages)

        commit.add_callback(unlink)
        return commit

    def _unlink(self, lineages: Iterable[Lineage]) -> None:
        for lineage in lineages:
            with suppress(OSError):  # A sync tries again before the journal forgets that they are deleted.
                self._files.remove(lineage)

    @contextmanager
    def _files_kept(self) -> Iterator[None]:
        """While it lasts, files of what is deleted stay: a thread copies them. The caller holds `files_aside`."""
        later = self._unlinked_later = []
        try:
            yield
        finally:
            self._unlinked_later = None
            self._unlink(later)

    # ── whole databases ──────────────────────────────────────────────────────────────────────────────────────

    async def rewrite(
        self,
        files: Mapping[Lineage, Path | None],
        *,
        cause: str,
        alarms: Mapping[int, AlarmChange] | None = None,
        before: Callable[[], Captured | None] | None = None,
    ) -> int:
        """Make databases, page for page, what `files` hold; None deletes one. It is one record: all of it, or nothing.

        What a rewind and a clone are made of. Returns the number of the last record before that, to which one can go
        back; the last one of all if nothing differs, so that nothing is written. The caller has ended what ran on these
        databases, and closed them; whoever opens one meanwhile waits.
        `before` is called in the step of the loop that puts the record on its way: what it commits to the root, such
        as names of facets, is in the same record. `alarms`: those of the rewritten databases, by number.
        Raises UsageError when more than `REWRITE_BYTES_MAX` would change, StorageFailedError when the log breaks.
        """
        async with self.files_aside:
            self._check_not_broken()
            return await self._rewrite.run(files, cause=cause, alarms=alarms, before=before)

    async def image(self, directory: Path) -> Image:
        """Copies of all databases in `directory`, which is empty: what the journal has acknowledged, and nothing else.

        Nobody is stopped: what is committed meanwhile is not in it.
        """
        async with self.files_aside:
            self._check_not_broken()
            chain = self.log.chain
            while not chain.is_tree_confirmed:  # Nobody makes a database meanwhile, so this comes to an end.
                await self.log.wait_for_acknowledgement()
            covered = {lineage: chain.holds(number_of(lineage)) for lineage in chain.live_lineages()}
            until, digest = chain.known, chain.digest
            context, key = self._context, self.key
            with self._files_kept():
                replay = await self._files.copy(
                    lambda: copy_files(context.layout, context.journal, key, directory, covered=covered, until=until)
                )
            return Image(until, digest, replay)

    async def adopt(
        self, files: Mapping[Lineage, Path], *, alarms: Mapping[int, int], cause: str, new_name: str | None
    ) -> None:
        """Begin with copies of `files`, with these alarms by database number: all of it is durable when this returns.

        A crash before that leaves nothing but files that nobody asks for. Raises UsageError when the object exists.
        """
        async with self.files_aside:
            self._check_not_broken()
            context, chain = self._context, self.log.chain
            if self.exists or self._databases or not chain.is_settled:
                raise _exists(self.key)
            await self._compaction.make_durable()  # If it was deleted a moment ago, the journal has still to forget it.
            record = Record(chain.known + 1, chain.digest, context.clock.now_ms(), cause, ())
            work = partial(adopt_files, context, self.key, record=record, files=files, alarms=alarms, name=new_name)
            is_adopted = await self._files.copy(work)
            self.release()
            if not is_adopted:
                raise _exists(self.key)
            if new_name:
                self._name.tell(new_name)

    async def aside(self, work: Callable[[], Result]) -> Result:
        """Run on a worker thread what reads files of this object; nobody opens or moves one meanwhile."""
        async with self.files_aside:
            self._check_not_broken()
            return await self._files.copy(work)

    def record_bytes(self, after: int) -> Iterator[bytes]:
        """The records behind `after` that the journal still holds. Blocks; for any thread."""
        return record_bytes(self._context.journal, self.key, after=after)

    # ── compaction ───────────────────────────────────────────────────────────────────────────────────────────

    async def compact(self, numbers: Iterable[int] | None = None) -> None:
        """Checkpoint databases, make them durable, and let the journal forget what they hold.

        The caller holds their gates, or knows that they are closed: no turn may run on them meanwhile. Commits of
        other databases go on. Default: all that need it.
        """
        async with self.files_aside:
            await self._compaction.run(numbers)

    async def checkpoint(self, number: int, *, on_loop: bool) -> None:
        """Move what one open database has committed into its file; `make_durable` is to follow.

        The caller holds its gate. `on_loop`: between any two steps of the loop its code may write without asking the
        gate, so the checkpoint is one step of the loop too; else it runs on a worker thread.
        """
        async with self.files_aside:
            await self._compaction.checkpoint(number, on_loop=on_loop)

    async def make_durable(self) -> None:
        """Sync the files that were checkpointed, and let the journal forget what they hold. Commits may go on."""
        async with self.files_aside:
            await self._compaction.make_durable()

    async def archive(self) -> None:
        """Move the records that the journal has forgotten to the archive, if there is one.

        Raises StorageFailedError when the archive fails: then the journal keeps them, and the object is untouched.
        """
        if self._context.archive is not None:
            async with self.files_aside:
                self._check_not_broken()
                with self._files_kept():
                    await self._compaction.archive(self._context.archive)

    # ── pieces ───────────────────────────────────────────────────────────────────────────────────────────────

    def _lineage(self, number: int) -> Lineage:
        if number == 0:
            return ROOT
        chain = self.log.chain
        if chain.is_born(number):
            return chain.lineage(number)
        return self._facets.lineage_of_new(number)


def _exists(key: ObjectKey) -> UsageError:
    return UsageError(
        f"object `{key.object_id.hex()}` of `{key.namespace}` exists: choose another name, or delete it first"
    )
