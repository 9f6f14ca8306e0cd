"""What the documents show works: code compiles, type-checks and runs, sessions print what they show, commands exist.

tests/doc_pages.py says how a page is written for that.
"""

from __future__ import annotations

import ast
import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest
from tests.doc_pages import Snippet, on_page, replay, snippets, stories
from tests.source_tree import ROOT
from tools.write_reference import outdated

from perdure.cli import main


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
    for position, snippet in enumerate(snippets("python")):
        if "fragment" in snippet.options:
            continue
        page = re.sub(r"\W", "_", snippet.page.removesuffix(".md"))
        own = [each.file.removesuffix(".py") for each in on_page(ROOT / snippet.page) if each.file]
        text = re.sub(rf"^(from|import) ({'|'.join(own) or '-'}) ", rf"\1 {page}_\2 ", snippet.text, flags=re.MULTILINE)
        name = f"{page}_{snippet.file}" if snippet.file else f"snippet_{position}.py"
        (tmp_path / name).write_text(f"# {snippet.name}\n{text}", encoding="utf-8")

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
@pytest.mark.parametrize("page", stories(), ids=lambda page: page.stem)
def test_sessions_print_what_they_show(page: Path, tmp_path: Path) -> None:
    done = " ".join(step.command for step in replay(page, tmp_path))

    unused = [
        snippet.name
        for snippet in on_page(page)
        if snippet.file and snippet.file not in done and not is_imported(snippet, page) and not is_main(snippet, page)
    ]
    assert unused == [], "no session of the page uses these files"


def is_imported(snippet: Snippet, page: Path) -> bool:
    """Whether another file of the page imports this one, or reads it by its name."""
    module = str(snippet.file).removesuffix(".py")
    use = re.compile(rf'^from {module} import|"{re.escape(str(snippet.file))}"', re.MULTILINE)
    return any(use.search(other.text) for other in on_page(page) if other.file)


def is_main(snippet: Snippet, page: Path) -> bool:
    """Whether it is a project's configuration, or the program that one names."""
    configurations = [other for other in on_page(page) if other.file and other.file.startswith("wrangler.")]
    return snippet in configurations or any(str(snippet.file) in other.text for other in configurations)


@pytest.mark.parametrize("page", stories(), ids=lambda page: page.stem)
def test_code_of_a_story_runs(page: Path) -> None:
    code = [snippet for snippet in on_page(page) if snippet.language in {"python", "javascript"}]

    loose = [snippet.name for snippet in code if snippet.file is None and snippet.options != "fragment"]
    assert loose == [], "say which file it is (```python app.py), so that a session can use it"


@pytest.mark.parametrize(("place", "words"), commands("perdure"))
def test_commands_of_perdure_exist(place: str, words: list[str]) -> None:
    command: click.Command = main
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        name, *words = words
        assert name in command.commands, f"{place}: `perdure {name}` does not exist: {', '.join(command.commands)}"
        command = command.commands[name]
    known = {option for parameter in command.params for option in parameter.opts} | {"--help", "--version"}

    options = [word for word in words if re.match(r"-\D", word)]  # `-5m` is a time
    assert [option for option in options if option.partition("=")[0] not in known] == [], place


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
