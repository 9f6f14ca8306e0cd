"""`python -m benchmarks.history`: what history costs a write, and how long going back takes.

    python -m benchmarks.history [--seconds S] [--mib N …] [--objects N …]

Writes: each of N objects puts a value again and again, at most 64 at once, with history on and off. Ways back: an
object of so many MiB of random text whose half is written anew. Prints two Markdown tables. Effects: disk.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import tempfile
import time
from collections.abc import Awaitable
from pathlib import Path
from typing import Final

from perdure import DurableObject, HistoryOptions, Platform

_AT_ONCE: Final = 64
_ROW_BYTES: Final = 1_000
_ROWS_AT_ONCE: Final = 500


class Counter(DurableObject):
    """One value, written again and again."""

    async def put(self, value: int) -> None:
        """A durable put."""
        self.ctx.storage.kv.put("count", value)


class Text(DurableObject):
    """Rows of random text."""

    async def fill(self, first: int, rows: int) -> None:
        """Write some rows, new or again."""
        sql = self.ctx.storage.sql
        sql.exec("CREATE TABLE IF NOT EXISTS t(id INTEGER PRIMARY KEY, text TEXT)")
        for row in range(first, first + rows):
            sql.exec("INSERT OR REPLACE INTO t VALUES (?, ?)", row, os.urandom(_ROW_BYTES // 2).hex())

    async def count(self) -> int:
        """How many rows there are."""
        return int(str(self.ctx.storage.sql.exec("SELECT count(*) AS n FROM t").one()["n"]))


async def puts_per_s(data: Path, history: HistoryOptions | None, *, objects: int, seconds: float) -> float:
    """Durable puts over `objects`."""
    platform = Platform([Counter], data=data, history=history)
    stubs = [platform.get(Counter, f"c{number}") for number in range(objects)]
    done = 0
    end = time.perf_counter() + seconds

    async def client(first: int) -> None:
        nonlocal done
        turn = 0
        while time.perf_counter() < end:
            await stubs[(first + turn * _AT_ONCE) % objects].put(turn)
            turn += 1
            done += 1

    await asyncio.gather(*(client(number) for number in range(_AT_ONCE if objects > 1 else 1)))
    await platform.stop()
    return done / seconds


async def timed_ms(work: Awaitable[object]) -> float:
    """How long it takes."""
    began = time.perf_counter()
    await work
    return (time.perf_counter() - began) * 1000


async def ways_back(data: Path, *, mib: int) -> list[tuple[str, float]]:
    """Milliseconds for an object of that size."""
    platform = Platform([Text], data=data)
    text, history = platform.get(Text, "a"), platform.history(Text, "a")
    rows = mib * 1024 * 1024 // _ROW_BYTES
    for first in range(0, rows, _ROWS_AT_ONCE):
        await text.fill(first, min(_ROWS_AT_ONCE, rows - first))
    before = await history.bookmark()
    for first in range(0, rows // 2, _ROWS_AT_ONCE):
        await text.fill(first, min(_ROWS_AT_ONCE, rows // 2 - first))
    await platform.stop()
    platform = Platform([Text], data=data)
    await platform.start()
    history = platform.history(Text, "a")

    async def look() -> None:
        async with history.as_of(before):
            pass

    found = [
        ("open and first answer", await timed_ms(platform.get(Text, "a").count())),
        ("read as of then", await timed_ms(look())),
        ("fork the present", await timed_ms(history.fork("b"))),
        ("fork as of then", await timed_ms(history.fork("c", at=before))),
        ("rewind, half of it differs", await timed_ms(history.rewind(before))),
        ("first answer after it", await timed_ms(platform.get(Text, "a").count())),
        ("export", await timed_ms(history.export(data / "a.zip"))),
        ("import", await timed_ms(platform.import_object(Text, "d", data / "a.zip"))),
    ]
    await platform.stop()
    return found


async def measure(folder: Path, *, seconds: float, objects: list[int], mib: list[int]) -> None:
    """Print both tables."""
    print("| durable puts/s | history on | off |\n|---|---:|---:|")
    for count in objects:
        rates = []
        for name, history in (("on", HistoryOptions()), ("off", None)):
            rates.append(await puts_per_s(folder / f"{name}-{count}", history, objects=count, seconds=seconds))
        print(f"| {count:,} objects | {rates[0]:,.0f} | {rates[1]:,.0f} |", flush=True)
    columns = [await ways_back(folder / f"text-{size}", mib=size) for size in mib]
    print(f"\n| ms | {' | '.join(f'{size} MiB' for size in mib)} |\n|---|{'---:|' * len(mib)}")
    for row in zip(*columns, strict=True):
        print(f"| {row[0][0]} | {' | '.join(f'{ms:,.0f}' for _, ms in row)} |")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.history")
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--objects", type=int, nargs="+", default=[1, 100, 10_000])
    parser.add_argument("--mib", type=int, nargs="+", default=[1, 100])
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="perdure-history-", dir=Path.cwd()) as folder:
        asyncio.run(measure(Path(folder), seconds=options.seconds, objects=options.objects, mib=options.mib))


if __name__ == "__main__":
    main()
