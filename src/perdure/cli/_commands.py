"""What the commands do. Effects: process, disk, network."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final

import click

from perdure import __version__
from perdure.cli._logging import log_to_stderr
from perdure.errors import InternalError, PerdureError, RemoteError, SourceError
from perdure.isolates import Isolates
from perdure.server import Found, LiveApp, Platform, Wanted, discover, listen, reload_on_save, run
from perdure.server import serve as serve_live

_EVERY_ADDRESS: Final = frozenset({"0.0.0.0", "::", "127.0.0.1", "::1"})  # noqa: S104  # compared, not bound


def dev(wanted: Wanted, *, host: str, port: int, adopt_changed_files: bool) -> None:
    """Serve and reload on save, until interrupted."""
    log_to_stderr()
    with errors_for_people():
        found, tree = discover(wanted, platform_type=Platform)
        _prepare(found, is_development=True, adopt_changed_files=adopt_changed_files)
        sockets = listen(host, port)
        live = LiveApp(found)
        keeping_data = replace(wanted, data=found.platform.data)
        reloading = partial(reload_on_save, live, tree, keeping_data, platform_type=Platform)
        url = _url(host, sockets[0].getsockname()[1])
        run(serve_live(live, sockets, on_ready=partial(_greet, found, url), beside=reloading))
    click.echo("stopped", err=True)


def serve(wanted: Wanted, *, host: str, port: int, drain_s: float, adopt_changed_files: bool) -> None:
    """Serve until SIGTERM."""
    log_to_stderr()
    with errors_for_people():
        found, _ = discover(wanted, platform_type=Platform)
        _prepare(found, is_development=False, adopt_changed_files=adopt_changed_files)
        sockets = listen(host, port)
        url = _url(host, sockets[0].getsockname()[1])
        live = LiveApp(found)
        ready = serve_live(live, sockets, on_ready=partial(_greet, found, url), drain_s=drain_s, is_behind_proxy=True)
        run(ready)


def warmup() -> None:
    """Compile the sandboxes into the user's cache."""
    with errors_for_people():
        isolates = Isolates(on_progress=click.echo)
        try:
            isolates.warm_up()
        finally:
            isolates.close()
    click.echo("the sandboxes are compiled: the next start is quick")


def wanted(targets: Sequence[str], environment: str | None, data: Path | None) -> Wanted:
    """What is to be served, as the command line says it."""
    return Wanted(list(targets) or ["."], environment, None if data is None else data.resolve())


def _prepare(found: Found, *, is_development: bool, adopt_changed_files: bool) -> None:
    found.platform.is_development = is_development
    if adopt_changed_files:
        found.platform.adopt_changed_files = True


def _greet(found: Found, url: str) -> None:
    platform = found.platform
    click.echo(f"perdure {__version__} · {found.description}\n  {url}")
    habits = "reloads on save; Ctrl-C stops" if platform.is_development else "SIGTERM or Ctrl-C stops"
    click.echo(f"  data in {platform.data}; {habits}")


def _url(host: str, port: int) -> str:
    name = "localhost" if host in _EVERY_ADDRESS else host
    return f"http://[{name}]:{port}" if ":" in name else f"http://{name}:{port}"


@contextmanager
def errors_for_people(*, as_json: bool = False) -> Iterator[None]:
    """Errors whose text says what to do are shown as that text; a bug of ours keeps its traceback."""
    try:
        yield
    except InternalError:
        raise
    except SourceError as error:
        click.echo(f"{error}\n\nperdure: the code does not import, see above", err=True)
        sys.exit(1)
    except PerdureError as error:
        if as_json:
            code = error.remote_code if isinstance(error, RemoteError) else error.code
            click.echo(json.dumps({"error": {"code": code, "text": str(error)}}))
        else:
            click.echo(f"perdure: {error}", err=True)
        sys.exit(1)
