"""What an expression of a peer refers to: capabilities of either side, calls to be made, ends of streams.

A parsed value holds each of these where its meaning is to stand, and `places` lists them. Ids are those of the message:
`Introduced` counts among the peer's exports, everything else among ours. Effects: none.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from perdure.web import ReadableStream, Request, Response

Path: TypeAlias = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Introduced:
    """A capability of the peer's, or a promise that it will resolve unasked."""

    id: int
    is_promise: bool


@dataclass(frozen=True, slots=True)
class Own:
    """A capability of ours: itself, a property of it, or the result of calling it.

    A promise is replaced by what it resolves to, before the value is delivered.
    """

    id: int
    path: Path
    arguments: Parsed | None
    is_promise: bool


@dataclass(frozen=True, slots=True)
class Mapped:
    """The result of `.map()`, done here. The instructions are expressions still: they are read for each element."""

    id: int
    path: Path
    captures: tuple[Introduced | Own, ...]
    instructions: tuple[object, ...]


@dataclass(frozen=True, slots=True)
class ReadableEnd:
    """What comes out of a pipe that the peer fills."""

    id: int


@dataclass(frozen=True, slots=True)
class WritableEnd:
    """A stream of the peer's that takes what is written."""

    id: int


@dataclass(frozen=True, slots=True)
class Collected:
    """What is made of a whole stream: a blob."""

    source: ReadableEnd
    make: Callable[[bytes], object]


@dataclass(frozen=True, slots=True)
class Streamed:
    """A message whose body is a stream."""

    source: ReadableEnd
    make: Callable[[ReadableStream], Request | Response]


Reference: TypeAlias = Introduced | Own | Mapped | ReadableEnd | WritableEnd | Collected | Streamed


@dataclass(frozen=True, slots=True)
class Place:
    """Where a reference stands: `container[key]`."""

    container: Any
    key: str | int
    reference: Reference


@dataclass(slots=True)
class Parsed:
    """A value that was read; `root[0]` is the value itself."""

    root: list[Any] = field(default_factory=lambda: [None])
    places: list[Place] = field(default_factory=list)
    values: int = 0  # how many were read
