"""A value on its way to its receiver, with the capabilities it owns and the promises that are still to be filled in.

Effects: none (it awaits what it is given).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from perdure.errors import ValueNotCloneableError
from perdure.limits import JSON_VALUES_MAX, VALUE_DEPTH_MAX


@dataclass(frozen=True, slots=True)
class Vacancy:
    """Where a promise stands: `container[key]`, until `fill` has given the payload that comes there.

    `promise` is what to refer to where the peer itself can fill it in.
    """

    container: Any
    key: str | int
    fill: Callable[[], Awaitable[Payload]]
    promise: object = None


@dataclass(slots=True)
class Payload:
    """`root[0]` is the value."""

    root: list[Any] = field(default_factory=lambda: [None])
    owned: list[Callable[[], None]] = field(default_factory=list)  # what gives each thing back
    # There is one of each: they go to whoever takes the value. What disposes of one does nothing while it is read.
    streams: list[tuple[object, Callable[[], None]]] = field(default_factory=list)
    vacancies: deque[Vacancy] = field(default_factory=deque)
    size: int = 0  # about so many bytes of a message, if it came in one
    values: int = 1  # in it, with those that have come where promises stood

    @property
    def value(self) -> Any:  # noqa: ANN401  # user data
        return self.root[0]

    async def filled(self) -> Payload:
        """Itself, once every promise is replaced by what it resolved to.

        Raises what one of them was rejected with; then it is of no use, and gives back what it owns.
        """
        try:
            while self.vacancies:
                vacancy = self.vacancies[0]
                inner = await vacancy.fill()
                vacancy.container[vacancy.key] = inner.value
                self.owned += inner.owned
                self.streams += inner.streams
                if self.vacancies:  # It may have been disposed of meanwhile.
                    self.vacancies.popleft()
                self.values += inner.values
                if self.values > JSON_VALUES_MAX:
                    raise ValueNotCloneableError(
                        f"a value holds more than {JSON_VALUES_MAX} values once its promises are kept: send it in parts"
                    )
        except BaseException:
            self.dispose()
            raise
        return self

    def dispose(self) -> None:
        """Give back what it owns."""
        owned, self.owned = [*self.owned, *(dispose for _, dispose in self.streams)], []
        self.streams = []
        self.vacancies.clear()
        for each in owned:
            each()


Convert = Callable[[Any, str | int, Any], bool]
"""Sets `container[key]` to what a value becomes, if it is one that is not copied as it is."""


def copy_value(value: object, convert: Convert) -> tuple[list[Any], int]:
    """A list of one: a copy of the lists and dicts of `value`, in which `convert` has replaced what it knows.

    And how many values there are in it.

    Raises ValueNotCloneableError for a value that is too deep, or contains itself, or is too large once its shared
    parts are copied.
    """
    root: list[Any] = [None]
    left = JSON_VALUES_MAX
    waiting: list[tuple[Any, Any, Any, int]] = [(root, 0, value, 0)]
    while waiting:
        container, key, item, depth = waiting.pop()
        left -= 1
        if left < 0 or depth > VALUE_DEPTH_MAX:
            raise ValueNotCloneableError(
                f"a value is nested deeper than {VALUE_DEPTH_MAX} levels, holds more than {JSON_VALUES_MAX} values, "
                "or contains itself: flatten it, or send it in parts"
            )
        kind = type(item)
        if kind is dict:
            made: Any = dict.fromkeys(item)
            waiting.extend((made, name, each, depth + 1) for name, each in item.items())
        elif kind is list or kind is tuple:
            made = [None] * len(item)
            waiting.extend((made, place, each, depth + 1) for place, each in enumerate(item))
        elif convert(container, key, item):
            continue
        else:
            made = item
        container[key] = made
    return root, JSON_VALUES_MAX - left
