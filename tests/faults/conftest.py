"""What this folder shares: limits so small that a short scene compacts files and checkpoints the journal."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import pytest

from perdure.limits import KIB
from perdure.storage import _compaction, _store
from perdure.storage._sqlite_journal import SqliteJournal


@pytest.fixture(autouse=True, scope="package")
def small_limits() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_compaction, "COMPACTION_LOG_BYTES_MIN", 64 * KIB)
        patch.setattr(_store, "SqliteJournal", partial(SqliteJournal, checkpoint_bytes=128 * KIB))
        yield
