"""What this process and a world's data directory hold: the numbers that must not grow."""

from __future__ import annotations

import asyncio
import ctypes
import gc
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Final

import pytest

from perdure.limits import KIB, STORAGE_THREADS, WORKER_THREADS_MAX
from perdure.testing import World

POOL_THREADS: Final = STORAGE_THREADS + WORKER_THREADS_MAX  # pools start one more when all others happen to work


@dataclass(frozen=True)
class Gauges:
    """One reading. A field is the name of a gauge."""

    private_bytes: int
    descriptors: int
    threads: int
    live_objects: int
    isolates: int
    loader_isolates: int
    roots: int
    journal_bytes: int
    journal_file_bytes: int
    tasks: int

    def growth(self, before: Gauges) -> dict[str, int]:
        """How much each gauge rose since `before`."""
        return {gauge.name: getattr(self, gauge.name) - getattr(before, gauge.name) for gauge in fields(self)}


async def read_gauges(world: World) -> Gauges:
    """A reading while nothing is under way; called on the world's own loop."""
    platform = world.platform
    directory, loader, store = platform._directory, platform._loader, platform._store
    assert directory is not None
    assert loader is not None
    assert store is not None
    await world.settle()
    world._isolates.warm_up()  # Those made ahead are counted always, not when their thread had the time.
    give_back_memory()
    held = directory.statistics()
    return Gauges(
        private_bytes=private_bytes(),
        descriptors=descriptors(),
        threads=threading.active_count(),
        live_objects=held["live"],
        isolates=held["isolates"],
        loader_isolates=sum(entry.is_live for entry in loader._live),
        roots=len(store._roots),
        journal_bytes=store._journal.bytes_kept,
        journal_file_bytes=file_bytes(world.data / "journal"),
        tasks=len(asyncio.all_tasks()),
    )


def give_back_memory() -> None:
    """What is freed and only kept for later is not counted."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # of glibc
    if trim is not None:
        trim(0)


def lowest(readings: Iterable[Gauges]) -> Gauges:
    """Each gauge at its lowest: what rises and falls is no leak."""
    rows = list(readings)
    return Gauges(**{gauge.name: min(getattr(row, gauge.name) for row in rows) for gauge in fields(Gauges)})


def private_bytes() -> int:
    """What this process has written to; clean pages are of files, and private only while nobody else maps them."""
    path = Path("/proc/self/smaps_rollup")
    if not path.exists():
        pytest.skip("private memory is read from /proc/self/smaps_rollup, which this system does not have")
    lines = [line.split() for line in path.read_text().splitlines()]
    return sum(int(words[1]) * KIB for words in lines if words[0] == "Private_Dirty:")


def descriptors() -> int:
    """How many files, sockets and the like are open."""
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def file_bytes(directory: Path, pattern: str = "*") -> int:
    """The size of all files below `directory` whose names match."""
    return sum(path.stat().st_size for path in directory.rglob(pattern) if path.is_file())


def assert_flat(before: Gauges, after: Gauges, allowed: Mapping[str, int]) -> None:
    """Every gauge rose by no more than `allowed`, by nothing where it does not say."""
    risen = {name: growth for name, growth in after.growth(before).items() if growth > allowed.get(name, 0)}
    assert not risen, f"{risen} beyond {allowed}: {before} became {after}"
