"""The servers that are compared, each in a process of its own with an empty data directory. Effects: process, disk."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

HERE = Path(__file__).parent
WORKERD = HERE / "peers" / "node_modules" / "@cloudflare" / "workerd-linux-64" / "bin" / "workerd"
START_DEADLINE_S = 120


@dataclass(frozen=True, slots=True)
class Server:
    """A server under test; `started_s` from the start of its process to its first answer."""

    name: str
    url: str
    pid: int
    started_s: float

    def private_kib(self) -> int:
        """Memory that is this process's alone."""
        text = Path(f"/proc/{self.pid}/smaps_rollup").read_text()
        return sum(int(size) for size in re.findall(r"^Private_\w+:\s+(\d+)", text, re.MULTILINE))


@contextmanager
def perdure() -> Iterator[Server]:
    """`perdure serve` on our app, with images compiled already."""
    yield from _perdure({})


@contextmanager
def perdure_without_history() -> Iterator[Server]:
    """The same, but keeping no history."""
    yield from _perdure({"BENCH_HISTORY": "off"})


def _perdure(settings: dict[str, str]) -> Iterator[Server]:
    with tempfile.TemporaryDirectory() as data:
        port = _free_port()
        command = [sys.executable, "-m", "perdure", "serve", str(HERE / "app.py"), "--port", str(port), "--data", data]
        yield from _run("perdure", command, port, "/c/warm", settings)


@contextmanager
def workerd() -> Iterator[Server]:
    """npm workerd on peers/workerd.js."""
    if not WORKERD.exists():
        raise SystemExit("the peers are not installed: npm ci --prefix benchmarks/peers")
    with tempfile.TemporaryDirectory() as data:
        port = _free_port()
        command = [str(WORKERD), "serve", str(HERE / "peers" / "workerd.capnp"), "config", "--experimental"]
        command += [f"--socket-addr=http=127.0.0.1:{port}", f"--directory-path=disk={data}"]
        yield from _run("workerd", command, port, "/c/warm")


def _run(
    name: str, command: list[str], port: int, path: str, settings: dict[str, str] | None = None
) -> Iterator[Server]:
    before = time.perf_counter()
    environment = {**os.environ, **(settings or {})}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        url = f"http://127.0.0.1:{port}"
        _wait_for(url + path, process)
        yield Server(name, url, process.pid, time.perf_counter() - before)
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_DEADLINE_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise SystemExit(f"{process.args!r} ended with {process.returncode}")
        try:
            with urlopen(url, timeout=5) as answer:
                answer.read()
                return
        except (URLError, OSError):
            time.sleep(0.002)
    raise SystemExit(f"{process.args!r} did not answer")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
