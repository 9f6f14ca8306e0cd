"""TreeRewrite: databases of one object become, page for page and in one record, what other files hold.

What a rewind and a clone are made of. The caller holds `RootStore.files_aside`. Effects: disk.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from perdure.errors import ObjectResetError
from perdure.storage._capture import Captured
from perdure.storage._compaction import Compaction
from perdure.storage._database import Database
from perdure.storage._journal import AlarmChange
from perdure.storage._layout import Lineage, number_of
from perdure.storage._record import Deleted
from perdure.storage._rewrite import differences, write_sections
from perdure.storage._root_files import RootFiles


class TreeRewrite:
    """See the module. `databases`: those that are open, by number."""

    def __init__(self, files: RootFiles, compaction: Compaction, databases: Mapping[int, Database]) -> None:
        self._files = files
        self._compaction = compaction
        self._databases = databases
        self._numbers: frozenset[int] = frozenset()

    def is_replacing(self, number: int) -> bool:
        """Whether a database's file is being replaced."""
        return number in self._numbers

    async def run(
        self,
        wanted: Mapping[Lineage, Path | None],
        *,
        cause: str,
        alarms: Mapping[int, AlarmChange] | None,
        before: Callable[[], Captured | None] | None,
    ) -> int:
        """See `RootStore.rewrite`."""
        files, log, chain = self._files, self._files.log, self._files.log.chain
        changes = {lineage: (await self._present_or_none(lineage), new) for lineage, new in wanted.items()}
        self._numbers = frozenset(map(number_of, wanted))
        try:
            sections = await files.change(lambda: differences(changes))
            log.check_not_broken()
            captured = before() if before is not None else None
            if not sections and captured is None:
                return chain.known
            await log.rewrite(sections, captured=captured, alarms=alarms, cause=cause)
            sequence = chain.known
            paths = {lineage: files.path(lineage) for lineage in wanted}
            await files.change(lambda: write_sections(files.context.disk, paths, sections))
            for section in sections:
                if not isinstance(section, Deleted):
                    chain.checkpointed(number_of(section.lineage))
            return sequence - 1
        finally:
            self._numbers = frozenset()

    async def _present_or_none(self, lineage: Lineage) -> Path | None:
        """The file of a closed database, made to hold everything that was committed. None if there is no database."""
        number = number_of(lineage)
        if number in self._databases:
            raise ObjectResetError(f"database {number} was opened meanwhile: try again", retryable=True)
        if not self._files.log.chain.is_born(number):
            return None
        self._files.make_whole(number)
        await self._compaction.checkpoint(number)
        return self._files.path(lineage)
