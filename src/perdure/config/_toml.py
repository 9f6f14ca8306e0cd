"""TOML, read into a tree with places.

Python's reader gives no places; the lines of headers and keys are looked for afterwards, in text that is known to be
well-formed. What stands inside a value has the place of the key before it.
Effects: none.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from typing import Final

from perdure.config._tree import Node, Place, Value
from perdure.errors import ConfigurationError

Path = tuple[str | int, ...]

_AT: Final = re.compile(r"(.*) \(at (?:line (\d+), column (\d+)|end of document)\)", re.DOTALL)
_KEY: Final = r"""(?:[A-Za-z0-9_-]+|"[^"\n]*"|'[^'\n]*')"""
_DOTTED: Final = rf"{_KEY}(?:[ \t]*\.[ \t]*{_KEY})*"
_HEADER: Final = re.compile(rf"[ \t]*(\[\[?)[ \t]*({_DOTTED})[ \t]*\]")
_ASSIGNMENT: Final = re.compile(rf"[ \t]*({_DOTTED})[ \t]*=[ \t]*")
_PART: Final = re.compile(_KEY)
_OPENING: Final = re.compile(r'"""|\'\'\'')


def read_toml(text: str, file: str) -> Node:
    """The table that `text` holds. Raises ConfigurationError that says where it is malformed."""
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        message, line, column = str(error), 0, 0
        match = _AT.fullmatch(message)
        if match:
            message, line, column = match[1], int(match[2] or 0), int(match[3] or 0)
        lines = text.splitlines()[line - 1 : line] if line else text.splitlines()[-1:]
        shown = f", in `{lines[0].strip()[:80]}`" if lines else ""
        raise ConfigurationError(f"{Place(file, line, column)}: {message}{shown}") from None
    except RecursionError:
        raise ConfigurationError(f"{file}: values are nested too deeply") from None
    return _node(table, (), Place(file, 1, 1), dict(_places(text, file)))


def _node(value: object, path: Path, outer: Place, places: dict[Path, Place]) -> Node:
    place = places.get(path, outer)
    node: Value
    match value:
        case dict():
            node = {key: _node(item, (*path, key), place, places) for key, item in value.items()}
        case list():
            node = [_node(item, (*path, index), place, places) for index, item in enumerate(value)]
        case str() | bool() | int() | float():
            node = value
        case _:  # A date or a time.
            node = str(value)
    return Node(node, place)


def _places(text: str, file: str) -> Iterator[tuple[Path, Place]]:
    """Where each table and key of a well-formed text stands."""
    table: Path = ()
    counts: dict[Path, int] = {}
    closing = ""  # of a text of several lines that is open
    for number, line in enumerate(text.splitlines(), start=1):
        if closing:
            closing = "" if closing in line else closing
            continue
        header, assignment = _HEADER.match(line), _ASSIGNMENT.match(line)
        if header:
            table = _located(_parts(header[2]), counts)
            if header[1] == "[[":
                counts[table] = counts.get(table, -1) + 1
                table = (*table, counts[table])
            yield table, Place(file, number, line.index("[") + 1)
        elif assignment:
            path = (*table, *_parts(assignment[1]))
            yield path, Place(file, number, assignment.end() + 1)
            opening = _OPENING.match(line, assignment.end())
            if opening and line.count(opening[0]) == 1:
                closing = opening[0]


def _located(parts: Path, counts: dict[Path, int]) -> Path:
    """The path of a header: where a list of tables is on the way, its latest one is meant."""
    path: Path = ()
    for index, part in enumerate(parts):
        path = (*path, part)
        if path in counts and index < len(parts) - 1:
            path = (*path, counts[path])
    return path


def _parts(dotted: str) -> Path:
    return tuple(part.strip("\"'") for part in _PART.findall(dotted))
