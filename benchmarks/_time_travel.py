"""How long it takes to open, fork and rewind an object whose database has a given size. Effects: disk, process."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Awaitable
from pathlib import Path
from typing import Final

from perdure import DurableObject, Platform

_MIB: Final = 2**20
_BLOB_BYTES: Final = 64 * 1024
_BLOBS_PER_CALL: Final = 16
SIZES_MIB: Final = (1, 100)


class Full(DurableObject):
    """A table of random bytes."""

    def fill(self, count: int) -> None:
        """Add `count` blobs."""
        sql = self.ctx.storage.sql
        sql.exec("CREATE TABLE IF NOT EXISTS blobs(id INTEGER PRIMARY KEY, content BLOB)")
        sql.exec(
            "WITH RECURSIVE each(k) AS (SELECT 1 UNION ALL SELECT k + 1 FROM each WHERE k < ?1) "
            "INSERT INTO blobs(content) SELECT randomblob(?2) FROM each",
            count,
            _BLOB_BYTES,
        )

    def change(self) -> int:
        """Change one row in a hundred, at least one; how many there are."""
        self.ctx.storage.sql.exec("UPDATE blobs SET content = randomblob(?1) WHERE id % 100 = 1", _BLOB_BYTES)
        return self.count()

    def count(self) -> int:
        """How many blobs there are: the least that opens the database."""
        return int(str(self.ctx.storage.sql.exec("SELECT count(*) AS n FROM blobs").one()["n"]))


def measured(sizes_mib: tuple[int, ...] = SIZES_MIB) -> dict[str, float]:
    """Milliseconds, by the title of a row. Writes about four times the sizes to the working directory's disk."""
    with tempfile.TemporaryDirectory(prefix="perdure-time-travel-", dir=Path.cwd()) as folder:
        return asyncio.run(_measured(Path(folder) / "data", sizes_mib))


async def _measured(data: Path, sizes_mib: tuple[int, ...]) -> dict[str, float]:
    await _fill(data, sizes_mib)
    figures: dict[str, float] = {}
    platform = Platform([Full], data=data)
    await platform.start()
    try:
        for size_mib in sizes_mib:
            figures.update(await _of_size(platform, size_mib))
    finally:
        await platform.stop()
    return figures


async def _fill(data: Path, sizes_mib: tuple[int, ...]) -> None:
    """Make the objects, and stop in order, so that each is one file without a log."""
    platform = Platform([Full], data=data)
    await platform.start()
    for size_mib in sizes_mib:
        full, left = platform.get(Full, f"full {size_mib}"), size_mib * _MIB // _BLOB_BYTES
        while left:
            await full.fill(min(left, _BLOBS_PER_CALL))
            left -= min(left, _BLOBS_PER_CALL)
    await platform.stop()


async def _of_size(platform: Platform, size_mib: int) -> dict[str, float]:
    name = f"full {size_mib}"
    full, history = platform.get(Full, name), platform.history(Full, name)
    opened = await _timed(full.count())
    before = await history.bookmark()
    await full.change()
    forked = await _timed(history.fork(f"{name} forked"))
    forked_before = await _timed(history.fork(f"{name} as it was", at=before))
    rewound = await _timed(history.rewind(before))
    return {
        f"open a cold object of {size_mib} MB, and count its rows [ms]": opened,
        f"fork an object of {size_mib} MB [ms]": forked,
        f"fork it as it was one commit ago [ms]: {size_mib} MB": forked_before,
        f"rewind it by a commit that changed a hundredth [ms]: {size_mib} MB": rewound,
    }


async def _timed(act: Awaitable[object]) -> float:
    began = time.perf_counter()
    await act
    return (time.perf_counter() - began) * 1000
