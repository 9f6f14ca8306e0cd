"""The identity of an object, as its owner and its callers see it. Effects: none."""

from __future__ import annotations


class ObjectId:
    """The identity of an object: 64 hex digits, and the name it was made from when there was one."""

    __slots__ = ("jurisdiction", "name", "text")

    def __init__(self, text: str, *, name: str | None = None, jurisdiction: str | None = None) -> None:
        self.text = text
        self.name = name
        self.jurisdiction = jurisdiction

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return f"ObjectId({self.text!r}, name={self.name!r})"

    def equals(self, other: object) -> bool:
        """True when both mean the same object; names are not compared."""
        return isinstance(other, ObjectId) and other.text == self.text

    __eq__ = equals

    def __hash__(self) -> int:
        return hash(self.text)
