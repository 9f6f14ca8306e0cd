"""What the documents show works: Python compiles and type-checks, commands exist, generated pages are current."""

from __future__ import annotations

import ast
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import click
import pytest
from tests.serving import fetch, served
from tests.source_tree import ROOT
from tools.write_reference import outdated

from perdure.cli import main

FENCE = re.compile(r"^```(?P<language>\w+)(?P<options>[^\n]*)\n(?P<text>.*?)^```", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Snippet:
    """One fenced block of a page. Options behind the language: `fragment` is only compiled, not type-checked."""

    page: str
    number: int
    language: str
    options: str
    text: str

    @property
    def name(self) -> str:
        return f"{self.page}#{self.number}"


def snippets(*languages: str) -> list[Snippet]:
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", *sorted((ROOT / "docs").rglob("*.md"))]
    pages += sorted((ROOT / "examples").rglob("README.md")) + sorted((ROOT / "benchmarks").rglob("README.md"))
    return [
        Snippet(page.relative_to(ROOT).as_posix(), number, match["language"], match["options"].strip(), match["text"])
        for page in pages
        if page.exists()
        for number, match in enumerate(FENCE.finditer(page.read_text(encoding="utf-8")), start=1)
        if match["language"] in languages
    ]


def commands(program: str) -> list[tuple[str, list[str]]]:
    """The lines of console snippets that call `program`, with the block they stand in."""
    found = []
    for snippet in snippets("console", "sh", "shell"):
        for line in snippet.text.splitlines():
            words = shlex.split(line.removeprefix("$ "), comments=True) if line.startswith("$ ") else []
            if words and words[0].removeprefix(".venv/bin/") == program:
                found.append((snippet.name, words[1:]))
    return found


@pytest.mark.parametrize("snippet", snippets("python"), ids=lambda snippet: snippet.name)
def test_python_compiles(snippet: Snippet) -> None:
    compile(snippet.text, snippet.name, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)


def test_python_type_checks(tmp_path: Path) -> None:
    programs = [snippet for snippet in snippets("python") if "fragment" not in snippet.options]
    for position, snippet in enumerate(programs):
        (tmp_path / f"snippet_{position}.py").write_text(f"# {snippet.name}\n{snippet.text}", encoding="utf-8")

    # Not strict: a page shows what people write, and they need not annotate.
    cache = ROOT / ".mypy_cache" / "docs"
    cache.mkdir(parents=True, exist_ok=True)
    options = ("--config-file=", "--check-untyped-defs", "--cache-dir", cache)
    checked = subprocess.run(
        [sys.executable, "-m", "mypy", *options, tmp_path],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.slow
def test_the_program_of_the_readme_does_what_the_readme_says(tmp_path: Path) -> None:
    (program,) = [snippet.text for snippet in snippets("python") if snippet.page == "README.md"]
    (session,) = [snippet.text for snippet in snippets("console") if "curl" in snippet.text]
    published, told = re.findall(r"<<'EOF'\n(.*?)^EOF$.*?localhost:\d+\n(.*)\Z", session, re.DOTALL | re.MULTILINE)[0]
    (tmp_path / "app.py").write_text(program, encoding="utf-8")

    with served(Path(sys.executable).parent / "perdure", tmp_path / "app.py") as url:
        fetch(url, published)
        answer = fetch(url)

    assert answer == told


@pytest.mark.parametrize(("place", "words"), commands("perdure"))
def test_commands_of_perdure_exist(place: str, words: list[str]) -> None:
    command: click.Command = main
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        name, *words = words
        assert name in command.commands, f"{place}: `perdure {name}` does not exist: {', '.join(command.commands)}"
        command = command.commands[name]
    known = {option for parameter in command.params for option in parameter.opts} | {"--help", "--version"}

    assert [word for word in words if word.startswith("-") and word.partition("=")[0] not in known] == [], place


@pytest.mark.parametrize(("place", "words"), commands("./run"))
def test_commands_of_run_exist(place: str, words: list[str]) -> None:
    script = (ROOT / "run").read_text(encoding="utf-8")

    assert re.search(rf"^    {re.escape(words[0])}\)", script, re.MULTILINE), (
        f"{place}: `./run {words[0]}` does not exist"
    )


def test_generated_pages_are_current() -> None:
    assert outdated() == [], "python tools/write_reference.py"


def test_run_tells_of_each_command() -> None:
    script = (ROOT / "run").read_text(encoding="utf-8")
    told = set(re.findall(r"^  (\w+)  ", script, re.MULTILINE))
    done = set(re.findall(r"^    (\w+)\)", script, re.MULTILINE))

    assert told == done
