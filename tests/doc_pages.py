"""The pages of documentation as data: their fenced blocks, and the sessions that console blocks show.

A block of code says in its first line which file it is (```python app.py). A console block is a session in the folder
of these files: what follows `$ ` is done, the lines below are what must come back, with `…` for whatever changes.
Blocks of `sh` are shown, not replayed.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from tests.serving import served
from tests.source_tree import ROOT

FENCE = re.compile(r"^```(?P<language>\w+)(?P<options>[^\n]*)\n(?P<text>.*?)^```", re.MULTILINE | re.DOTALL)
PORT_IN_PAGES = "8787"
COMMANDS = Path(sys.executable).parent


@dataclass(frozen=True)
class Snippet:
    """One fenced block. Options behind the language: a file's name, or `fragment` for code that cannot run alone."""

    page: str
    number: int
    language: str
    options: str
    text: str

    @property
    def name(self) -> str:
        return f"{self.page}#{self.number}"

    @property
    def file(self) -> str | None:
        return self.options if "." in self.options else None


@dataclass(frozen=True)
class Step:
    """A command of a session, and what it must print."""

    command: str
    output: str


def snippets(*languages: str) -> list[Snippet]:
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", *sorted((ROOT / "docs").rglob("*.md"))]
    pages += sorted((ROOT / "examples").rglob("README.md")) + sorted((ROOT / "benchmarks").rglob("README.md"))
    return [snippet for page in pages if page.exists() for snippet in on_page(page) if snippet.language in languages]


def on_page(page: Path) -> list[Snippet]:
    place = page.relative_to(ROOT).as_posix()
    return [
        Snippet(place, number, match["language"], match["options"].strip(), match["text"])
        for number, match in enumerate(FENCE.finditer(page.read_text(encoding="utf-8")), start=1)
    ]


def stories() -> list[Path]:
    """The pages whose sessions are replayed."""
    return [ROOT / "README.md", ROOT / "docs" / "tutorial.md", *sorted((ROOT / "docs" / "howto").glob("*.md"))]


def steps(session: str) -> Iterator[Step]:
    """The commands of a console block, each with the lines that follow it; a here-document belongs to its command."""
    for part in re.split(r"^\$ ", session, flags=re.MULTILINE)[1:]:
        line, _, rest = part.partition("\n")
        if "<<'EOF'" in line:
            text, _, rest = rest.partition("EOF\n")
            line = f"{line}\n{text}EOF\n"
        yield Step(line, rest)


def replay(page: Path, folder: Path) -> list[Step]:
    """Do what the page shows, in `folder`. Raises AssertionError at the first difference; gives what was done."""
    done = []
    with ExitStack() as server:
        port = PORT_IN_PAGES
        for snippet in on_page(page):
            if snippet.file is not None:
                (folder / snippet.file).write_text(snippet.text, encoding="utf-8")
            for step in steps(snippet.text) if snippet.language == "console" else ():
                program, *words = step.command.split()
                if program == "perdure" and words[0] == "dev":
                    server.close()
                    app = folder.joinpath(*words[1:2])  # Without a path it is the folder itself.
                    url = server.enter_context(served(COMMANDS / "perdure", app, data=folder / "data"))
                    port = url.rpartition(":")[2]
                else:
                    assert program in {"curl", "pytest", "perdure"}, f"{snippet.name}: show `{program}` as `sh`"
                    run(step, folder, port=port, place=snippet.name)
                done.append(step)
    return done


def run(step: Step, folder: Path, *, port: str, place: str) -> None:
    command = step.command.replace(f":{PORT_IN_PAGES}", f":{port}")
    environment = {**os.environ, "PATH": f"{COMMANDS}:{os.environ['PATH']}", "NO_PROXY": "*", "no_proxy": "*"}
    environment["PERDURE_DATA"] = str(folder / "data")  # Where `served` keeps it.
    command = re.sub(r"^curl ", "curl --silent --show-error ", command)
    ended = subprocess.run(
        ["/bin/sh", "-c", command], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    printed = ended.stdout.replace(f":{port}", f":{PORT_IN_PAGES}")

    assert ended.returncode == 0, f"{place}: $ {step.command}\n{ended.stdout}{ended.stderr}"
    if command.startswith(("curl ", "perdure ")):
        wanted = re.escape(step.output.rstrip()).replace("…", ".*")
        assert re.fullmatch(wanted, printed.rstrip(), re.DOTALL), f"{place}: $ {step.command}\nprints\n{printed}"
