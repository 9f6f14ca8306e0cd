"""Ready: an awaitable whose result is there already.

Storage does its work at the call, so awaiting it lets nothing in between and never ends the turn. Effects: none.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Ready(Generic[T]):
    """`await Ready(value)` is `value`, at once; not awaiting it loses nothing."""

    __slots__ = ("_value",)

    def __init__(self, value: T) -> None:
        self._value = value

    def __await__(self) -> Generator[Any, Any, T]:
        yield from ()
        return self._value

    def __repr__(self) -> str:
        return f"Ready({self._value!r}): await it"
