"""Files of somebody else's become a new object: copied and made durable, then entered into the journal in one step.

Until then nobody asks for them. What fails before the journal is asked, or what it refuses, is taken back at once.
When the journal itself fails, it may hold the object all the same after a restart: the files stay until the clean stop,
which looks again. What a crash leaves lies there for `perdure doctor`, and for nobody else: a name that is used later
begins with files of its own, and the archive ignores an image that the object's records do not confirm. Effects: disk.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from perdure.storage._disk import FileState
from perdure.storage._journal import Adoption
from perdure.storage._layout import Lineage, ObjectKey, wal_path
from perdure.storage._object_name import is_storable_name
from perdure.storage._record import Record, digest_of, encode_record
from perdure.storage._root_context import RootContext

_CHUNK_BYTES: Final = 1024 * 1024


def adopt_files(
    context: RootContext,
    key: ObjectKey,
    *,
    record: Record,
    files: Mapping[Lineage, Path],
    alarms: Mapping[int, int],
    name: str | None,
) -> bool:
    """Make the object of copies of `files`. False: it exists, and the copies are gone. Blocks."""
    archive = context.archive
    context.unfinished[key] = (record.sequence, frozenset(files))
    try:
        states = _copy(context, key, files)
        if archive is not None:
            archive.begin(key, sequence=record.sequence, digest=digest_of(encode_record(record)), files=files)
    except BaseException:
        with suppress(OSError):  # What stays now goes at the clean stop.
            take_back(context, key, sequence=record.sequence, lineages=files)
        raise
    kept_name = name if name is not None and is_storable_name(name) else None
    adoption = Adoption(key, kept_name, record, states, dict(alarms), keeps_history=archive is not None)
    if not context.journal.adopt(adoption):
        with suppress(OSError):
            take_back(context, key, sequence=record.sequence, lineages=files)
        return False
    del context.unfinished[key]
    return True


def take_back(context: RootContext, key: ObjectKey, *, sequence: int, lineages: Iterable[Lineage]) -> None:
    """Remove, durably, these databases and the image that the history was to begin with. Raises OSError."""
    disk, layout = context.disk, context.layout
    if context.archive is not None:
        context.archive.retract(key, sequence=sequence)
    for lineage in lineages:
        disk.unlink(layout.database(key, lineage))
    if layout.namespace(key.namespace).exists():
        disk.sync_directory(layout.namespace(key.namespace))
    del context.unfinished[key]


def _copy(context: RootContext, key: ObjectKey, files: Mapping[Lineage, Path]) -> dict[Lineage, FileState]:
    """Copy them to where the object's databases lie, durably."""
    disk, layout = context.disk, context.layout
    disk.make_directory(layout.namespace(key.namespace))
    states: dict[Lineage, FileState] = {}
    for lineage, source in files.items():
        path = layout.database(key, lineage)
        disk.unlink(wal_path(path))
        disk.write_chunks(path, _chunks(source))
        disk.sync_file(path)
        state = disk.file_state_or_none(path)
        assert state is not None, f"`{path}` was just written"
        states[lineage] = state
    disk.sync_directory(layout.namespace(key.namespace))
    return states


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            yield chunk
