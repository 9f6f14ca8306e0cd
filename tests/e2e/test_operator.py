"""An operator with the commands of `perdure`, at a real server and at what it left."""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.test_broken_files import post
from tests.e2e.test_crash import DEADLINE_S, Clients, Known, Server, look, started

from perdure.errors import RemoteError, SqlError
from perdure.server import AdminRequest, ListKv, ListObjects, RunSql, ShowTree, ask


def perdure(*words: str, data: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "perdure", *words, "--data", str(data)]
    return subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S, check=False)


def told(*words: str, data: Path) -> Any:
    """The JSON that a command prints."""
    ended = perdure(*words, "--json", data=data)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return json.loads(ended.stdout)


@contextmanager
def a_server(data: Path) -> Iterator[tuple[Server, int]]:
    with started(data) as one:
        yield one, one.wait_for_port()


def end(one: Server) -> None:
    one.process.terminate()
    assert one.process.wait(timeout=DEADLINE_S) == 0, one.log.read_text()


def prepare(port: int) -> None:
    for path in ("/plain/a", "/plain/b", "/python/p", "/python/p"):
        assert post(port, path) == 200


def look_around(data: Path) -> None:
    """What all of it shows, whether the server runs or not."""
    assert [item["object"] for item in told("ls", "Plain", data=data)["items"]] == ["Plain/plain-a", "Plain/plain-b"]
    (app,) = told("ls", "Runner/py", data=data)["items"]
    assert (app["object"], app["facets"]) == ("Runner/python-p", 1)
    assert [item["path"] for item in told("tree", "Runner/python-p", data=data)["items"]] == [[], ["app"]]
    rows = told("sql", "Runner/python-p:app", "SELECT id FROM hit ORDER BY id", data=data)
    assert rows["items"] == [[1], [2]]
    assert {"key": "count", "value": "2"} in told("kv", "Runner/python-p:app", data=data)["items"]


