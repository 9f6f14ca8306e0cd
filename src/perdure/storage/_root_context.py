"""What the files of all root objects share: their context, and how failures are told. Effects: disk, tasks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import apsw

from perdure.clock import Clock
from perdure.errors import StorageFailedError
from perdure.storage._archive import Archive
from perdure.storage._database import open_connection
from perdure.storage._disk import Disk
from perdure.storage._journal import Journal, Lease
from perdure.storage._layout import Layout, Lineage, ObjectKey, wal_path


@dataclass(frozen=True, slots=True)
class RootContext:
    """What all roots of one store share."""

    layout: Layout
    disk: Disk
    journal: Journal
    lease: Lease
    clock: Clock
    executor: Executor
    vfs: str
    adopt_changed_files: bool
    archive: Archive | None = None
    """Where forgotten records go; None: they are dropped."""
    alarm_set: Callable[[int], object] = lambda at_ms: None
    """Told the time of each alarm that the journal has acknowledged."""
    unfinished: dict[ObjectKey, tuple[int, frozenset[Lineage]]] = field(default_factory=dict)
    """Adoptions that are under way, or of which something may lie there: their record's number and their databases."""


@contextmanager
def failures_explained(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, apsw.Error) as error:
        raise StorageFailedError(f"database `{path}` cannot be opened: {error}") from error


def checkpoint_closed(path: Path, context: RootContext) -> None:
    """Checkpoint a database that is closed."""
    connection = open_connection(path, vfs=context.vfs)
    try:
        connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
    finally:
        connection.close()
    context.disk.unlink(wal_path(path))
