"""kill -9 at every kind of moment: after each restart every acknowledged write is there, and nothing is torn."""

from __future__ import annotations

import http.client
import itertools
import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from random import Random

import pytest

APP = Path(__file__).parent / "counter_app" / "app.py"
KINDS = (
    *("plain", "python", "javascript", "batch", "large", "bank", "emptied", "alarmed"),
    *("nested", "cloned", "travels"),
)
OBJECTS = (
    *(f"/{kind}/{number}" for kind in KINDS for number in range(2)),
    "/renewed/0",
    "/recoded/0",
    "/code/0",
)
NEW_KINDS = itertools.cycle(KINDS)
ACKNOWLEDGED_MIN, ACKNOWLEDGED_MAX = 40, 400
RECOVERED_AT_ONCE = 4
DEADLINE_S = 120
SIGNS_OF_A_FAULT = ("damaged", "DamagedData", "InternalError", "AssertionError", "SQLITE_", "never retrieved")
CHECK = """
import sqlite3, sys
for path in sys.argv[1:]:
    answer = sqlite3.connect(path).execute("PRAGMA integrity_check").fetchone()[0]
    assert answer == "ok", f"{path}: {answer}"
"""


class Moment(Enum):
    """When the server is killed."""

    LOAD = "under load"
    START = "before it listens"
    RECOVERY = "while objects are recovered"
    STOP = "after SIGTERM, before its end"


@dataclass
class Known:
    """What clients have seen of one object: whatever was shown to them is durable."""

    count: int = 0
    begun: int = 0
    """The last count that was begun; `count` stays behind when a facet was deleted and its successor never marked."""
    unanswered: int = 0
    """How many more may have been begun since."""

    def confirm(self, path: str, found: dict[str, int]) -> None:
        """Compare with what a restarted server shows."""
        begun = found.get("begun", found["count"])
        assert found["count"] == found["rows"], f"{path} is torn: {found}"
        assert self.begun <= begun <= self.begun + self.unanswered, f"{path}: {found} after {self}"
        if begun == self.begun:
            assert found["count"] == self.count, f"{path}: {found} after {self}"
        self.count, self.begun, self.unanswered = found["count"], begun, 0

    def acknowledge(self, found: dict[str, int]) -> str | None:
        """Note an answer to a POST; says what is wrong with it."""
        count = found["count"]
        first, last = self.begun + 1, self.begun + self.unanswered
        self.count, self.begun, self.unanswered = count, count, 0
        return None if first <= count <= last and found["rows"] == count else f"{first}…{last} became {found}"


@dataclass
class Clients:
    """Clients that write as fast as they can, and what they know."""

    port: int
    known: dict[str, Known]
    wanted: int
    names: Iterator[int]
    answered: int = 0
    is_over: bool = False
    failures: list[str] = field(default_factory=list)
    enough: threading.Event = field(default_factory=threading.Event)

    def write(self, paths: Iterator[str]) -> None:
        """Write to one path after the other until the server dies, or is about to."""
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=DEADLINE_S)) as connection:
            for path in paths:
                known = self.known.setdefault(path, Known())
                known.unanswered += 1
                try:
                    connection.request("POST", path)
                    answer = connection.getresponse()
                    body = answer.read()
                except (OSError, http.client.HTTPException):
                    return
                if self.is_over and answer.status == 503:
                    return
                self._note(path, known, answer.status, body)
                if self.failures:
                    return

    def _note(self, path: str, known: Known, status: int, body: bytes) -> None:
        problem = None
        if status == 200:
            problem = known.acknowledge(json.loads(body))
        elif not (status == 409 and path.startswith("/recoded/")):
            problem = f"{status} {body!r}"
        if problem is not None:
            self.failures.append(f"{path}: {problem}")
        self.answered += 1
        if self.answered >= self.wanted or problem is not None:
            self.enough.set()

    def new_paths(self) -> Iterator[str]:
        """An object that nobody has seen, each time."""
        for kind in NEW_KINDS:
            yield f"/{kind}/new-{next(self.names)}"

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """While it lasts they write."""
        streams = [*(itertools.repeat(path) for path in OBJECTS), self.new_paths()]
        clients = [threading.Thread(target=self.write, args=(stream,)) for stream in streams]
        for client in clients:
            client.start()
        try:
            yield
        finally:
            for client in clients:
                client.join()


