"""The commands and their options. What they do is imported when one runs, so that --help is instant. Effects: none."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from types import ModuleType

import click

from perdure import __version__
from perdure.cli._operator import OPERATOR_COMMANDS
from perdure.limits import DRAIN_S

_targets = click.argument("targets", metavar="[PATH[:NAME]]...", nargs=-1)
_environment = click.option("--env", "environment", metavar="NAME", help="Environment of the configuration file.")
_host = click.option("--host", default="localhost", show_default=True, help="Address to listen on.")
_port = click.option(
    "--port", type=click.IntRange(0, 65535), default=8787, show_default=True, help="Port; 0 takes a free one."
)
_data = click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    help="Directory that keeps everything; `.perdure` beside the app unless the app says otherwise.",
)
_adopt = click.option(
    "--adopt-changed-files",
    is_flag=True,
    help="Take databases as they are that another program changed, or a restore gave another time.",
)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, message="perdure %(version)s")
def main() -> None:
    """Durable Objects for Python, and sandboxed apps with a database each."""


@main.command()
@_targets
@_environment
@_host
@_port
@_data
@_adopt
def dev(
    targets: tuple[str, ...],
    environment: str | None,
    host: str,
    port: int,
    data: Path | None,
    *,
    adopt_changed_files: bool,
) -> None:
    """Serve PATH and reload it when it is saved.

    PATH is a folder with a wrangler.jsonc, .json or .toml, or a pyproject.toml with [tool.perdure]; several such
    folders are served together, and the first answers. Or it is a Python file, or a folder with a `main.py`, that
    holds a Platform, an ASGI app that mounts one, or DurableObject classes with a `Default` entry point or a `fetch`
    function.
    """
    commands = _commands()
    wanted = commands.wanted(targets, environment, data)
    commands.dev(wanted, host=host, port=port, adopt_changed_files=adopt_changed_files)


@main.command()
@_targets
@_environment
@_host
@_port
@_data
@_adopt
@click.option(
    "--drain",
    "drain_s",
    type=click.FloatRange(min=1),
    default=DRAIN_S,
    show_default=True,
    help="Seconds that a stop waits for requests under way.",
)
def serve(
    targets: tuple[str, ...],
    environment: str | None,
    host: str,
    port: int,
    data: Path | None,
    drain_s: float,
    *,
    adopt_changed_files: bool,
) -> None:
    """Serve PATH in production: no reload, errors are shown as ids, SIGTERM stops in order."""
    commands = _commands()
    wanted = commands.wanted(targets, environment, data)
    commands.serve(wanted, host=host, port=port, drain_s=drain_s, adopt_changed_files=adopt_changed_files)


@main.command()
def warmup() -> None:
    """Compile the sandboxes now, so that the first start need not."""
    _commands().warmup()


for _command in OPERATOR_COMMANDS:
    main.add_command(_command)


def _commands() -> ModuleType:
    return import_module("perdure.cli._commands")
