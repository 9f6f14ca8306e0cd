"""The command line's surface."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from perdure import __version__
from perdure.cli import main


def test_help_lists_the_commands() -> None:
    result = CliRunner().invoke(main, ["--help"])

    assert result.exit_code == 0
    assert all(f"\n  {command}" in result.output for command in ("dev", "serve", "warmup"))


def test_version() -> None:
    assert CliRunner().invoke(main, ["--version"]).output == f"perdure {__version__}\n"


def test_a_port_out_of_range_is_refused() -> None:
    result = CliRunner().invoke(main, ["dev", "--port", "70000"])

    assert result.exit_code == 2
    assert "70000" in result.output


APP = "async def fetch(request, env, ctx): ..."


@pytest.mark.parametrize("command", ["dev", "serve"])
def test_a_path_with_nothing_is_told_so(tmp_path: Path, command: str) -> None:
    result = CliRunner().invoke(main, [command, str(tmp_path / "none.py")])

    assert result.exit_code == 1
    assert result.stderr.startswith("perdure: there is nothing at `")


def test_a_syntax_error_is_shown_with_its_place(tmp_path: Path) -> None:
    (tmp_path / "wrong_app.py").write_text("def f(:\n")

    result = CliRunner().invoke(main, ["dev", str(tmp_path)])

    assert result.exit_code == 1
    assert 'wrong_app.py", line 1' in result.stderr
    assert "SyntaxError" in result.stderr
    assert result.stderr.endswith("perdure: the code does not import, see above\n")


def test_a_port_in_use_is_told_so(tmp_path: Path) -> None:
    (tmp_path / "port_app.py").write_text(APP)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])

        result = CliRunner().invoke(main, ["dev", str(tmp_path), "--host", "127.0.0.1", "--port", port])

    assert result.exit_code == 1
    assert f"port {port} on `127.0.0.1` is in use" in result.stderr


def test_help_loads_neither_server_nor_sandbox() -> None:
    code = (
        "import sys, perdure.cli; print([name for name in ('asyncio', 'wasmtime', 'uvicorn') if name in sys.modules])"
    )

    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout

    assert shown == "[]\n"


@pytest.mark.parametrize(
    "arguments", [["alarms"], ["alarms", "list"], ["alarms", "--json"], ["alarms", "--limit", "5"]]
)
def test_alarms_alone_lists_them(tmp_path: Path, arguments: list[str]) -> None:
    result = CliRunner().invoke(main, [*arguments, "--data", str(tmp_path)])

    assert result.exit_code == 1
    assert "is no data directory" in result.output


def test_alarms_shows_its_help_and_refuses_what_it_does_not_know() -> None:
    assert "cancel" in CliRunner().invoke(main, ["alarms", "--help"]).output
    assert CliRunner().invoke(main, ["alarms", "lsit"]).exit_code == 2


def test_a_time_of_an_alarm_may_be_past(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["alarms", "set", "A/b", "-1h", "--data", str(tmp_path)])

    assert "is no data directory" in result.output


@pytest.mark.parametrize(
    "command", [["diff", "A/b", "yesterday"], ["rewind", "A/b", "00-11"], ["history", "A/b", "--before", "-1"]]
)
def test_what_is_no_moment_is_refused_before_anybody_is_asked(tmp_path: Path, command: list[str]) -> None:
    result = CliRunner().invoke(main, [*command, "--data", str(tmp_path)])

    assert result.exit_code == 1
    assert "is no moment: give a bookmark" in result.output
