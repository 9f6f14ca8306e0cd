"""Files of somebody else's become a new object: copied and made durable, then entered into the journal in one step.

Until then nobody asks for them; what a crash leaves is taken away at the next clean stop. Effects: disk.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
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
    """Make the object of copies of `files`. False: it exists; then the files lie there for nobody. Blocks."""
    disk, layout, archive = context.disk, context.layout, context.archive
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
    if archive is not None:
        archive.begin(key, sequence=record.sequence, digest=digest_of(encode_record(record)), files=files)
    kept_name = name if name is not None and is_storable_name(name) else None
    adoption = Adoption(key, kept_name, record, states, dict(alarms), keeps_history=archive is not None)
    return context.journal.adopt(adoption)


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            yield chunk
