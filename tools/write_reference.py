"""Writes the pages of docs/reference that repeat what the code says: limits, errors, API, command line.

`python tools/write_reference.py` writes them; with `--check` it only says which are out of date, and fails.
Effects: disk, terminal.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import click

ROOT = Path(__file__).resolve().parent.parent
REFERENCE = ROOT / "docs" / "reference"
GENERATED = "<!-- Written by tools/write_reference.py from the code; change the code, then run that. -->"
DOORS = ("perdure", "perdure.testing")
# What user code is handed rather than imports, by the door of the room that makes it.
HANDED = {
    "perdure.api": (
        "Context", "WorkerContext", "ObjectId", "Storage", "Kv", "Sql", "Cursor", "Facets", "FacetStub",
        "DurableObjectClass", "Loader", "WorkerStub", "Stub", "Namespace", "ObjectStub", "SyncTransaction",
    ),
}  # fmt: skip

CONSTANT = re.compile(r"(?P<name>[A-Z][A-Z0-9_]*): Final = (?P<value>.+?)(?:  # (?P<reason>.+))?$")
SECTION = re.compile(r"# ── (?P<title>[^─]+?) ─+$")


def limits_page() -> str:
    """Every number of `limits.py`, by section, with its reason."""
    limits = importlib.import_module("perdure.limits")
    lines = [
        "# Limits",
        "",
        GENERATED,
        "",
        "Every number that bounds something. Names are those of `perdure.limits`.",
        "",
    ]
    for line in (ROOT / "src" / "perdure" / "limits.py").read_text(encoding="utf-8").splitlines():
        if section := SECTION.match(line):
            title = re.sub(r" \(spec[^)]*\)", "", section["title"])
            lines += ["", f"## {title[0].upper()}{title[1:]}", "", "| name | value | why |", "| --- | --- | --- |"]
        elif (constant := CONSTANT.match(line)) and constant["name"] not in {"KIB", "MIB"}:
            value = getattr(limits, constant["name"])
            shown = in_words(constant["name"], value)
            lines.append(f"| `{constant['name']}` | {shown} | {constant['reason'] or ''} |")
    return "\n".join(lines) + "\n"


def in_words(name: str, value: object) -> str:
    """A number as a person writes it: sizes in MiB, times with their unit."""
    assert isinstance(value, int | float), name
    if "BYTES" in name and isinstance(value, int):
        for size, unit in ((1024**3, "GiB"), (1024**2, "MiB"), (1024, "KiB")):
            if value % size == 0:
                return f"{value // size} {unit}"
        return f"{value:,} bytes"
    if name.endswith("_S"):
        return f"{value:g} s"
    if "_MS" in name:
        return f"{value:,} ms"
    return f"{value:,}"


def errors_page() -> str:
    """The exception tree, in the order of `errors.py`."""
    errors = importlib.import_module("perdure.errors")
    source = (ROOT / "src" / "perdure" / "errors.py").read_text(encoding="utf-8")
    lines = ["# Errors", "", GENERATED, "", first_paragraph(errors).replace("\n", " "), ""]
    lines += ["| exception | code | when |", "| --- | --- | --- |"]
    for node in ast.parse(source).body:
        if isinstance(node, ast.ClassDef):
            error = getattr(errors, node.name)
            depth = sum(1 for base in error.__mro__ if base.__module__ == "perdure.errors") - 1
            indent = "· " * depth
            lines.append(f"| {indent}`{node.name}` | `{error.code}` | {first_paragraph(error)} |")
    return "\n".join(lines) + "\n"


def api_page() -> str:
    """The public names of the users' doors, with their promises."""
    lines = ["# Public API", "", GENERATED, ""]
    for door in DOORS:
        if not (ROOT / "src" / Path(*door.split(".")) / "__init__.py").exists():
            continue
        lines += [f"## `{door}`", ""]
        module = importlib.import_module(door)
        for name in sorted(public_names(door)):
            lines += list(entry(name, getattr(module, name)))
    lines += ["## What `ctx` and `env` hold", "", "Handed to user code, never constructed by it.", ""]
    for door, names in HANDED.items():
        for name in names:
            lines += list(entry(name, getattr(importlib.import_module(door), name)))
    return "\n".join(lines).rstrip() + "\n"