@dataclass
class Server:
    """A real `perdure serve`; what it says goes to a file."""

    process: subprocess.Popen[bytes]
    log: Path

    def wait_for_port(self) -> int:
        """The port, once it listens."""
        for line in self._lines():
            if match := re.search(r"http://[\w.-]+:(\d+)", line):
                return int(match[1])
        raise AssertionError(f"the server ended without an address:\n{self.log.read_text()}")

    def _lines(self) -> Iterator[str]:
        with self.log.open() as log:
            while True:
                if line := log.readline():
                    yield line
                    continue
                try:
                    self.process.wait(timeout=0.01)
                except subprocess.TimeoutExpired:
                    continue
                yield from log
                return

    def check_log(self) -> None:
        """Fail when it spoke of a fault of its own."""
        said = self.log.read_text()
        assert not [sign for sign in SIGNS_OF_A_FAULT if sign in said], said


@contextmanager
def started(data: Path, *, log: Path | None = None) -> Iterator[Server]:
    """A server on `data` that may not listen yet. It is killed in the end, if it is still there."""
    command = [sys.executable, "-m", "perdure", "serve", str(APP), "--port", "0", "--data", str(data)]
    log = log or data.with_suffix(".log")
    with log.open("wb") as output:
        environment = os.environ | {"PYTHONFAULTHANDLER": "1"}
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, env=environment)
    watchdog = threading.Timer(DEADLINE_S, process.kill)
    watchdog.start()
    try:
        yield Server(process, log)
    except BaseException as error:
        process.send_signal(signal.SIGABRT)  # It says what its threads do.
        process.wait(timeout=DEADLINE_S)
        error.add_note(f"the server said:\n{log.read_text()[-6000:]}")
        raise
    finally:
        watchdog.cancel()
        process.kill()
        process.wait()


@contextmanager
def server(data: Path) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """A server that listens, and its port."""
    with started(data) as one:
        yield one.process, one.wait_for_port()


def look(port: int, path: str, *, query: str = "?settled") -> dict[str, int]:
    """What the server has at `path`, once its alarm has come."""
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE_S)) as connection:
        connection.request("GET", path + query)
        try:
            answer = connection.getresponse()
        except TimeoutError as error:
            error.add_note(f"`{path}` gave no answer")
            raise
        body = answer.read()
    assert answer.status == 200, (path, body)
    result: dict[str, int] = json.loads(body)
    return result


def confirm_all(port: int, known: dict[str, Known], paths: Sequence[str]) -> None:
    """Compare all these objects with what is known of them, some at a time."""
    with ThreadPoolExecutor(RECOVERED_AT_ONCE) as pool:
        for path, found in zip(paths, pool.map(lambda path: look(port, path), paths), strict=True):
            known.setdefault(path, Known()).confirm(path, found)


def kill_in_recovery(one: Server, port: int, known: dict[str, Known], paths: Sequence[str], kill_at: int) -> None:
    """Kill it after `kill_at` objects were asked for, others being under way."""
    with ThreadPoolExecutor(RECOVERED_AT_ONCE) as pool:
        asked = {path: pool.submit(look, port, path) for path in paths}
        for path in paths[:kill_at]:
            known.setdefault(path, Known()).confirm(path, asked[path].result())
        one.process.kill()
    for path in paths[kill_at:]:
        error = asked[path].exception()
        if error is None:
            known.setdefault(path, Known()).confirm(path, asked[path].result())
        else:
            assert isinstance(error, OSError | http.client.HTTPException), error


