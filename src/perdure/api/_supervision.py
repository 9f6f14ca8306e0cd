"""What a supervisor sets and sees of its facets: limits, budgets, usage, events. Plain values. Effects: none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Literal, TypeVar

from perdure.errors import FacetError

Numbers = TypeVar("Numbers", "FacetLimits", "Budget")


@dataclass(frozen=True, slots=True)
class FacetLimits:
    """What bounds a facet, beside the limits of the platform and of its worker's code; None is no further bound.

    `database_bytes`: its own database. `tree_bytes`: that and the databases of all facets below it. `facets`: facets
    below it that exist at once, `facets_ever` those ever made. `cpu_ms`: of one event, `memory_mb` of one isolate; both
    hold for the facets below it too.
    """

    database_bytes: int | None = None
    tree_bytes: int | None = None
    facets: int | None = None
    facets_ever: int | None = None
    cpu_ms: int | None = None
    memory_mb: int | None = None

    def __post_init__(self) -> None:
        _check(self)


@dataclass(frozen=True, slots=True)
class Budget:
    """What a facet and all facets below it may use in total, counted as `facets.usage(name)` counts; None: no bound.

    A facet that has used it up is stopped, and takes no further event until its budget is raised.
    """

    cpu_ms: int | None = None
    requests: int | None = None
    rows_read: int | None = None
    rows_written: int | None = None

    def __post_init__(self) -> None:
        _check(self)


@dataclass(frozen=True, slots=True)
class FacetUsage:
    """What a facet and all facets below it hold and have used. `cpu_ms` is CPU time of their own code, measured."""

    database_bytes: int
    pages: int
    facets: int
    requests: int
    cpu_ms: float
    rows_read: int
    rows_written: int
    memory_bytes: int
    last_used: datetime | None


EventKind = Literal["started", "stopped", "request_started", "request_ended", "log", "exception", "limit"]


@dataclass(frozen=True, slots=True)
class FacetEvent:
    """Something that happened in a facet, or in one below it.

    `path`: the facets' names, from the listener's child down. `request_id` tells requests of one platform apart; 0 when
    no request is known. `method`: what was called, or the HTTP method and URL. `outcome`, of a request: `ok`,
    `exception`, `limit`, `budget`, `reset` or `cancelled`; of a stop: `idle` or `reset`. `limit` names the limit, quota
    or budget that was reached. `text` is the log line or the error, `type_name` the error's own class. `dropped`: how
    many events before this one were lost because nobody read them in time.
    """

    kind: EventKind
    path: tuple[str, ...]
    at: datetime
    request_id: int = 0
    method: str = ""
    outcome: str = ""
    duration_ms: float = 0.0
    cpu_ms: float = 0.0
    rows_read: int = 0
    rows_written: int = 0
    level: str = ""
    text: str = ""
    type_name: str = ""
    limit: str = ""
    dropped: int = 0


_CAMEL = {
    "databaseBytes": "database_bytes",
    "treeBytes": "tree_bytes",
    "facetsEver": "facets_ever",
    "cpuMs": "cpu_ms",
    "memoryMb": "memory_mb",
    "rowsRead": "rows_read",
    "rowsWritten": "rows_written",
}


def numbers_of(kind: type[Numbers], given: object, what: str) -> Numbers:
    """Limits or a budget, which may be written as a mapping. Raises FacetError."""
    if given is None:
        return kind()
    if isinstance(given, kind):
        return given
    if not isinstance(given, Mapping):
        raise FacetError(f"{what} of a facet are a {kind.__name__}(…), not `{type(given).__name__}`")
    named = {_CAMEL.get(str(key), str(key)): value for key, value in given.items()}
    known = [field.name for field in fields(kind)]
    unknown = sorted(set(named) - set(known))
    if unknown:
        raise FacetError(f"{what} of a facet have no `{unknown[0]}`; there are: {', '.join(known)}")
    return kind(**named)


def _check(numbers: FacetLimits | Budget) -> None:
    for field in fields(numbers):
        value = getattr(numbers, field.name)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 0):
            raise FacetError(
                f"{type(numbers).__name__}.{field.name} is `{value!r}`: it is a whole number from 0 on, or None"
            )
