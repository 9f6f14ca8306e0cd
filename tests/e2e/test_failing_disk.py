"""The commands on a disk that is full, read-only, or fails to read: one line that says so, and nothing is changed.

What a killed server left is looked at: the commands must recover it, which needs the disk. Afterwards the disk is well
again, and all that was acknowledged is there.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.e2e.test_broken_files import post
from tests.e2e.test_crash import APP, DEADLINE_S
from tests.e2e.test_full_disk import fill
from tests.e2e.test_operator import a_server

LOOK = ["sql", "Plain/plain-a", "SELECT id FROM hit"]
COMMANDS = [
    ["ls"],
    LOOK,
    ["sql", "Plain/plain-a", "INSERT INTO hit VALUES (99)", "--write"],
    ["doctor", "--repair"],
    ["serve", str(APP), "--port", "0"],
]
NO_READS = """
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <dlfcn.h>

static int is_below(int descriptor) {
    char link[64], path[4096];
    const char *part = getenv("NO_READS_BELOW");
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t size = readlink(link, path, sizeof path - 1);
    if (part == NULL || size < 0) return 0;
    path[size] = 0;
    return strncmp(path, part, strlen(part)) == 0;
}

ssize_t pread64(int descriptor, void *buffer, size_t size, off64_t offset) {
    if (is_below(descriptor)) { errno = EIO; return -1; }
    ssize_t (*real)(int, void *, size_t, off64_t) = dlsym(RTLD_NEXT, "pread64");
    return real(descriptor, buffer, size, offset);
}

ssize_t read(int descriptor, void *buffer, size_t size) {
    if (is_below(descriptor)) { errno = EIO; return -1; }
    ssize_t (*real)(int, void *, size_t) = dlsym(RTLD_NEXT, "read");
    return real(descriptor, buffer, size);
}
"""
"""A library that lets reads of files below a path fail, as a disk with bad sectors does."""


def run(*words: str, data: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "perdure", *words, "--data", str(data)]
    variables = os.environ | environment
    return subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S, check=False, env=variables)


def check_said(ended: subprocess.CompletedProcess[str], *parts: str) -> None:
    """It failed, with one line for people that names what is wrong. Progress of a server's start may precede it."""
    said = ended.stdout + ended.stderr
    assert ended.returncode == 1, (ended.args, said)
    assert "Traceback" not in said, said
    lines = [line for line in said.splitlines() if line.startswith(("perdure: ", "problem: "))]
    assert lines, said
    assert len([line for line in ended.stderr.splitlines() if line.startswith("perdure: ")]) <= 1, said
    assert any(part in lines[0] for part in parts), (ended.args, said)
    assert "damaged" not in said, "a disk that fails is not to be repaired by a restore"


def check_nothing_is_lost(data: Path) -> None:
    looked = run(*LOOK, data=data)
    assert (looked.returncode, looked.stdout.split()) == (0, ["id", "1", "2"]), looked.stdout + looked.stderr
    checkup = run("doctor", data=data)
    assert checkup.returncode == 0, checkup.stdout + checkup.stderr


@pytest.fixture(scope="module")
def ends(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """What a server left, by how it ended."""
    directory = tmp_path_factory.mktemp("ends")
    with a_server(directory / "data") as (one, port):
        for path in ("/plain/a", "/plain/a", "/plain/b"):
            assert post(port, path) == 200
        one.process.send_signal(signal.SIGKILL)
        one.process.wait(timeout=DEADLINE_S)
    (directory / "data" / "admin.sock").unlink()
    shutil.copytree(directory / "data", directory / "killed")
    assert run("doctor", "--repair", data=directory / "data").returncode == 0
    return {"killed": directory / "killed", "stopped": directory / "data"}


@pytest.fixture(params=["killed", "stopped"])
def end_(request: pytest.FixtureRequest, ends: dict[str, Path]) -> Path:
    return ends[request.param]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of its own."""
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("a disk that can be filled is a tmpfs, which only root can mount")
    directory = tmp_path / "disk"
    directory.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=12m", "perdure-failing-disk", str(directory)],
        capture_output=True,
        text=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip(f"a tmpfs could not be mounted here: {mounted.stderr.strip()}")
    yield directory
    subprocess.run(["umount", str(directory)], check=True)


def remount(disk: Path, how: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{how}", str(disk)], check=True)


def test_each_command_says_that_the_disk_is_read_only(disk: Path, end_: Path) -> None:
    data = disk / "data"
    shutil.copytree(end_, data)

    remount(disk, "ro")
    for words in COMMANDS:
        check_said(run(*words, data=data), "Read-only file system")
    check_said(run("doctor", data=data), "Read-only file system")
    remount(disk, "rw")

    check_nothing_is_lost(data)


def test_each_command_says_that_the_disk_is_full(disk: Path, end_: Path) -> None:
    data = disk / "data"
    shutil.copytree(end_, data)

    filler = fill(disk)
    for words in COMMANDS:
        ended = run(*words, data=data)
        if words[0] == "doctor" and not ended.returncode:
            assert "all is well" in ended.stdout  # It has nothing to write where nothing is to be repaired.
            continue
        check_said(ended, "disk is full", "has it room", "free space")
    filler.unlink()

    check_nothing_is_lost(data)


@pytest.fixture(scope="module")
def no_reads(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = shutil.which("cc")
    if sys.platform != "linux" or compiler is None:
        pytest.skip("reads are let fail by a library that must be compiled")
    directory = tmp_path_factory.mktemp("no-reads")
    (directory / "no_reads.c").write_text(NO_READS)
    library = directory / "no_reads.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, directory / "no_reads.c", "-ldl"], check=True)
    return library


def test_each_command_says_that_the_journal_cannot_be_read(no_reads: Path, end_: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    shutil.copytree(end_, data)
    failing = {"LD_PRELOAD": str(no_reads), "NO_READS_BELOW": str(data / "journal")}

    for words in COMMANDS:
        check_said(run(*words, data=data, **failing), "0.db` cannot be opened: disk I/O", "0.db` cannot be read: disk")

    check_nothing_is_lost(data)


def test_an_object_that_cannot_be_read_is_named(no_reads: Path, end_: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    shutil.copytree(end_, data)
    failing = {"LD_PRELOAD": str(no_reads), "NO_READS_BELOW": str(data / "objects")}

    assert "Plain/plain-a" in run("ls", data=data, **failing).stdout
    for words in (LOOK, COMMANDS[2]):
        check_said(run(*words, data=data, **failing), ".sqlite` cannot be opened: disk I/O error")
    check_said(run("doctor", data=data, **failing), ".sqlite` cannot be", "could not be checked to the end")

    check_nothing_is_lost(data)
