"""npm's packages for the tests beside, and Node to run them."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import pytest

HERE = Path(__file__).resolve().parent
DEADLINE_S = 120


def needs_npm_packages() -> None:
    """Skip the test where they are not installed; `./run tests` installs them."""
    if not (HERE / "node_modules" / "capnweb").exists():
        assert "CI" not in os.environ, "`./run tests` was to install tests/interop/package-lock.json"
        pytest.skip("npm's capnweb is not installed: npm ci --prefix tests/interop")


def run_node(script: str, *arguments: str) -> str:
    """What a script of this folder prints."""
    command = ["node", str(HERE / script), *arguments]
    done = subprocess.run(command, cwd=HERE, capture_output=True, text=True, timeout=DEADLINE_S, check=True)
    return done.stdout


@contextmanager
def node_server() -> Iterator[tuple[int, IO[str]]]:
    """npm's capnweb as a server: its port, and what it prints afterwards."""
    command = ["node", str(HERE / "server.mjs")]
    process = subprocess.Popen(command, cwd=HERE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield int(process.stdout.readline()), process.stdout
    finally:
        process.terminate()
        process.wait(timeout=30)
        process.stdout.close()
