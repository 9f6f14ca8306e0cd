"""What this folder shares: limits so small that a short scene compacts, checkpoints, and archives and drops history."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import pytest

from perdure.history import _archive
from perdure.limits import KIB
from perdure.storage import _compaction, _store
from perdure.storage._sqlite_journal import SqliteJournal


@pytest.fixture(autouse=True, scope="module")
def small_limits() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_compaction, "COMPACTION_LOG_BYTES_MIN", 64 * KIB)
        patch.setattr(_archive, "HISTORY_COLLECTED_BYTES", 8 * KIB)
        patch.setattr(_archive, "HISTORY_SEGMENT_BYTES", 16 * KIB)
        patch.setattr(_store, "SqliteJournal", partial(SqliteJournal, checkpoint_bytes=128 * KIB))
        yield
