"""Target: the port behind every stub. Effects: none."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from perdure.web import Request, Response


class Copies:
    """Base of arguments that have been copied: whoever gets them need not do it again."""

    __slots__ = ()


class Target(Protocol):
    """What a stub points at: an object, a facet, an entry point, or what was passed by reference.

    Each act answers with a coroutine, which begins when it is awaited or in the loop's next step, or with a future of
    what has begun. Arguments are copied before `call` returns. A path names what is called or read, step by step;
    an empty one means the target itself.
    """

    def fetch(self, request: Request) -> Awaitable[Response]: ...
    def call(self, path: Sequence[str], arguments: Sequence[object] | Copies) -> Awaitable[Any]: ...
    def get(self, path: Sequence[str]) -> Awaitable[Any]: ...
