"""`perdure dev FOLDER` and `perdure serve FOLDER`, as a person runs them: the founding example in both languages."""

from __future__ import annotations

import hashlib
import json
import os
import queue
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from tests.serving import START_DEADLINE_S, fetch

pytestmark = pytest.mark.slow

EXAMPLES = Path(__file__).parents[2] / "examples"
FOUNDING_BYTES = {
    "worker.js": "4d269c4cef12cafd890739976e65b94164a962f199931a0c751b4ae562509f5b",
    "wrangler.jsonc": "2aa3d980e83b3d3e99e38fd7c2b3efd2aa40424feebc8cc20d6fa68f8e326903",
}


class Server:
    """A process, what it says, and where it answers."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.said: list[str] = []
        self._lines: queue.Queue[str] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(line)
        self._lines.put("")

    def wait_for(self, pattern: str) -> re.Match[str]:
        """The next line that has it. Fails with all that was said."""
        deadline = time.monotonic() + START_DEADLINE_S
        while True:
            try:
                line = self._lines.get(timeout=max(0.1, deadline - time.monotonic()))
            except queue.Empty:
                raise AssertionError(f"`{pattern}` was not said, but:\n{''.join(self.said)}") from None
            self.said.append(line)
            if match := re.search(pattern, line):
                return match
            if not line:
                raise AssertionError(f"`{pattern}` was not said before the end, but:\n{''.join(self.said)}")

    def close(self) -> None:
        self._reader.join()
        assert self.process.stdout is not None
        self.process.stdout.close()

    def address(self) -> str:
        return self.wait_for(r"http://[\w.\[\]:-]+")[0]


@contextmanager
def running(*arguments: str, cwd: Path) -> Iterator[Server]:
    """`perdure ARGUMENTS` in a folder."""
    command = [sys.executable, "-m", "perdure", *arguments]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(
        command, cwd=cwd, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    server = Server(process)
    try:
        yield server
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=30)
        server.close()


def copied(name: str, folder: Path) -> Path:
    place = folder / name
    shutil.copytree(EXAMPLES / name, place, ignore=shutil.ignore_patterns(".perdure", "__pycache__"))
    return place


def test_the_files_of_the_founding_document_are_as_they_were() -> None:
    digests = {name: hashlib.sha256((EXAMPLES / "facets" / name).read_bytes()).hexdigest() for name in FOUNDING_BYTES}

    assert digests == FOUNDING_BYTES


def test_a_change_of_code_or_configuration_is_served_and_one_that_is_wrong_is_told(tmp_path: Path) -> None:
    folder = tmp_path
    config = {"main": "src/index.js", "vars": {"WORD": "one"}}
    (folder / "src").mkdir()
    (folder / "src" / "index.js").write_text("export default { fetch: (_, env) => new Response(`a ${env.WORD}`) };")
    (folder / "wrangler.jsonc").write_text(json.dumps(config))

    with running("dev", "--port", "0", cwd=folder) as server:
        address = server.address()
        assert fetch(address) == "a one"

        (folder / "wrangler.jsonc").write_text(json.dumps({**config, "vars": {"WORD": "two"}}))
        server.wait_for(r"wrangler\.jsonc changed: serving")
        assert fetch(address) == "a two"

        (folder / "wrangler.jsonc").write_text('{"main": "src/index.js",\n  "vars": {')
        server.wait_for(r"wrangler\.jsonc changed, but the new code does not start")
        server.wait_for(r"wrangler\.jsonc:2:12: a key in double quotes or `}` is expected")
        assert fetch(address) == "a two"

        (folder / "wrangler.jsonc").write_text(json.dumps(config))
        server.wait_for("changed: serving")
        (folder / "src" / "index.js").write_text("export default { fetch: (_, env) => new Response(`b ${env.WORD")
        server.wait_for(r"index\.js changed, but the new code does not start")
        server.wait_for("SyntaxError")
        assert fetch(address) == "a one"

        (folder / "src" / "index.js").write_text("export default { fetch: (_, env) => new Response(`b ${env.WORD}`) };")
        server.wait_for("changed: serving")
        assert fetch(address) == "b one"


@pytest.mark.parametrize(
    ("config", "code", "said"),
    [
        ('{"main": "nope.js"}', "", r"wrangler\.jsonc:1:10: `main` is `nope\.js`, and there is no such file"),
        ('{"main": "index.js"', "", r"wrangler\.jsonc:1:20: `,` or `}` is expected"),
        ('{"main": "index.js"}', "export default {", r"(?s)worker `worker`: Failed to start Worker.*does not import"),
        (
            '{"main": "index.js", "migrations": [{"tag": "v1", "new_sqlite_classes": ["Nope"]}]}',
            "export default {};",
            "no such Durable Object class: `Nope`",
        ),
    ],
)
def test_what_is_wrong_at_the_start_ends_it_with_words(tmp_path: Path, config: str, code: str, said: str) -> None:
    (tmp_path / "wrangler.jsonc").write_text(config)
    (tmp_path / "index.js").write_text(code)

    ended = subprocess.run(
        [sys.executable, "-m", "perdure", "dev", "--port", "0"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=START_DEADLINE_S,
    )

    assert ended.returncode == 1
    assert re.search(said, ended.stderr), ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("command", ["dev", "serve"])
@pytest.mark.parametrize(("name", "namespace"), [("facets", "worker-AppRunner"), ("facets_python", "facets-AppRunner")])
def test_the_founding_example_counts_survives_a_restart_and_leaves_its_databases(
    tmp_path: Path, name: str, namespace: str, command: str
) -> None:
    folder = copied(name, tmp_path)

    with running(command, "--port", "0", cwd=folder) as server:
        address = server.address()
        assert [fetch(address) for _ in range(3)] == [f"You've made {n} requests.\n" for n in (1, 2, 3)]
    with running(command, str(folder), "--port", "0", cwd=tmp_path) as server:
        assert fetch(server.address()) == "You've made 4 requests.\n"

    looked = subprocess.run(
        [sys.executable, "-m", "perdure", "doctor"], cwd=folder, capture_output=True, text=True, check=False
    )
    assert "all is well" in looked.stdout
    files = sorted((folder / ".perdure" / "objects" / namespace).glob("*.sqlite"))
    assert [path.name.count(".") for path in files] == [2, 1]  # the facet's, and the parent's
    with closing(sqlite3.connect(files[0])) as facet:
        tables = [row[0] for row in facet.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
        values = [facet.execute(f'SELECT * FROM "{table}"').fetchall() for table in tables]  # its own names
    assert any("counter" in row for rows in values for row in rows)
