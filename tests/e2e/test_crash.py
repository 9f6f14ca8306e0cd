"""kill -9 under load: after each restart every acknowledged write is there, and nothing is torn."""

from __future__ import annotations

import http.client
import json
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

APP = Path(__file__).parent / "counter_app" / "app.py"
OBJECTS = [f"/{kind}/{number}" for kind in ("plain", "python",) for number in range(3)]
ACKNOWLEDGED_BEFORE_KILL = 300
DEADLINE_S = 120


@dataclass
class Load:
    """Clients that write as fast as they can, and what was acknowledged to them."""

    port: int
    acknowledged: dict[str, int]
    total: int = 0
    is_over: bool = False
    failures: list[str] = field(default_factory=list)
    enough: threading.Event = field(default_factory=threading.Event)

    def write(self, path: str) -> None:
        """Write until the server dies; each answer is the newest count."""
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)) as connection:
            self._write(connection, path)

    def _write(self, connection: http.client.HTTPConnection, path: str) -> None:
        while not self.is_over:
            try:
                connection.request("POST", path)
                answer = connection.getresponse()
                body = answer.read()
            except (OSError, http.client.HTTPException):
                return
            if answer.status != 200:
                self.failures.append(f"{path}: {answer.status} {body!r}")
                self.enough.set()
                return
            count = json.loads(body)["count"]
            if count != self.acknowledged[path] + 1:
                self.failures.append(f"{path}: {self.acknowledged[path]} was followed by {count}")
            self.acknowledged[path] = count
            self.total += 1
            if self.total >= ACKNOWLEDGED_BEFORE_KILL:
                self.enough.set()


@contextmanager
def server(data: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A real `perdure serve`, and its port."""
    command = [sys.executable, "-m", "perdure", "serve", str(APP), "--port", "0", "--data", str(data)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    watchdog = threading.Timer(DEADLINE_S, process.kill)
    watchdog.start()
    try:
        yield process, _port(process)
    finally:
        watchdog.cancel()
        process.kill()
        process.communicate()


def _port(process: subprocess.Popen[str]) -> int:
    assert process.stdout is not None
    said = []
    for line in process.stdout:
        said.append(line)
        if match := re.search(r"http://[\w.-]+:(\d+)", line):
            return int(match[1])
    raise AssertionError("the server ended without an address:\n" + "".join(said))


def counts(port: int, path: str) -> dict[str, int]:
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)) as connection:
        connection.request("GET", path)
        answer = connection.getresponse()
        body = answer.read()
    assert answer.status == 200, body
    result: dict[str, int] = json.loads(body)
    return result


@pytest.mark.crash
def test_every_acknowledged_write_survives_kill_9(tmp_path: Path, rounds: int) -> None:
    acknowledged = dict.fromkeys(OBJECTS, 0)

    for _ in range(rounds + 1):
        with server(tmp_path / "data") as (process, port):
            for path in OBJECTS:
                found = counts(port, path)
                assert found["count"] == found["rows"], f"{path} is torn: {found}"
                assert acknowledged[path] <= found["count"] <= acknowledged[path] + 1, path
                acknowledged[path] = found["count"]
            load = Load(port, acknowledged)
            clients = [threading.Thread(target=load.write, args=(path,)) for path in OBJECTS]
            for client in clients:
                client.start()
            assert load.enough.wait(DEADLINE_S)
            process.send_signal(signal.SIGKILL)
            for client in clients:
                client.join()
            load.is_over = True
            assert not load.failures, load.failures[:3]


def test_a_clean_stop_leaves_plain_sqlite_files(tmp_path: Path) -> None:
    data = tmp_path / "data"

    with server(data) as (process, port):
        with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)) as connection:
            connection.request("POST", "/plain/a")
            assert connection.getresponse().read() == b'{"count":1,"rows":1}'
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) == 0

    files = sorted(path.suffix for path in (data / "objects").rglob("*") if path.is_file())
    assert files == [".sqlite"]
    database = next((data / "objects").rglob("*.sqlite"))
    script = "import sqlite3, sys; print(sqlite3.connect(sys.argv[1]).execute('select count(*) from hit').fetchone()[0])"
    assert subprocess.run([sys.executable, "-c", script, database], capture_output=True, text=True, check=True).stdout == "1\n"


def test_a_second_process_on_the_same_data_is_refused_and_told_why(tmp_path: Path) -> None:
    data = tmp_path / "data"

    with server(data) as (process, _):
        command = [sys.executable, "-m", "perdure", "serve", str(APP), "--port", "0", "--data", str(data)]
        second = subprocess.run(command, capture_output=True, text=True, timeout=60)

    assert second.returncode != 0
    assert str(process.pid) in second.stderr
    assert "Traceback" not in second.stderr