def test_the_same_is_seen_of_a_live_server_a_killed_one_and_a_stopped_one(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with a_server(data) as (one, port):
        prepare(port)
        look_around(data)
        assert (data / "admin.sock").exists()
        one.process.send_signal(signal.SIGKILL)
        one.process.wait(timeout=DEADLINE_S)
    assert (data / "admin.sock").exists()

    look_around(data)  # It recovers what the crash left, under the lock.
    look_around(data)

    with a_server(data) as (one, port):
        assert look(port, "/plain/a") == {"count": 1, "rows": 1}
        look_around(data)
        end(one)
    assert not (data / "admin.sock").exists()
    look_around(data)


def test_writing_and_deleting_go_through_a_live_server_and_into_a_stopped_one(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with a_server(data) as (one, port):
        prepare(port)
        refused = perdure("sql", "Plain/plain-a", "DELETE FROM hit", data=data)
        assert (refused.returncode, "--write" in refused.stderr) == (1, True)
        assert told("sql", "Plain/plain-a", "DELETE FROM hit", "--write", data=data)["rows_written"] == 1
        assert look(port, "/plain/a") == {"count": 1, "rows": 0}
        assert perdure("delete", "Plain/plain-b", "--yes", data=data).returncode == 0
        assert look(port, "/plain/b") == {"count": 0, "rows": 0}
        one.process.send_signal(signal.SIGKILL)
        one.process.wait(timeout=DEADLINE_S)
    with a_server(data) as (one, port):
        assert look(port, "/plain/a") == {"count": 1, "rows": 0}
        assert look(port, "/plain/b") == {"count": 0, "rows": 0}
        end(one)

    assert told("sql", "Plain/plain-a", "INSERT INTO hit VALUES (7)", "--write", data=data)["rows_written"] == 1
    assert perdure("delete", "Runner/python-p:app", "--yes", data=data).returncode == 0

    with a_server(data) as (_, port):
        assert look(port, "/plain/a") == {"count": 1, "rows": 1}
        assert look(port, "/python/p")["count"] == 0


def test_looking_under_load_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    data = tmp_path / "data"
    known: dict[str, Known] = {}
    with a_server(data) as (one, port):
        clients = Clients(port, known, wanted=300, names=iter(range(10_000)))
        with clients.at_work():
            while not clients.enough.is_set():
                for item in told("ls", "--limit", "5", data=data)["items"]:
                    perdure("tree", item["object"], data=data)
                    perdure("sql", item["object"], "SELECT count(*) FROM hit", data=data)
            clients.is_over = True
            one.process.send_signal(signal.SIGKILL)
        one.process.wait(timeout=DEADLINE_S)
        assert clients.failures == []
        said = one.log.read_text()
    assert "Traceback" not in said, said

    look_at_once = told("ls", "--limit", "10000", data=data)["items"]
    with a_server(data) as (_, port):
        for path, each in known.items():
            each.confirm(path, look(port, path))
    assert len(look_at_once) > 10


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["sql", "Plain/none", "SELECT 1"], "there is no object `Plain/none`; there are: `Plain/plain-a`"),
        (["sql", "Nobody/a", "SELECT 1"], "there are objects of `Plain`, `Runner`"),
        (["sql", "Runner/python-p:ap", "SELECT 1"], "its facets are: `app`"),
        (["sql", "Plain/plain-a", "SELEC 1"], 'near "SELEC": syntax error'),
        (["tree", "Plain"], "names no object: write `Class/name`"),
        (["rewind", "Plain/plain-a", "-9d"], "before that"),
        (["rewind", "Plain/plain-a", "yesterday"], "yesterday"),
        (["sql", "Plain/plain-a", "SELECT 1", "--at", "-9d"], "before that"),
    ],
)
def test_errors_say_what_there_is(stopped: Path, words: list[str], said: str) -> None:
    ended = perdure(*words, data=stopped)

    assert ended.returncode == 1
    assert ended.stderr.startswith("perdure: ")
    assert said in ended.stderr
    assert ended.stdout == ""


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    data = tmp_path_factory.mktemp("stopped") / "data"
    with a_server(data) as (one, port):
        prepare(port)
        end(one)
    return data


def test_a_directory_that_is_none_is_not_made_one(tmp_path: Path) -> None:
    ended = perdure("ls", data=tmp_path / "nowhere")

    assert ended.returncode == 1
    assert "is no data directory" in ended.stderr
    assert not (tmp_path / "nowhere").exists()


