"""What the `fetch()` of a dynamic worker may reach: nothing, a fetcher, its parent's way out, or the internet.

Effects: none (whoever runs the worker does the work).
"""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, Protocol, TypeAlias

from perdure.api._stubs import LoopbackEntrypoint, Stub
from perdure.errors import ValueNotCloneableError, WorkerCodeError

if TYPE_CHECKING:
    from perdure.web import Request, Response

INHERIT: Final = "inherit"


@dataclass(frozen=True, slots=True)
class Internet:
    """The internet as a way out: every public address, and no private, loopback or link-local one.

    `allow`: names that are reached wherever they are, such as `"localhost:8080"` or `"db.internal"` (any port). The
    name counts that stands in the URL; what it resolves to is looked up and checked once, for the connection itself.
    """

    allow: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        given: object = self.allow
        if not isinstance(given, list | tuple | set | frozenset) or not all(isinstance(name, str) for name in given):
            raise WorkerCodeError('Internet(allow=…) takes a tuple of names, such as ("localhost:8080", "db.internal")')
        object.__setattr__(self, "allow", tuple(sorted({name.lower().rstrip(".") for name in given})))


class Fetcher(Protocol):
    """What answers requests."""

    def fetch(self, request: Request, /) -> Awaitable[Response]: ...


Outbound: TypeAlias = Stub | Internet | Literal["inherit"] | None
"""What may be given as `global_outbound`. None, the default: no network."""


def checked_fetcher(given: object, where: str) -> Stub:
    """A stub that requests may be sent to. Raises WorkerCodeError, or ValueNotCloneableError for what stays at home."""
    if isinstance(given, LoopbackEntrypoint):  # Also one that was not called.
        return given
    reason = getattr(type(given), "cannot_be_serialized", None)
    if isinstance(reason, str):
        raise ValueNotCloneableError(f"{where}: {reason}")
    if not isinstance(given, Stub):
        raise WorkerCodeError(
            f"{where} is a stub, such as `ctx.exports.Name` or `env.OBJECTS.get_by_name(…)`, not "
            f"`{type(given).__name__}`"
        )
    return given


def checked_outbound(given: object) -> Outbound:
    """What was given as `global_outbound`. Raises WorkerCodeError, ValueNotCloneableError."""
    if given is None or isinstance(given, Internet):
        return given
    if given == INHERIT:
        return "inherit"
    if isinstance(given, str):
        raise WorkerCodeError(
            f'global_outbound is None (no network), "inherit", Internet(), or a stub, not `{given[:40]}`'
        )
    return checked_fetcher(given, "global_outbound")
