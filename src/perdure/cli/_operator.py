"""The commands for whoever operates a data directory, and their options. What they do is imported when one runs.

Each asks the running server, or opens the files of a stopped one. Effects: none.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Final

import click

from perdure.limits import ADMIN_ITEMS_DEFAULT, ADMIN_ITEMS_MAX

_OBJECT_HELP: Final = (
    "OBJECT is `Class/name`, `Class/ID` or `#ID` (the ID may be cut short); `:facet/path` behind it names a facet."
)
_data = click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    default=".perdure",
    show_default=True,
    envvar="PERDURE_DATA",
    help="The data directory.",
)
_json = click.option("--json", "as_json", is_flag=True, help="One JSON document instead of text for people.")
_limit = click.option(
    "--limit",
    type=click.IntRange(1, ADMIN_ITEMS_MAX),
    default=ADMIN_ITEMS_DEFAULT,
    show_default=True,
    help="How many at most.",
)
_after = click.option("--after", default="", help="Go on behind this place, as the answer before said.")
_object = click.argument("object_", metavar="OBJECT")


@click.command(epilog=_OBJECT_HELP)
@click.argument("pattern", metavar="[CLASS[/PREFIX]]", default="")
@_limit
@_after
@_data
@_json
def ls(pattern: str, limit: int, after: str, data: Path, *, as_json: bool) -> None:
    """List objects: all, those of CLASS, or those whose name or id begins with PREFIX."""
    _operations().ls(pattern, limit=limit, after=after, data=data, as_json=as_json)


@click.command(epilog=_OBJECT_HELP)
@_object
@_data
@_json
def tree(object_: str, data: Path, *, as_json: bool) -> None:
    """Show OBJECT and its facets, with the sizes of their databases."""
    _operations().tree(object_, data=data, as_json=as_json)


@click.command(epilog=_OBJECT_HELP)
@_object
@click.argument("query")
@click.argument("bindings", nargs=-1)
@click.option("--write", "may_write", is_flag=True, help="Let the query write; without it, it can only read.")
@_limit
@_data
@_json
def sql(
    object_: str, query: str, bindings: tuple[str, ...], limit: int, data: Path, *, may_write: bool, as_json: bool
) -> None:
    """Run QUERY in the database of OBJECT, as the object's own code could; BINDINGS are for its `?`, as text.

    A live object is asked between two of its turns, a cold one stays cold.
    """
    _operations().sql(object_, query, bindings, may_write=may_write, limit=limit, data=data, as_json=as_json)


@click.command(epilog=_OBJECT_HELP)
@_object
@click.argument("prefix", default="")
@_limit
@_after
@_data
@_json
def kv(object_: str, prefix: str, limit: int, after: str, data: Path, *, as_json: bool) -> None:
    """List the key-value entries of OBJECT whose keys begin with PREFIX."""
    _operations().kv(object_, prefix, limit=limit, after=after, data=data, as_json=as_json)


@click.command(epilog=_OBJECT_HELP)
@_object
@click.option("--yes", "is_confirmed", is_flag=True, help="Also when it cannot be undone.")
@_data
@_json
def delete(object_: str, data: Path, *, is_confirmed: bool, as_json: bool) -> None:
    """Delete OBJECT with all its facets, or one facet with all below it.

    Its instance is reset first; what is called under way fails.
    """
    _operations().delete(object_, is_confirmed=is_confirmed, data=data, as_json=as_json)


@click.group(epilog=_OBJECT_HELP)
def alarms() -> None:
    """List, cancel and set alarms."""


@alarms.command("list", epilog=_OBJECT_HELP)
@click.argument("object_", metavar="[OBJECT]", default="")
@_limit
@_after
@_data
@_json
def list_alarms(object_: str, limit: int, after: str, data: Path, *, as_json: bool) -> None:
    """List pending alarms, the earliest first; with OBJECT, those of it and its facets."""
    _operations().list_alarms(object_, limit=limit, after=after, data=data, as_json=as_json)


@alarms.command("cancel", epilog=_OBJECT_HELP)
@_object
@_data
@_json
def cancel_alarm(object_: str, data: Path, *, as_json: bool) -> None:
    """Cancel the alarm of OBJECT."""
    _operations().cancel_alarm(object_, data=data, as_json=as_json)


@alarms.command("set", epilog=_OBJECT_HELP)
@_object
@click.argument("time")
@_data
@_json
def set_alarm(object_: str, time: str, data: Path, *, as_json: bool) -> None:
    """Set the alarm of OBJECT to TIME: ISO 8601 (UTC unless it says otherwise), or `+10m`, `+2h` from now."""
    _operations().set_alarm(object_, time, data=data, as_json=as_json)


@click.command()
@_data
@_json
def stats(data: Path, *, as_json: bool) -> None:
    """Show what is in memory, and what the journal holds."""
    _operations().stats(data=data, as_json=as_json)


@click.command()
@click.option("--repair", "may_repair", is_flag=True, help="Repair what can be repaired without losing anything.")
@_data
@_json
def doctor(data: Path, *, may_repair: bool, as_json: bool) -> None:
    """Check a data directory; the exit code is 1 when something is wrong.

    Of a stopped one everything is checked: the lock, the journal and its chains, each database, facets, alarms, the
    history, files that nobody knows. A running server checks what it can of itself. Repairs need a stopped one; they
    move what nobody knows to `lost+found`, and delete nothing.
    """
    _operations().doctor(data=data, may_repair=may_repair, as_json=as_json)


def _operations() -> ModuleType:
    return import_module("perdure.cli._operations")


OPERATOR_COMMANDS: Final = (ls, tree, sql, kv, alarms, delete, doctor, stats)
