"""Reads a table of a configuration key by key, and remembers which keys nobody asked for. Effects: none."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from typing import Final

from perdure.config._tree import Node, Place

_QUOTED_MAX: Final = 30


class Table:
    """A table at `path`. What is missing gives None; what has a wrong type is refused where it stands."""

    def __init__(self, node: Node, path: str = "") -> None:
        self.place: Place = node.place
        self.path = path
        if not isinstance(node.value, dict):
            node.place.refuse(f"{path or 'the configuration'} is a table, not {node.kind}")
        self._nodes = node.value
        self._asked: set[str] = set()

    def node(self, key: str) -> Node | None:
        """The value of a key."""
        self._asked.add(key)
        return self._nodes.get(key)

    def place_of(self, key: str) -> Place:
        """Where the value of a key stands; for what is missing, the table."""
        node = self._nodes.get(key)
        return self.place if node is None else node.place

    def text(self, key: str) -> str | None:
        """A text with at least one character."""
        node = self.node(key)
        if node is None:
            return None
        if not isinstance(node.value, str):
            node.place.refuse(f"`{self._named(key)}` is a text, not {node.kind} ({node.shown()})")
        if not node.value.strip():
            node.place.refuse(f"`{self._named(key)}` is empty: give it a value, or leave the key out")
        return node.value

    def required_text(self, key: str, example: str) -> str:
        """A text that must be there."""
        text = self.text(key)
        if text is None:
            self.place.refuse(f"`{self._named(key)}` is missing, such as `{example}`")
        return text

    def flag(self, key: str) -> bool:
        """A boolean; false when it is missing."""
        node = self.node(key)
        if node is None:
            return False
        if not isinstance(node.value, bool):
            node.place.refuse(f"`{self._named(key)}` is true or false, not {node.kind} ({node.shown()})")
        return node.value

    def number(self, key: str, *, least: int, most: int) -> int | None:
        """A whole number between two bounds, both included."""
        node = self.node(key)
        if node is None:
            return None
        value = node.value
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            node.place.refuse(f"`{self._named(key)}` is a whole number from {least} to {most}, not {node.shown()}")
        return value

    def texts(self, key: str) -> list[tuple[str, Place]]:
        """A list of texts, each with its place."""
        texts = []
        for item, name in self._items(key):
            if not isinstance(item.value, str) or not item.value.strip():
                item.place.refuse(f"`{name}` is a text with a character at least, not {item.kind} ({item.shown()})")
            texts.append((item.value, item.place))
        return texts

    def table(self, key: str) -> Table | None:
        """A table inside this one."""
        node = self.node(key)
        return None if node is None else Table(node, self._named(key))

    def tables(self, key: str) -> list[Table]:
        """A list of tables; empty when it is missing."""
        return [Table(item, name) for item, name in self._items(key)]

    def keys(self) -> list[str]:
        """All keys there are."""
        return list(self._nodes)

    def unknown(self) -> Iterator[tuple[str, Place, str]]:
        """The keys that nobody asked for: their full names, their places, and what may have been meant."""
        for key, node in self._nodes.items():
            if key not in self._asked:
                near = difflib.get_close_matches(key, self._asked, n=1)
                yield self._named(key), node.place, near[0] if near else ""

    def _items(self, key: str) -> Iterator[tuple[Node, str]]:
        node = self.node(key)
        if node is None:
            return
        name = self._named(key)
        if not isinstance(node.value, list):
            node.place.refuse(f"`{name}` is a list, not {node.kind} ({node.shown()})")
        for index, item in enumerate(node.value):
            yield item, f"{name}[{index}]"

    def _named(self, key: str) -> str:
        return f"{self.path}.{key[:_QUOTED_MAX]}" if self.path else key[:_QUOTED_MAX]
