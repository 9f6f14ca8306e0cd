"""Files that came back with another time, as from a backup: refused by name, taken when the owner says so."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from perdure import DurableObject, Platform
from perdure.errors import DataDirectoryError
from perdure.isolates import Isolates


class Counter(DurableObject):
    def add(self) -> int:
        count: int = self.ctx.storage.kv.get("count", 0) + 1
        self.ctx.storage.kv.put("count", count)
        return count


def count_once(data: Path, isolates: Isolates, *, adopt_changed_files: bool = False) -> int:
    async def main() -> int:
        platform = Platform([Counter], data=data, isolates=isolates, adopt_changed_files=adopt_changed_files)
        count: int = await platform.get(Counter, "c").add()
        return count

    return asyncio.run(main())


def test_restored_files_are_refused_until_they_are_adopted(tmp_path: Path, perdure_isolates: Isolates) -> None:
    count_once(tmp_path, perdure_isolates)
    (database,) = tmp_path.rglob("Counter/*.sqlite")
    os.utime(database, (1, 1))

    with pytest.raises(DataDirectoryError, match=database.name):
        count_once(tmp_path, perdure_isolates)

    assert count_once(tmp_path, perdure_isolates, adopt_changed_files=True) == 2
    assert count_once(tmp_path, perdure_isolates) == 3
