"""`python -m benchmarks`: perdure beside npm workerd, in turn and on the same machine; medians of several rounds.

    python -m benchmarks [--rounds N] [--seconds S] [--only ROW]

Prints one Markdown table with everything. See README.md for what the rows mean. Effects: process, disk, terminal.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from urllib.error import HTTPError
from urllib.request import urlopen

from benchmarks._load import load
from benchmarks._servers import Server, perdure, perdure_without_history, workerd
from benchmarks._table import Table
from benchmarks._time_travel import SIZES_MIB
from benchmarks._time_travel import measured as time_travel


@dataclass(frozen=True, slots=True)
class Rate:
    """A row of answers per second."""

    title: str
    path: str
    connections: int
    names: int = 1
    peer_path: str | None = None  # None: the same; "": the peer has no such thing
    each: float = 1  # what one answer counts for
    unit: str = "1/s"


CALLS = 20  # by each request for `/rpc`
CALL_KINDS = {"trusted": "from trusted code to a guest", "guests": "from guest to guest", "callback": "with a callback"}
RATES = [
    *(Rate(f"seed app, {c} connections", "/app/warm?", c) for c in (1, 16, 64)),
    *(
        Rate(f"seed app, Python guest, {c} connections", "/app-py/warm-py?", c, peer_path="/app/warm?")
        for c in (1, 16, 64)
    ),
    *(Rate(f"seed app, code set each time, {c} connections", "/init/warm?", c) for c in (1, 16, 64)),
    Rate("cold load of a worker, JavaScript, 1 connection", "/cold/", 1, 0),
    Rate("cold load of a worker, Python, 1 connection", "/cold-py/", 1, 0, peer_path="/cold/"),
    Rate("cold load of a worker, JavaScript, 16 connections", "/cold/", 16, 0),
    Rate("never-seen app, JavaScript, 16 connections", "/init/", 16, 0),
    Rate("never-seen app, Python, 16 connections", "/init-py/", 16, 0, peer_path="/init/"),
    Rate("cold load of a bundle of 1 MB, JavaScript, 1 connection", "/bundle/", 1, 0),
    *(
        Rate(f"calls {title}, {c} connections", f"/rpc/{what}?", c, each=CALLS)
        for what, title in CALL_KINDS.items()
        for c in (1, 16)
    ),
    Rate("calls with a body of 1 MB, 4 connections", "/rpc/megabyte?", 4),
    Rate("fetch through a way out, 1 MB, 4 connections", "/passed/?", 4, each=2**20 / 1e6, unit="MB/s"),
    Rate("durable put, 1 object, 64 connections", "/c/", 64, 1),
    Rate("durable put, 100 objects, 64 connections", "/c/", 64, 100),
    Rate("durable put, 10,000 objects, 64 connections", "/c/", 64, 10_000),
]
PUTS = [row for row in RATES if row.title.startswith("durable put")]
WITHOUT_HISTORY = ", history off"
BURNS = [(language, way) for language in ("js", "py") for way in ("code", "regex", "sql", "calls")]
APPS = 300


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=3, help="of each rate")
    parser.add_argument("--only", default="", help="rows whose title contains this; `rewind`; `alarms`")
    parser.add_argument("--sizes-mib", type=int, nargs="*", default=SIZES_MIB, help="of the databases that are forked")
    parser.add_argument("--alarms", type=int, default=1_000_000, help="how many are pending")
    parser.add_argument("--alarms-due", type=int, default=1_000, help="how many fall due meanwhile")
    options = parser.parse_args()
    table = Table()
    for _ in range(options.rounds):
        with perdure() as server:
            measure(server, options.seconds, options.only, table)
        with perdure_without_history() as server:
            measure_rates(server, PUTS, options.seconds, options.only, table, suffix=WITHOUT_HISTORY)
        with workerd() as server:
            measure(server, options.seconds, options.only, table)
        for title, act in FIRST_ANSWERS.items():
            if not options.only:
                table.add(title, "perdure", act())
        measure_time_travel(options, table)
    measure_alarms(options, table)
    for row in PUTS:
        table.lend(f"{row.title} [1/s]", "workerd", to=f"{row.title}{WITHOUT_HISTORY} [1/s]")
    table.print()


def measure_time_travel(options: argparse.Namespace, table: Table) -> None:
    """What needs no server."""
    if options.only in "open, fork, rewind":
        for title, figure in time_travel(tuple(options.sizes_mib)).items():
            table.add(title, "perdure", figure)


def measure_alarms(options: argparse.Namespace, table: Table) -> None:
    """Once, since it takes a minute, and in a process of its own, whose memory is a row."""
    if options.only not in "alarms":
        return
    command = [sys.executable, "-m", "benchmarks.alarms", f"--pending={options.alarms}", f"--due={options.alarms_due}"]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    for line in lines[2:]:
        _, title, text, _ = line.split("|")
        table.note(f"alarms: {title.strip()}", text.strip())


def measure_rates(
    server: Server, rows: Sequence[Rate], seconds: float, only: str, table: Table, *, suffix: str = ""
) -> None:
    """Answers per second of one server."""
    for row in rows:
        title = f"{row.title}{suffix}"
        if only not in title:
            continue
        path = row.path if server.name == "perdure" or row.peer_path is None else row.peer_path
        measured = load(server.url, path, connections=row.connections, seconds=seconds, names=row.names)
        table.add(f"{title} [{row.unit}]", server.name, measured.per_second * row.each)
        if measured.errors:
            print(f"{server.name}: {title}: {measured.errors} errors", file=sys.stderr)


def measure(server: Server, seconds: float, only: str, table: Table) -> None:
    """All rows against one server."""
    ours = server.name == "perdure"
    get(server.url + "/init/warm")
    if ours:
        get(server.url + "/init-py/warm-py")
    measure_rates(server, RATES, seconds, only, table)
    if ours:
        for language, way in BURNS:
            title = f"p99 of another app while a {language} guest burns CPU in {way} [ms]"
            if only in title:
                table.add(title, server.name, p99_beside_burner(server, language, way, seconds))
    if not only:
        table.add("start-up to first answer [ms]", server.name, server.started_s * 1000)
        for suffix in ("", "-py") if ours else ("",):
            title = f"memory per live app{', Python guest' if suffix else ''} [KiB]"
            table.add(title, server.name, memory_per_app(server, suffix))


def p99_beside_burner(server: Server, language: str, way: str, seconds: float) -> float:
    """p99 of the seed app at 4 connections while one guest burns a second of CPU, again and again."""
    is_over = threading.Event()

    def burn() -> None:
        while not is_over.is_set():
            get(f"{server.url}/burn/{language}/{way}", may_fail=True)

    burner = threading.Thread(target=burn)
    burner.start()
    measured = load(server.url, "/app/warm?", connections=4, seconds=max(seconds, 3))
    is_over.set()
    burner.join()
    return measured.p99_ms


def memory_per_app(server: Server, suffix: str) -> float:
    """Private memory added by one more app that has answered a request and is still live."""
    before = server.private_kib()
    for number in range(APPS):
        get(f"{server.url}/init{suffix}/memory{suffix}-{number}")
    return (server.private_kib() - before) / APPS


def get(url: str, *, may_fail: bool = False) -> None:
    """One request."""
    try:
        with urlopen(url, timeout=60) as answer:
            answer.read()
    except HTTPError as error:
        with error:
            if not may_fail:
                raise


def fresh_process(command: list[str]) -> Callable[[], float]:
    """How long a fresh process takes to do next to nothing, in ms."""

    def act() -> float:
        before = time.perf_counter()
        subprocess.run(command, capture_output=True, check=True)
        return (time.perf_counter() - before) * 1000

    return act


FIRST_ANSWERS = {
    "a fresh Python process that imports json and sqlite3 and says one line [ms]": fresh_process(
        [sys.executable, "-c", "import json, sqlite3; print(1)"]
    ),
    **(
        {"a fresh Node process that says one line [ms]": fresh_process(["node", "-e", "console.log(1)"])}
        if shutil.which("node")
        else {}
    ),
}


if __name__ == "__main__":
    main()