@dataclass
class Ordeal:
    """One data directory and what clients know of it, through many kills."""

    data: Path
    chance: Random
    known: dict[str, Known] = field(default_factory=dict)
    names: Iterator[int] = field(default_factory=itertools.count)
    kills: int = 0

    def suffer(self, moment: Moment) -> None:
        """Start, look at everything, write, and be killed."""
        if moment is Moment.START:
            self._kill_at_start()
        if moment is Moment.RECOVERY:
            with started(self.data) as one:
                paths = self._paths()
                kill_in_recovery(one, one.wait_for_port(), self.known, paths, self.chance.randrange(len(paths)))
                one.check_log()
        with started(self.data) as one:
            port = one.wait_for_port()
            confirm_all(port, self.known, self._paths())
            self._kill_under_load(one, port, is_stopping=moment is Moment.STOP)
            one.check_log()
        self.kills += 1 if moment in {Moment.LOAD, Moment.STOP} else 2

    def _kill_at_start(self) -> None:
        with started(self.data) as one:
            killer = threading.Timer(self.chance.uniform(0.05, 0.6), one.process.kill)
            killer.start()
            one.process.wait(timeout=DEADLINE_S)
            one.check_log()

    def _kill_under_load(self, one: Server, port: int, *, is_stopping: bool) -> None:
        wanted = self.chance.randint(ACKNOWLEDGED_MIN, ACKNOWLEDGED_MAX)
        clients = Clients(port, self.known, wanted, self.names)
        with clients.at_work():
            assert clients.enough.wait(DEADLINE_S)
            clients.is_over = True
            if is_stopping:
                one.process.terminate()
                killer = threading.Timer(self.chance.uniform(0, 0.5), one.process.kill)
                killer.start()
                one.process.wait(timeout=DEADLINE_S)
                killer.cancel()
            one.process.send_signal(signal.SIGKILL)
        assert not clients.failures, (clients.failures[:3], one.log.read_text()[-3000:])

    def _paths(self) -> list[str]:
        """All objects that last, all new ones whose fate is open, some of the rest; in any order."""
        new = [path for path in self.known if path not in OBJECTS]
        unsure = [path for path in new if self.known[path].unanswered]
        paths = {*OBJECTS, *unsure, *new[-20:], *self.chance.sample(new, min(20, len(new)))}
        return self.chance.sample(sorted(paths), len(paths))

    def end_well(self) -> None:
        """A clean stop: everything is there, in plain SQLite files that are whole."""
        with started(self.data) as one:
            port = one.wait_for_port()
            confirm_all(port, self.known, list(self.known))
            one.process.terminate()
            assert one.process.wait(timeout=DEADLINE_S) == 0, one.log.read_text()
            one.check_log()
        files = [path for path in (self.data / "objects").rglob("*") if path.is_file()]
        assert {path.suffix for path in files} == {".sqlite"}
        subprocess.run([sys.executable, "-c", CHECK, *files], check=True)


@pytest.mark.crash
def test_every_acknowledged_write_survives_kill_9(tmp_path: Path, rounds: int, seed: int) -> None:
    ordeal = Ordeal(tmp_path / "data", Random(seed))

    try:
        for _ in range(rounds):
            for moment in Moment:
                ordeal.suffer(moment)
        ordeal.end_well()
    except BaseException as error:
        error.add_note(f"after {ordeal.kills} kills; again: ./run crash -k kill_9 --rounds {rounds} --seed {seed}")
        raise


def test_a_clean_stop_leaves_plain_sqlite_files(tmp_path: Path) -> None:
    data = tmp_path / "data"

    with server(data) as (process, port):
        with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE_S)) as connection:
            connection.request("POST", "/plain/a")
            assert connection.getresponse().read() == b'{"count":1,"rows":1}'
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) == 0

    files = sorted(path.suffix for path in (data / "objects").rglob("*") if path.is_file())
    assert files == [".sqlite"]
    database = next((data / "objects").rglob("*.sqlite"))
    script = (
        "import sqlite3, sys; print(sqlite3.connect(sys.argv[1]).execute('select count(*) from hit').fetchone()[0])"
    )
    assert (
        subprocess.run([sys.executable, "-c", script, database], capture_output=True, text=True, check=True).stdout
        == "1\n"
    )


def test_a_second_process_on_the_same_data_is_refused_and_told_why(tmp_path: Path) -> None:
    data = tmp_path / "data"

    with server(data) as (process, _):
        command = [sys.executable, "-m", "perdure", "serve", str(APP), "--port", "0", "--data", str(data)]
        second = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    assert second.returncode != 0
    assert str(process.pid) in second.stderr
    assert "Traceback" not in second.stderr
