"""The commands for whoever operates a data directory, and their options. What they do is imported when one runs.

Each asks the running server, or opens the files of a stopped one. Effects: none.
"""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Final

import click

from perdure.limits import ADMIN_ITEMS_DEFAULT, ADMIN_ITEMS_MAX, COMMITS_LISTED_MAX

_OBJECT_HELP: Final = (
    "OBJECT is `Class/name`, `Class/ID` or `#ID` (the ID may be cut short); `:facet/path` behind it names a facet."
)
_MOMENT_HELP: Final = (
    f"A moment is a bookmark, a time (ISO 8601, UTC unless it says otherwise), `-30s`, `-2h` or `now`. {_OBJECT_HELP}"
)
_DISTANCE: Final = re.compile(r"-[0-9]+(ms|s|m|h|d)")
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
_at = click.option("--at", default="", metavar="MOMENT", help="As it was at a bookmark or a time.")


class _MomentsCommand(click.Command):
    """A command among whose arguments `-2h` is a time, not the options `-2` and `-h`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        return super().parse_args(ctx, [f"now{arg}" if _DISTANCE.fullmatch(arg) else arg for arg in args])


class _AlarmsGroup(click.Group):
    """`perdure alarms` alone lists them."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        is_own = bool(args) and (args[0] in self.commands or args[0] in ctx.help_option_names)
        is_mistaken = bool(args) and not args[0].startswith("-")
        return super().parse_args(ctx, args if is_own or is_mistaken else ["list", *args])


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
@_at
@_limit
@_data
@_json
def sql(
    object_: str,
    query: str,
    bindings: tuple[str, ...],
    at: str,
    limit: int,
    data: Path,
    *,
    may_write: bool,
    as_json: bool,
) -> None:
    """Run QUERY in the database of OBJECT, as the object's own code could; BINDINGS are for its `?`, as text.

    A live object is asked between two of its turns, a cold one stays cold.
    """
    _operations().sql(object_, query, bindings, may_write=may_write, at=at, limit=limit, data=data, as_json=as_json)


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


@click.group(cls=_AlarmsGroup, epilog=_OBJECT_HELP)
def alarms() -> None:
    """List, cancel and set alarms. Without a command it lists them."""


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


@alarms.command("set", cls=_MomentsCommand, epilog=_OBJECT_HELP)
@_object
@click.argument("time")
@_data
@_json
def set_alarm(object_: str, time: str, data: Path, *, as_json: bool) -> None:
    """Set the alarm of OBJECT to TIME: ISO 8601 (UTC unless it says otherwise), or `+10m`, `+2h` from now.

    A past time is now.
    """
    _operations().set_alarm(object_, time, data=data, as_json=as_json)


@click.command()
@_data
@_json
def stats(data: Path, *, as_json: bool) -> None:
    """Show what is in memory, and what the journal holds."""
    _operations().stats(data=data, as_json=as_json)


@click.command(epilog=_OBJECT_HELP)
@_object
@click.option("--before", default="", metavar="MOMENT", help="Until a bookmark or a time.")
@click.option(
    "--limit", type=click.IntRange(1, COMMITS_LISTED_MAX), default=50, show_default=True, help="How many at most."
)
@_data
@_json
def history(object_: str, before: str, limit: int, data: Path, *, as_json: bool) -> None:
    """List the commits of OBJECT, the newest first, each with its bookmark, time and cause.

    An object and its facets have one history.
    """
    _operations().history(object_, before=before, limit=limit, data=data, as_json=as_json)


@click.command(cls=_MomentsCommand, epilog=_MOMENT_HELP)
@_object
@click.argument("before", metavar="A")
@click.argument("after", metavar="[B]", default="")
@_data
@_json
def diff(object_: str, before: str, after: str, data: Path, *, as_json: bool) -> None:
    """Show what became of OBJECT between the moments A and B (now).

    A time before OBJECT was made is its empty beginning.
    """
    _operations().diff(object_, before, after, data=data, as_json=as_json)


@click.command(cls=_MomentsCommand, epilog=_MOMENT_HELP)
@_object
@click.argument("to", metavar="TO")
@_data
@_json
def rewind(object_: str, to: str, data: Path, *, as_json: bool) -> None:
    """Bring OBJECT, or a facet with all below it, back to the moment TO.

    It takes back everything since, also what others wrote meanwhile, and brings back the alarm of then: one whose time
    has come fires at once.
    """
    _operations().rewind(object_, to, data=data, as_json=as_json)


@click.command(epilog=_MOMENT_HELP)
@_object
@click.argument("name", metavar="NEW")
@_at
@_data
@_json
def fork(object_: str, name: str, at: str, data: Path, *, as_json: bool) -> None:
    """Make an object called NEW, of the same class, of what OBJECT is or was: data, facets and alarms."""
    _operations().fork(object_, name, at=at, data=data, as_json=as_json)


@click.command(epilog=_MOMENT_HELP)
@_object
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@_at
@_data
@_json
def export(object_: str, file: Path, at: str, data: Path, *, as_json: bool) -> None:
    """Write OBJECT with its facets to a new FILE."""
    _operations().export(object_, file, at=at, data=data, as_json=as_json)


@click.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("object_", metavar="CLASS/NAME")
@_data
@_json
def import_(file: Path, object_: str, data: Path, *, as_json: bool) -> None:
    """Make a new object of a FILE that `perdure export` wrote, here or elsewhere."""
    _operations().import_(file, object_, data=data, as_json=as_json)


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


OPERATOR_COMMANDS: Final = (
    ls,
    tree,
    sql,
    kv,
    alarms,
    history,
    diff,
    rewind,
    fork,
    export,
    import_,
    delete,
    doctor,
    stats,
)
