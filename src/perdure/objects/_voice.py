"""Voice: what the objects above a facet hear of it, and what an object hears of the facets below it.

Telling costs nothing while nobody above listens: ask `is_heard` first. Effects: tasks.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from weakref import WeakSet

from perdure.api import EventKind, FacetEvent
from perdure.clock import Clock
from perdure.objects._account import Served
from perdure.objects._facet_events import EventStream, outcome_of, told_of_error


class Voice:
    """The voice of one object; `name` is the facet's, `above` that of its parent."""

    __slots__ = ("_clock", "above", "listeners", "name")

    def __init__(self, name: str, *, above: Voice | None, clock: Clock) -> None:
        self.name = name
        self.above = above
        self._clock = clock
        self.listeners: WeakSet[EventStream] | None = None

    @property
    def is_heard(self) -> bool:
        """Whether an object above this one listens to its events."""
        above = self.above
        while above is not None:
            if above.listeners:
                return True
            above = above.above
        return False

    def tell(self, kind: EventKind, **fields: Any) -> None:  # noqa: ANN401  # those of FacetEvent
        """Tell whoever listens above what happened here."""
        path: tuple[str, ...] = ()
        at = datetime.fromtimestamp(self._clock.now_ms() / 1000, UTC)
        below, above = self, self.above
        while above is not None:
            path = (below.name, *path)
            for stream in list(above.listeners or ()):
                stream.put(FacetEvent(kind, path, at, **fields))
            below, above = above, above.above

    def tell_end(self, served: Served, error: BaseException | None) -> None:
        """Tell how a request ended, and first of the error that ended it."""
        for told in told_of_error(error):
            self.tell(request_id=served.request_id, method=served.method, **told)
        self.tell(
            "request_ended",
            request_id=served.request_id,
            method=served.method,
            outcome=outcome_of(error),
            duration_ms=(self._clock.monotonic_s() - served.started_s) * 1000,
            cpu_ms=served.cpu_ns / 1_000_000,
            rows_read=round(served.rows_read),
            rows_written=round(served.rows_written),
        )

    def listen(self) -> EventStream:
        """What happens in the facets below this object, until `end_listening`."""
        if self.listeners is None:
            self.listeners = WeakSet()
        stream = EventStream()
        self.listeners.add(stream)
        return stream

    def end_listening(self) -> None:
        """The object was evicted or reset: its streams end."""
        for stream in list(self.listeners or ()):
            stream.close()
        self.listeners = None
