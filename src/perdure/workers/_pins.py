"""Pins: which stub of a guest reached which instance of an object or a facet.

A guest numbers the stubs that it uses. What a number first reached stays what it means, so a stub whose object was
reset fails for ever, as one in trusted code does. The guest says which stubs nobody holds any more.
Effects: none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

from perdure.errors import OverloadedError
from perdure.limits import GUEST_STUBS_MAX

Target = TypeVar("Target")


class Pins(Generic[Target]):
    """The targets of one guest's stubs, by number."""

    __slots__ = ("_early", "_targets")

    def __init__(self) -> None:
        self._targets: dict[int, Target] = {}
        self._early: set[int] = set()

    def target(self, number: int, make: Callable[[], Target]) -> Target:
        """What stub `number` points at. Raises OverloadedError when the guest holds too many."""
        known = self._targets.get(number)
        if known is not None:
            return known
        target = make()
        if number in self._early:  # Dropped in the very turn in which it was used.
            self._early.discard(number)
            return target
        if len(self._targets) >= GUEST_STUBS_MAX:
            raise OverloadedError(
                f"this worker holds {GUEST_STUBS_MAX} stubs that it has used, the limit: get a stub when it "
                "is needed, and do not keep it"
            )
        self._targets[number] = target
        return target

    def release(self, numbers: Iterable[int]) -> None:
        """Nobody in the guest holds these stubs any more."""
        for number in numbers:
            if self._targets.pop(number, None) is None and len(self._early) < GUEST_STUBS_MAX:
                self._early.add(number)

    def clear(self) -> None:
        """The guest's memory is gone, and every stub with it."""
        self._targets.clear()
        self._early.clear()

    def __contains__(self, number: int) -> bool:
        return number in self._targets

    def __len__(self) -> int:
        return len(self._targets)