def test_a_directory_in_use_without_a_socket_is_named_with_its_process(stopped: Path) -> None:
    import fcntl

    with (stopped / "lock").open("r+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.write(f"{os.getpid()}\n")
        lock.flush()

        ended = perdure("ls", data=stopped)

    assert ended.returncode == 1
    assert f"in use by process {os.getpid()}" in ended.stderr
    assert "It answers no commands" in ended.stderr


def test_the_doctor_sees_a_live_server_a_killed_one_and_a_stopped_one(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with a_server(data) as (one, port):
        prepare(port)
        live = perdure("doctor", data=data)
        refused = perdure("doctor", "--repair", data=data)
        one.process.send_signal(signal.SIGKILL)
        one.process.wait(timeout=DEADLINE_S)
    killed = perdure("doctor", data=data)
    repaired = perdure("doctor", "--repair", data=data)
    (data / "stray").touch()
    stray = perdure("doctor", data=data)

    assert (live.returncode, "checked by the server" in live.stdout) == (0, True), live.stdout + live.stderr
    assert (refused.returncode, "stop it" in refused.stderr) == (1, True)
    assert (killed.returncode, "did not stop in order" in killed.stdout) == (0, True), killed.stdout
    assert (repaired.returncode, "repaired: " in repaired.stdout) == (0, True), repaired.stdout + repaired.stderr
    assert (stray.returncode, "stray" in stray.stdout) == (1, True)
    assert told_unwell(data)["is_healthy"] is False
    look_around(data)


def told_unwell(data: Path) -> Any:
    ended = perdure("doctor", "--json", data=data)
    assert ended.returncode == 1
    return json.loads(ended.stdout)


def run_printed(ended: subprocess.CompletedProcess[str]) -> None:
    """Run the command that a command said undoes it."""
    assert ended.returncode == 0, ended.stdout + ended.stderr
    (line,) = [line for line in ended.stdout.splitlines() if line.startswith("undo it with: ")]
    program, *words = shlex.split(line.removeprefix("undo it with: "))
    assert program == "perdure"
    undone = subprocess.run(
        [sys.executable, "-m", "perdure", *words], capture_output=True, text=True, timeout=DEADLINE_S, check=False
    )
    assert undone.returncode == 0, undone.stdout + undone.stderr


def everything(data: Path) -> list[object]:
    """All that can be seen of all objects; asked as the commands ask, without a process for each question."""

    def asked(request: AdminRequest) -> Any:
        try:
            return asyncio.run(ask(data, request)).items
        except (RemoteError, SqlError) as error:
            return str(error)

    places = [place["object"] for item in asked(ListObjects()) for place in asked(ShowTree(item["object"]))]
    return [
        (place, asked(ListKv(place, "count")), asked(RunSql(place, "SELECT * FROM hit")))  # It notes others later.
        for place in places
        if ":" in place or not place.startswith("Runner")
    ]


@pytest.mark.parametrize("is_live", ["live", "stopped"])
def test_each_command_prints_what_undoes_it(tmp_path: Path, is_live: str) -> None:
    data = tmp_path / "data"
    with a_server(data) as (one, port):
        prepare(port)
        if is_live == "stopped":
            end(one)
        before = everything(data)
        first = told("history", "Runner/python-p", data=data)["items"][-1]["bookmark"]

        for words in (
            ["sql", "--write", "Plain/plain-a", "DELETE FROM hit"],
            ["sql", "--write", "Runner/python-p:app", "UPDATE hit SET id = id + 100"],
            ["rewind", "Runner/python-p", first],
            ["fork", "Runner/python-p", "copy"],
            ["delete", "Plain/plain-a"],
            ["delete", "Runner/python-p:app"],
            ["delete", "Runner/python-p"],
        ):
            ended = perdure(*words, data=data)
            assert everything(data) != before, words
            run_printed(ended)
            assert everything(data) == before, words
        bundle = tmp_path / "bundle.perdure"
        assert perdure("export", "Runner/python-p", str(bundle), data=data).returncode == 0
        run_printed(perdure("import", str(bundle), "Runner/again", data=data))
        assert everything(data) == before

        if is_live == "live":
            assert look(port, "/plain/a") == {"count": 1, "rows": 1}
            assert look(port, "/python/p")["count"] == 2
            end(one)
    assert perdure("doctor", data=data).returncode == 0


@pytest.mark.parametrize(
    ("name", "said"),
    [("journal/0.db", "Restore it from a backup"), ("objects/Plain", "changed by another program")],
    ids=["journal", "database"],
)
def test_what_became_garbage_is_named_by_every_command(stopped: Path, tmp_path: Path, name: str, said: str) -> None:
    data = tmp_path / "data"
    shutil.copytree(stopped, data)  # With the files' times.
    path = data / name
    path = next(path.glob("*.sqlite")) if path.is_dir() else path
    path.write_bytes(b"not a database " * 1000)

    for words in (["sql", "Plain/plain-a", "SELECT 1"], ["sql", "Plain/plain-b", "SELECT 1"]):
        ended = perdure(*words, data=data)
        if ended.returncode:
            assert said in ended.stderr
            assert str(path) in ended.stderr
            assert "Traceback" not in ended.stderr
            break
    else:
        raise AssertionError("nobody noticed")
    doctor = perdure("doctor", data=data)

    assert doctor.returncode == 1
    assert str(path) in doctor.stdout
