"""Capabilities: what a session has lent to its peer and borrowed from it, with references counted on both sides.

Whoever lends a function, a target or a service gives it a number that is never used again. Each time it is sent the
peer holds one reference more; the peer gives back as many as it has seen, so that what is still on its way is never
lost. Effects: none.
"""

from __future__ import annotations

from typing import Final, Generic, Protocol, TypeVar

from perdure.errors import OverloadedError, UsageError
from perdure.limits import RPC_CAPABILITIES_MAX

C = TypeVar("C")

FUNCTION: Final = "function"
TARGET: Final = "target"
SERVICE: Final = "service"
CAPABILITY_KINDS: Final = frozenset({FUNCTION, TARGET, SERVICE})
"""A function; an RpcTarget; something with `fetch()`, whose references are nobody's to dispose of."""


class Introducer(Protocol):
    """Writes what is passed by reference, for one message."""

    def introduce(self, value: object) -> list[object] | None:
        """The expression that stands for `value`, None if it is passed by copy or not at all."""
        ...

    def mark(self) -> int: ...
    def rewind(self, mark: int) -> None:
        """What was introduced after `mark` is not part of the message."""
        ...


class Resolver(Protocol):
    """Reads what was passed by reference."""

    def resolve(self, expression: list[object]) -> object:
        """What an `export`, `import` or `channel` expression stands for. Raises UsageError, ValueError, LookupError."""
        ...


class Channels(Introducer, Resolver, Protocol):
    """Both, for what may be stored: stubs that can be established again."""


class _Lent(Generic[C]):
    __slots__ = ("capability", "count")

    def __init__(self, capability: C) -> None:
        self.capability = capability
        self.count = 0


class LentTable(Generic[C]):
    """What this side has lent. The same capability keeps its number for as long as the peer holds it."""

    __slots__ = ("_lent", "_numbers", "last")

    def __init__(self, *, last: int = 0) -> None:
        self.last = last
        """The last number that was given; a table that follows another goes on from there."""
        self._lent: dict[int, _Lent[C]] = {}
        self._numbers: dict[int, int] = {}  # by the identity of the capability, which the table keeps alive

    def lend(self, capability: C) -> tuple[int, bool]:
        """The number of a capability, of which the peer gets one more reference; whether it had none before.

        Raises OverloadedError when the peer holds too many.
        """
        number = self._numbers.get(id(capability))
        is_new = number is None
        if number is None:
            if len(self._lent) >= RPC_CAPABILITIES_MAX:
                raise OverloadedError(
                    f"{RPC_CAPABILITIES_MAX} functions, targets and stubs are held across this connection, the limit: "
                    "dispose of stubs that are not needed any more (`stub.close()`, `with`; in JavaScript `using`)"
                )
            self.last += 1
            number = self._numbers[id(capability)] = self.last
            self._lent[number] = _Lent(capability)
        self._lent[number].count += 1
        return number, is_new

    def lend_as(self, number: int, capability: C) -> bool:
        """Lend under a number that another table gave; whether the peer had no reference before."""
        is_new = number not in self._lent
        if is_new:
            self.last = max(self.last, number)
            self._numbers[id(capability)] = number
            self._lent[number] = _Lent(capability)
        self._lent[number].count += 1
        return is_new

    def find(self, number: object) -> C:
        """What was lent under a number. Raises UsageError when the peer does not hold it."""
        lent = self._lent.get(number) if type(number) is int else None
        if lent is None:
            raise UsageError(f"there is no capability `{str(number)[:40]}` here, or no more: it was given back")
        return lent.capability

    def give_back(self, number: int, count: int) -> C | None:
        """The peer gives references back: the capability, if it holds none any more.

        Raises ValueError for references that it does not hold.
        """
        lent = self._lent.get(number)
        if lent is None or not 0 < count <= lent.count:
            raise ValueError(f"{count} references to capability {number} came back, and were not lent")
        lent.count -= count
        if lent.count:
            return None
        del self._lent[number]
        del self._numbers[id(lent.capability)]
        return lent.capability

    def clear(self) -> list[C]:
        """The peer is gone: everything it held."""
        gone = [lent.capability for lent in self._lent.values()]
        self._lent.clear()
        self._numbers.clear()
        return gone

    def __len__(self) -> int:
        return len(self._lent)


class Borrowed:
    """A capability of the peer's: `given` references came for it, `held` of this side's handles are open."""

    __slots__ = ("given", "held", "kind", "number")

    def __init__(self, number: int, kind: str) -> None:
        self.number = number
        self.kind = kind
        self.given = 0
        self.held = 0


class BorrowedTable:
    """What this side has borrowed. When the last handle is closed, all references go back at once."""

    __slots__ = ("_borrowed", "_returned")

    def __init__(self) -> None:
        self._borrowed: dict[int, Borrowed] = {}
        self._returned: list[tuple[int, int]] = []

    def receive(self, number: object, kind: object) -> Borrowed:
        """One more reference came, for a new handle. Raises ValueError, OverloadedError."""
        if type(number) is not int or not 0 < number < 2**53 or kind not in CAPABILITY_KINDS:
            raise ValueError("it has no number or no kind")
        borrowed = self._borrowed.get(number)
        if borrowed is None:
            if len(self._borrowed) >= RPC_CAPABILITIES_MAX:
                raise OverloadedError(
                    f"{RPC_CAPABILITIES_MAX} functions, targets and stubs of one peer are held here, the limit: "
                    "dispose of stubs that are not needed any more (`stub.close()`, `with`; in JavaScript `using`)"
                )
            borrowed = self._borrowed[number] = Borrowed(number, str(kind))
        borrowed.given += 1
        borrowed.held += 1
        return borrowed

    def again(self, number: object) -> Borrowed:
        """What is held already, for one more handle on this side. Raises UsageError when it is not."""
        borrowed = self._borrowed.get(number) if type(number) is int else None
        if borrowed is None:
            raise UsageError(f"there is no capability `{str(number)[:40]}` here, or no more: it was given back")
        borrowed.held += 1
        return borrowed

    def drop(self, borrowed: Borrowed) -> bool:
        """A handle was closed; whether it was the last one."""
        borrowed.held -= 1
        if borrowed.held or self._borrowed.get(borrowed.number) is not borrowed:
            return False
        del self._borrowed[borrowed.number]
        self._returned.append((borrowed.number, borrowed.given))
        return True

    def is_borrowed(self, borrowed: Borrowed) -> bool:
        """Whether it is still held: not given back, and the peer not gone."""
        return self._borrowed.get(borrowed.number) is borrowed

    def take_returned(self) -> list[tuple[int, int]]:
        """Numbers and counts of references to be given back."""
        returned, self._returned = self._returned, []
        return returned

    def clear(self) -> None:
        """The peer is gone, and everything of its with it."""
        self._borrowed.clear()
        self._returned.clear()

    def __len__(self) -> int:
        return len(self._borrowed)
