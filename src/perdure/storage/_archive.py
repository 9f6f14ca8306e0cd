"""Archive: the port behind which records go that the journal forgets. Without one they are dropped. Effects: none."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple, Protocol

from perdure.storage._layout import Lineage, ObjectKey


class HeldFile(NamedTuple):
    """A database's file, which holds exactly what the records up to `covered` say. Nobody changes it meanwhile."""

    path: Path
    covered: int


class Archive(Protocol):
    """Blocks; called on worker threads, by one caller at a time per object. Raises OSError when the disk fails."""

    @property
    def collected_bytes(self) -> int:
        """So many bytes of one object's forgotten records are worth a `collect`."""
        ...

    def begin(self, key: ObjectKey, *, sequence: int, digest: bytes, files: Mapping[Lineage, Path]) -> None:
        """Keep, durably, what an object begins with that has these files, after a record that changes nothing."""
        ...

    def retract(self, key: ObjectKey, *, sequence: int) -> None:
        """Take back, durably, what `begin` kept after this record, all or part of it: the record was never written."""
        ...

    def collect(
        self,
        key: ObjectKey,
        *,
        records: Callable[[int], Iterator[bytes]],
        until: int,
        files: Mapping[Lineage, HeldFile],
    ) -> None:
        """Keep the object's records up to `until`, durably when this returns. What is kept already is not kept twice.

        `records` gives those behind a sequence number that the journal holds. `files`: all its databases, for an
        archive that lacks records before these and so has nothing to apply them to.
        """
        ...
