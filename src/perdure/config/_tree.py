"""A file's values, each with its place: what the readers of JSON and TOML give, and errors point at.

Effects: none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NoReturn, TypeAlias

from perdure.errors import ConfigurationError

Value: TypeAlias = "str | int | float | bool | list[Node] | dict[str, Node] | None"


@dataclass(frozen=True, slots=True)
class Place:
    """Where something stands in a file; lines and columns count from 1, 0 is unknown."""

    file: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        if not self.line:
            return self.file
        return f"{self.file}:{self.line}:{self.column}" if self.column else f"{self.file}:{self.line}"

    def refuse(self, text: str) -> NoReturn:
        """Raise ConfigurationError that begins with this place."""
        raise ConfigurationError(f"{self}: {text}")


@dataclass(frozen=True, slots=True)
class Node:
    """One value, with the nodes inside it."""

    value: Value
    place: Place

    @property
    def kind(self) -> str:
        """What it is, for people."""
        match self.value:
            case None:
                return "null"
            case bool():
                return "a boolean"
            case int() | float():
                return "a number"
            case str():
                return "a text"
            case list():
                return "a list"
            case _:
                return "a table"

    def shown(self) -> str:
        """The value as it is quoted in an error: short."""
        match self.value:
            case list() | dict():
                return self.kind
            case str():
                return f"`{self.value[:80]}`"
            case None:
                return "`null`"
            case bool():
                return f"`{str(self.value).lower()}`"
            case _:
                return f"`{self.value}`"

    def plain(self) -> object:
        """The value without places."""
        match self.value:
            case list():
                return [item.plain() for item in self.value]
            case dict():
                return {key: item.plain() for key, item in self.value.items()}
            case _:
                return self.value
