"""Files that somebody broke under a real server: it names them, goes on with the rest, and never guesses."""

from __future__ import annotations

import hashlib
import http.client
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from tests.e2e.test_crash import DEADLINE_S, look, started


def post(port: int, path: str) -> int:
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE_S)) as connection:
        connection.request("POST", path)
        answer = connection.getresponse()
        answer.read()
        return answer.status


def status(port: int, path: str) -> int:
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE_S)) as connection:
        connection.request("GET", path)
        answer = connection.getresponse()
        answer.read()
        return answer.status


def truncate(path: Path) -> None:
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size - 4096)


def scribble(path: Path) -> None:
    path.write_bytes(b"not a database " * 1000)


def insert(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("insert into hit(id) values (1000)")


def files_of(data: Path, kind: str) -> list[Path]:
    return sorted((data / "objects" / kind).glob("*.sqlite"))


def prepare(data: Path) -> tuple[Path, Path]:
    """Two objects after a clean stop: the database of the one to be broken, and that of a facet of the other."""
    with started(data) as one:
        port = one.wait_for_port()
        assert post(port, "/plain/broken") == 200
        (plain,) = files_of(data, "Plain")
        for path in ("/plain/whole", "/python/app"):
            assert post(port, path) == 200
        one.process.terminate()
        assert one.process.wait(timeout=DEADLINE_S) == 0
    facet = next(path for path in files_of(data, "Runner") if path.stem.count("."))
    return plain, facet


@pytest.mark.parametrize(
    ("break_", "said"),
    [
        (truncate, "changed by another program"),
        (scribble, "changed by another program"),
        (Path.unlink, "is missing"),
        (insert, "changed by another program"),
    ],
    ids=["truncated", "no database", "deleted", "changed"],
)
def test_a_broken_database_is_named_and_others_go_on(tmp_path: Path, break_: Callable[[Path], None], said: str) -> None:
    data = tmp_path / "data"
    plain, facet = prepare(data)
    break_(plain)
    break_(facet)
    broken = [_digest(path) for path in (plain, facet)]

    with started(data) as one:
        port = one.wait_for_port()
        assert {status(port, path) for path in ("/plain/broken", "/python/app")} <= {500, 503}
        assert post(port, "/plain/broken") in {500, 503}
        assert look(port, "/plain/whole") == {"count": 1, "rows": 1}
        assert post(port, "/plain/whole") == 200
        one.process.terminate()
        one.process.wait(timeout=DEADLINE_S)
        log = one.log.read_text()

    assert said in log
    assert str(plain) in log
    assert str(facet) in log
    assert [_digest(path) for path in (plain, facet)] == broken


def _digest(path: Path) -> str:
    """What a file holds: whatever happens, evidence is not touched."""
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else ""


def halve(path: Path) -> None:
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2)


@pytest.mark.parametrize("break_", [scribble, halve])
def test_a_broken_journal_is_named_and_nothing_starts(tmp_path: Path, break_: Callable[[Path], None]) -> None:
    data = tmp_path / "data"
    prepare(data)
    break_(data / "journal" / "0.db")

    with started(data) as one:
        assert one.process.wait(timeout=DEADLINE_S) != 0
        log = one.log.read_text()

    assert str(data / "journal" / "0.db") in log
    assert "Restore it from a backup" in log
    assert "Traceback" not in log


def test_a_torn_end_of_the_journal_is_what_was_never_acknowledged(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with started(data) as one:
        port = one.wait_for_port()
        for _ in range(3):
            assert post(port, "/plain/a") == 200
    wal = next((data / "journal").glob("*-wal"))
    with wal.open("ab") as file:
        file.write(bytes(range(256)) * 17)

    with started(data) as one:
        assert look(one.wait_for_port(), "/plain/a") == {"count": 3, "rows": 3}
