"""A real server on a disk that fills up: it says so, goes on reading, and loses nothing once there is room again."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest
from tests.e2e.test_crash import CHECK, DEADLINE_S, Server, look, started

DISK = "12m"
READ_BEFORE = [f"/{kind}/{number}" for kind in ("plain", "python", "javascript") for number in range(3)]
WRITERS = ["/plain/w", "/large/w", "/batch/w", "/python/w"]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small disk of its own."""
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("a disk that can be filled is a tmpfs, which only root can mount")
    directory = tmp_path / "disk"
    directory.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "perdure-full-disk", str(directory)]
    mounted = subprocess.run(command, capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.skip(f"a tmpfs could not be mounted here: {mounted.stderr.strip()}")
    yield directory
    subprocess.run(["umount", str(directory)], check=True)


def post(port: int, path: str) -> tuple[int, bytes]:
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE_S)) as connection:
        connection.request("POST", path)
        answer = connection.getresponse()
        return answer.status, answer.read()


def fill(disk: Path) -> Path:
    """A file that takes all the room there is."""
    path = disk / "filler"
    with path.open("wb", buffering=0) as filler:
        for size in (65536, 4096):
            with suppress(OSError):  # There is no room for another block of this size.
                while True:
                    filler.write(bytes(size))
    return path


def write_until(port: int, known: dict[str, int], is_enough: Callable[[int], bool]) -> None:
    """Write to all writers in turn until an answer's status is what is waited for; note what was acknowledged."""
    for _ in range(10_000):
        for path in WRITERS:
            status, body = post(port, path)
            if status == 200:
                known[path] = json.loads(body)["count"]
            if is_enough(status):
                return
    raise AssertionError("it never came")


def check_all(port: int, known: dict[str, int], *, query: str = "") -> None:
    """Everything that was acknowledged is there, and nothing is torn."""
    for path, count in known.items():
        found = look(port, path, query=query)
        assert found["count"] == found["rows"] >= count, (path, found, count)
        known[path] = found["count"]


def prepare(port: int) -> dict[str, int]:
    for path in READ_BEFORE:
        assert post(port, path)[0] == 200
    return dict.fromkeys(READ_BEFORE, 1)


def end_well(one: Server, data: Path) -> None:
    one.process.terminate()
    assert one.process.wait(timeout=DEADLINE_S) == 0, one.log.read_text()
    files = [path for path in (data / "objects").rglob("*") if path.is_file()]
    assert {path.suffix for path in files} == {".sqlite"}
    subprocess.run([sys.executable, "-c", CHECK, *files], check=True)


def test_a_full_disk_fails_writes_and_loses_nothing(disk: Path) -> None:
    data = disk / "data"
    with started(data, log=disk.parent / "log") as one:
        port = one.wait_for_port()
        known = prepare(port)
        write_until(port, known, lambda status: known.get("/python/w", 0) >= 2)

        filler = fill(disk)
        write_until(port, known, lambda status: status != 200)
        statuses = {post(port, path)[0] for path in WRITERS * 3}
        assert statuses <= {200, 503}
        for path in READ_BEFORE:
            found = look(port, path, query="")
            assert (found["count"], found["rows"]) == (1, 1), path
        assert "full" in one.log.read_text()

        filler.unlink()
        check_all(port, dict(known))
        for path in WRITERS:
            assert post(port, path)[0] == 200, path
        check_all(port, known)
        end_well(one, data)

    with started(data, log=disk.parent / "log") as one:
        check_all(one.wait_for_port(), known, query="?settled")


@pytest.mark.parametrize("is_room_back", [True, False])
def test_kill_9_on_a_full_disk_loses_nothing(disk: Path, is_room_back: bool) -> None:  # noqa: FBT001
    data = disk / "data"
    with started(data, log=disk.parent / "log") as one:
        port = one.wait_for_port()
        known = prepare(port)
        write_until(port, known, lambda status: known.get("/python/w", 0) >= 2)
        filler = fill(disk)
        write_until(port, known, lambda status: status != 200)

    if is_room_back:
        filler.unlink()
    with started(data, log=disk.parent / "log") as one:
        if not is_room_back:
            said = one.log
            assert one.process.wait(timeout=DEADLINE_S) != 0
            assert "full" in said.read_text()
            assert "Traceback" not in said.read_text()
            filler.unlink()
    with started(data, log=disk.parent / "log") as one:
        port = one.wait_for_port()
        check_all(port, known)
        for path in WRITERS:
            assert post(port, path)[0] == 200, path
        end_well(one, data)
