"""Load: runs wrk against one address and reads what it measured. Effects: process."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

SCRIPT = Path(__file__).parent / "names.lua"


@dataclass(frozen=True, slots=True)
class Measured:
    """One run: answers per second, latencies in ms, answers that were errors."""

    per_second: float
    p50_ms: float
    p99_ms: float
    errors: int


def load(url: str, path: str, *, connections: int, seconds: float, names: int = 1) -> Measured:
    """Ask for `path` + a name as fast as `connections` allow. `names` 0: a new name each time."""
    wrk = shutil.which("wrk")
    if wrk is None:
        raise SystemExit("the benchmarks need wrk: apt-get install wrk")
    environment = {**os.environ, "BENCH_PATH": path, "BENCH_NAMES": str(names), "BENCH_RUN": uuid4().hex[:8]}
    command = [
        wrk,
        "-t1",
        f"-c{connections}",
        f"-d{seconds:g}s",
        "--timeout",
        "20s",
        "--latency",
        "-s",
        str(SCRIPT),
        url,
    ]
    text = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    line = next(line for line in text.splitlines() if line.startswith("RESULT"))
    duration, requests, errors, p50, p99 = (float(part) for part in line.split()[1:])
    return Measured(requests / duration, p50 / 1000, p99 / 1000, int(errors))
