"""ObjectName: an object's name, as somebody told it or the journal remembers it, and whether the journal has it yet.

Effects: none.
"""

from __future__ import annotations


class ObjectName:
    """See the module. `known`: the name, or None as long as nobody told it."""

    def __init__(self, known: str | None = None) -> None:
        self.known = known
        self._in_journal: str | None = None

    def tell(self, name: str) -> None:
        """Somebody told it. A name that has no place in a table is not kept."""
        if is_storable_name(name):
            self.known = name

    def remember(self, name: str | None) -> None:
        """What the journal has; what somebody told meanwhile stands."""
        self._in_journal = name
        self.known = self.known or name

    def take_untold(self) -> str | None:
        """The name, when the journal does not have it; from now on it has."""
        former, self._in_journal = self._in_journal, self.known
        return None if self.known == former else self.known


def is_storable_name(name: str) -> bool:
    """Whether it is proper Unicode: a lone surrogate, which JavaScript allows, has no place in a table."""
    return not any("\ud800" <= character <= "\udfff" for character in name)