def public_names(door: str) -> list[str]:
    """The names a door re-exports, read from its source so that a lazy door counts too."""
    path = ROOT / "src" / Path(*door.split(".")) / "__init__.py"
    return [
        alias.asname
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if alias.asname is not None and not alias.asname.startswith("_")
    ]


def entry(name: str, value: object) -> Iterator[str]:
    """One public name: signature, docstring, and its public methods by their first lines."""
    yield f"### `{name}{signature(value)}`"
    yield ""
    yield inspect.getdoc(value) or ""
    yield ""
    if inspect.isclass(value) and not issubclass(value, BaseException):
        described = [
            f"- `{member}{signature(each)}` {first_paragraph(each)}" for member, each in members(value).items()
        ]
        yield from [*described, ""] if described else []


def members(value: type) -> dict[str, object]:
    """The public methods and properties of a class that have a docstring, its own before those it inherits."""
    found: dict[str, object] = {}
    for kind in value.__mro__:
        if kind.__module__.startswith("perdure"):
            for member, each in vars(kind).items():
                is_method = callable(each) or isinstance(each, property | classmethod | staticmethod)
                if not member.startswith("_") and is_method and inspect.getdoc(each):
                    found.setdefault(member, each)
    return found


def signature(value: object) -> str:
    """The signature of a function or method; nothing for what has none worth reading."""
    function = value.__func__ if isinstance(value, classmethod | staticmethod) else value
    if isinstance(function, property) or inspect.isclass(function) or not callable(function):
        return ""
    whole = inspect.signature(function)
    parameters = [
        each.replace(annotation=AsWritten(each.annotation)) if isinstance(each.annotation, str) else each
        for each in whole.parameters.values()
        if each.name not in {"self", "cls"}
    ]
    text = str(whole.replace(parameters=parameters, return_annotation=inspect.Signature.empty))
    return re.sub(r"<object object at 0x[0-9a-f]+>", "…", text)  # a default that only says that nothing was given


class AsWritten:
    """An annotation that is printed as its source has it, without quotes."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return self.text


def first_paragraph(value: object) -> str:
    return " ".join((inspect.getdoc(value) or "").partition("\n\n")[0].split())


def command_line_page() -> str:
    """Every command of `perdure`, with its arguments and options."""
    main = importlib.import_module("perdure.cli").main
    lines = ["# Command line", "", GENERATED, "", "`perdure COMMAND --help` says the same.", ""]
    for name, command in sorted(main.commands.items()):
        lines += command_entry(f"perdure {name}", command)
    return "\n".join(lines).rstrip() + "\n"


def command_entry(name: str, command: click.Command) -> list[str]:
    """One command: how it is called, what it does, its options; then those below it."""
    context = click.Context(command, info_name=name)
    lines = [f"## `{' '.join([name, *command.collect_usage_pieces(context)])}`", ""]
    lines += [inspect.cleandoc(command.help or ""), ""]
    options = [option for option in command.params if isinstance(option, click.Option)]
    for option in options:
        names, text = option.get_help_record(context) or ("", "")
        lines.append(f"- `{names}` {text}")
    lines += [""] if options else []
    if command.epilog:
        lines += [command.epilog, ""]
    if isinstance(command, click.Group):
        for below, each in sorted(command.commands.items()):
            lines += command_entry(f"{name} {below}", each)
    return lines


PAGES: dict[str, Callable[[], str]] = {
    "limits.md": limits_page,
    "errors.md": errors_page,
    "api.md": api_page,
    "command-line.md": command_line_page,
}


def outdated() -> list[str]:
    """The pages that do not say what the code says."""
    return [name for name, page in PAGES.items() if read(REFERENCE / name) != page()]


def read(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.exists() else ""


def main() -> int:
    old = outdated()
    if "--check" in sys.argv[1:]:
        for name in old:
            print(f"docs/reference/{name} is out of date: python tools/write_reference.py")
        return 1 if old else 0
    REFERENCE.mkdir(parents=True, exist_ok=True)
    for name in old:
        (REFERENCE / name).write_text(PAGES[name](), encoding="utf-8")
        print(f"wrote docs/reference/{name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
