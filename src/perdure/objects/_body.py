"""Body: what runs in an actor, trusted code in this process or a guest in an isolate, as the actor sees it.

Effects: none.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from perdure.api import Capability, Sent
from perdure.errors import PerdureError
from perdure.objects._account import Served
from perdure.objects._alarm_run import AlarmRun
from perdure.web import ReadableStream, Request, Response


class Body(Protocol):
    """What runs in an actor."""

    async def start(self) -> None: ...
    async def fetch(self, request: Request, served: Served | None) -> Response: ...
    async def call(self, path: Sequence[str], sent: Sent | None, served: Served | None) -> object:
        """Call what stands at `path`; without arguments, read it."""
        ...

    async def alarm(self, run: AlarmRun, served: Served | None) -> None:
        """Run the alarm's handler, between `run.begin` and what `run` is told at its end."""
        ...

    def lend(self, value: object) -> Capability:
        """The capability of a function or target of its code; of trusted code only."""
        ...

    def bind(self, stream: ReadableStream) -> None:
        """Let the source of a stream that it made run in its turns."""
        ...

    def discard(self, error: PerdureError) -> None:
        """Never run again; whatever is under way fails with `error`."""
        ...

    @property
    def is_trusted(self) -> bool:
        """True when it may touch its database between any two steps of the loop."""
        ...

    @property
    def is_busy(self) -> bool: ...
    @property
    def has_only_timers(self) -> bool:
        """True when nothing but timers of its own is under way in it."""
        ...

    @property
    def is_in_turn(self) -> bool:
        """True while the body may be using the database, perhaps on another thread."""
        ...

    @property
    def memory_bytes(self) -> int: ...
