"""`python -m benchmarks.alarms`: a platform with a million pending alarms: its memory, its start, how late alarms are.

    python -m benchmarks.alarms [--pending N] [--due N] [--within SECONDS]

The million are entries of the index alone: until they are due nothing else of their objects is touched. Those that fall
due are real objects that were evicted, each with a file, whose handler notes how late it was called. Prints a Markdown
table. Effects: disk, process.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import apsw

from perdure import AlarmInfo, DurableObject, Platform
from perdure.api import Context
from perdure.isolates import Isolates

_HOUR_MS: Final = 3_600_000
_SET_AHEAD_S: Final = 30.0  # for the objects to be made, and to be evicted again
_lateness_ms: list[float] = []


class Sleeper(DurableObject):
    """Notes how late its alarm is."""

    def __init__(self, ctx: Context, env: Any) -> None:  # noqa: ANN401  # as DurableObject has it
        super().__init__(ctx, env)
        ctx.storage.kv.put("woken", ctx.storage.kv.get("woken", 0) + 1)

    def wake_at(self, at_ms: int) -> None:
        """Set the alarm."""
        self.ctx.storage.set_alarm(at_ms)

    async def alarm(self, info: AlarmInfo) -> None:
        """It is time."""
        _lateness_ms.append(time.time() * 1000 - info.scheduled_time.timestamp() * 1000)


@dataclass(frozen=True, slots=True)
class Start:
    """How a platform started."""

    seconds: float
    first_answer_s: float
    private_mib: float


def private_mib() -> float:
    """Memory of this process that nobody shares."""
    lines = Path("/proc/self/smaps_rollup").read_text(encoding="utf-8").splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_")) / 1024


def fill(data: Path, pending: int) -> None:
    """Add `pending` alarms to the index of a stopped platform, an hour and more ahead."""
    connection = apsw.Connection(str(data / "journal" / "0.db"))
    connection.pragma("synchronous", "off")
    connection.pragma("cache_size", -512 * 1024)
    now_ms = time.time_ns() // 1_000_000
    with connection:
        connection.execute(
            "WITH RECURSIVE each(k) AS (SELECT 1 UNION ALL SELECT k + 1 FROM each WHERE k < ?1) "
            "INSERT INTO object(namespace, object_id, epoch, claim, head, head_digest, forgotten, forgotten_digest) "
            "SELECT 'Sleeper', randomblob(32), 1, 'filled', 1, zeroblob(32), 1, zeroblob(32) FROM each",
            (pending,),
        )
        connection.execute(
            "INSERT INTO alarm(object, number, at_ms, look_ms) SELECT n, 0, ?1 + n * 10, ?1 + n * 10 FROM object "
            "WHERE claim = 'filled'",
            (now_ms + _HOUR_MS,),
        )
    connection.close()


async def started(data: Path, isolates: Isolates) -> tuple[Platform, Start]:
    """Start a platform, and call one object. The sandboxes are ready: they are not what is measured."""
    platform = Platform([Sleeper], data=data, isolates=isolates)
    began = time.perf_counter()
    await platform.start()
    seconds = time.perf_counter() - began
    await platform.get(Sleeper, "first").wake_at(time.time_ns() // 1_000_000 + 24 * _HOUR_MS)
    return platform, Start(seconds, time.perf_counter() - began, private_mib())


async def fire(platform: Platform, due: int, within_s: float) -> None:
    """Let `due` objects set alarms over `within_s` seconds, and wait until the last has fired."""
    _lateness_ms.clear()
    start_ms = time.time() * 1000 + _SET_AHEAD_S * 1000
    for number in range(due):
        at_ms = round(start_ms + number * within_s * 1000 / due)
        await platform.get(Sleeper, f"sleeper {number}").wake_at(at_ms)
    left_s = start_ms / 1000 + within_s - time.time()
    await asyncio.sleep(left_s)
    for _ in range(600):
        if len(_lateness_ms) >= due:
            return
        await asyncio.sleep(0.1)
    raise TimeoutError(f"only {len(_lateness_ms)} of {due} alarms fired")


async def catch_up(data: Path, isolates: Isolates, platform: Platform, due: int) -> float:
    """Stop while `due` alarms fall due, start again; how long until all have fired."""
    _lateness_ms.clear()
    soon_ms = round((time.time() + _SET_AHEAD_S) * 1000)
    for number in range(due):
        await platform.get(Sleeper, f"sleeper {number}").wake_at(soon_ms)
    await platform.stop()
    assert not _lateness_ms, "they were due before all of them were set"
    await asyncio.sleep(max(0.0, soon_ms / 1000 - time.time()) + 0.1)
    began = time.perf_counter()
    again = Platform([Sleeper], data=data, isolates=isolates)
    await again.start()
    while len(_lateness_ms) < due:  # noqa: ASYNC110  # handlers note how late they are, and nothing else
        await asyncio.sleep(0.01)
    seconds = time.perf_counter() - began
    await again.stop()
    return seconds


async def measure(data: Path, *, pending: int, due: int, within_s: float) -> list[tuple[str, str]]:
    """All rows of the table."""
    isolates = Isolates()
    await asyncio.to_thread(isolates.warm_up)
    platform, empty = await started(data, isolates)
    await platform.stop()
    # In a process of its own: what this one holds is measured.
    filler = multiprocessing.get_context("spawn").Process(target=fill, args=(data, pending))
    filler.start()
    await asyncio.to_thread(filler.join)
    assert filler.exitcode == 0, "the index was not filled"
    platform, full = await started(data, isolates)
    await fire(platform, due, within_s)
    cuts = statistics.quantiles(_lateness_ms, n=100)
    early = sum(lateness < 0 for lateness in _lateness_ms)
    late = f"{cuts[49]:.1f} / {cuts[98]:.1f} / {max(_lateness_ms):.1f}"
    memory_mib = private_mib()
    caught_up_s = await catch_up(data, isolates, platform, due)
    return [
        ("start of the platform [ms], no alarms", f"{empty.seconds * 1000:.0f}"),
        (f"the same, {pending:,} alarms pending", f"{full.seconds * 1000:.0f}"),
        ("… and to the first answer [ms]", f"{full.first_answer_s * 1000:.0f}"),
        ("private memory after it [MiB], no alarms", f"{empty.private_mib:.0f}"),
        (f"the same, {pending:,} alarms pending", f"{full.private_mib:.0f}"),
        (f"private memory after {due:,} fired [MiB]", f"{memory_mib:.0f}"),
        (f"lateness of {due:,} alarms in {within_s:g} s, p50 / p99 / worst [ms]", late),
        ("fired early", str(early)),
        (f"{due:,} overdue at a start: all fired after [s]", f"{caught_up_s:.2f}"),
        (f"size of the journal with {pending:,} alarms [MiB]", f"{_journal_mib(data):.0f}"),
    ]


def _journal_mib(data: Path) -> float:
    return (data / "journal" / "0.db").stat().st_size / 2**20


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.alarms")
    parser.add_argument("--pending", type=int, default=1_000_000)
    parser.add_argument("--due", type=int, default=1_000)
    parser.add_argument("--within", type=float, default=10)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="perdure-alarms-", dir=Path.cwd()) as folder:
        rows = asyncio.run(
            measure(Path(folder) / "data", pending=options.pending, due=options.due, within_s=options.within)
        )
    print("| | |\n|---|---:|")
    for title, figure in rows:
        print(f"| {title} | {figure} |")


if __name__ == "__main__":
    main()
