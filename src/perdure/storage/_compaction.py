"""Compaction: how the files of one root object catch up with its log, so that the journal may forget its records.

Three steps: a checkpoint of each database, a sync of what was checkpointed, and the word to the journal. The order is
what keeps every acknowledged commit in one place that a power loss spares. Where there is an archive, forgotten records
wait in the journal until enough have collected. The caller holds `RootStore.files_aside`. Effects: tasks.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from contextlib import suppress

from perdure.errors import StorageFailedError
from perdure.limits import COMPACTION_LOG_BYTES_MAX, COMPACTION_LOG_BYTES_MIN
from perdure.storage._archive import Archive, HeldFile
from perdure.storage._database import Database
from perdure.storage._disk import FileState
from perdure.storage._image import move_to_archive
from perdure.storage._journal import Snapshot
from perdure.storage._layout import Lineage, number_of
from perdure.storage._root_chain import KeptRecord
from perdure.storage._root_context import checkpoint_closed
from perdure.storage._root_files import RootFiles


class Compaction:
    """See the module. `databases`: those that are open, by number; somebody else opens and closes them."""

    def __init__(self, files: RootFiles, databases: Mapping[int, Database]) -> None:
        self._files = files
        self._databases = databases
        self._untold: dict[Lineage, FileState | None] = {}
        """Durable files of which the journal has not heard: it failed when it was told, and may be well by now."""
        self._forgotten_bytes = 0  # of records that wait in the journal for the archive
        self._durable_bytes = 0  # of the files, when they were last made durable

    @property
    def is_due(self) -> bool:
        """Whether so many records collected that making the files durable is worth it."""
        bound = min(max(COMPACTION_LOG_BYTES_MIN, self._durable_bytes // 2), COMPACTION_LOG_BYTES_MAX)
        return self._files.log.chain.log_bytes > bound

    @property
    def is_done(self) -> bool:
        """Whether the files alone hold everything, durably, and the journal knows it."""
        return not (self._files.log.chain.dirty_numbers() or self._untold)

    async def run(self, numbers: Iterable[int] | None = None) -> None:
        """Checkpoint databases, by default all that need it, make them durable, and let the journal forget."""
        chain = self._files.log.chain
        for number in chain.dirty_numbers() if numbers is None else list(numbers):
            await self.checkpoint(number)
        await self.make_durable()

    async def checkpoint(self, number: int, *, on_loop: bool = False) -> None:
        """Move what a database has committed into its file, once all of that is acknowledged.

        `on_loop`: as one step of the event loop instead of on a worker thread.
        """
        log, chain = self._files.log, self._files.log.chain
        database = self._databases.get(number)
        while not chain.is_acknowledged(number) or (database is not None and database.in_unit):
            if database is not None and database.in_transaction:
                return  # It may stay open for long: the next compaction finds it closed.
            if chain.is_acknowledged(number):
                await asyncio.sleep(0)  # The unit ends with this step of the loop.
            else:
                await log.wait_for_acknowledgement()
        if not chain.has_log(number):
            return
        path = self._files.path(chain.lineage(number))
        if self._files.is_suspect(number) or (database is not None and database.is_broken):
            return  # It is restored when it is opened again; until then the journal keeps its records.
        context = self._files.context
        work = database.checkpoint if database is not None else lambda: checkpoint_closed(path, context)
        if on_loop:
            self._files.change_now(work)
        else:
            await self._files.change(work)
        chain.checkpointed(number)

    async def make_durable(self) -> None:
        """Sync what is checkpointed, and let the journal forget it. Only what the files held at the start counts."""
        files, chain, context = self._files, self._files.log.chain, self._files.context
        covered = {number: chain.covered(number) for number in chain.syncable_numbers()}
        if not covered and not self._untold:
            return
        paths = {chain.lineage(number): files.path_or_none(number) for number in covered}
        states = await files.change(lambda: files.sync(paths))
        self._durable_bytes = sum(state.size_bytes for state in states.values() if state is not None)
        for number, sequence in covered.items():
            chain.synced(number, covered=sequence)
        last = chain.forgettable() or KeptRecord(chain.forgotten, b"", 0)
        self._untold |= states
        keeps_history = context.archive is not None
        snapshot = Snapshot(files.key, dict(self._untold), last.sequence, last.digest, keeps_history)
        await files.change(lambda: context.journal.snapshot(snapshot))
        self._untold.clear()
        kept_bytes = chain.log_bytes
        chain.forget(last.sequence)
        self._forgotten_bytes += kept_bytes - chain.log_bytes
        if context.archive is not None and self._forgotten_bytes >= context.archive.collected_bytes:
            # The journal keeps what could not be archived; the next compaction tries again.
            with suppress(StorageFailedError):
                await self.archive(context.archive)

    async def archive(self, archive: Archive) -> None:
        """Move the records that the journal has forgotten to the archive. Raises StorageFailedError."""
        files, chain = self._files, self._files.log.chain
        journal, until = files.context.journal, chain.forgotten
        held = {
            lineage: HeldFile(files.path(lineage), chain.holds(number_of(lineage))) for lineage in chain.live_lineages()
        }
        await files.copy(lambda: move_to_archive(journal, archive, files.key, until=until, files=held))
        self._forgotten_bytes = 0
