"""Capabilities: what is passed by reference, counted; and handles, through which user code uses what is elsewhere.

Effects: none (whoever extends Capability says what a call does).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, Protocol

from perdure.wire import SERVICE

if TYPE_CHECKING:
    from perdure.api._targets import Copies, Target
    from perdure.web import Request, Response


class Capability:
    """A function or a target that is called from elsewhere: a `Target` that knows how many hold it."""

    __slots__ = ("held", "kind")

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.held = 0

    def retain(self) -> None:
        """One more handle or table holds it."""
        self.held += 1

    def release(self) -> None:
        """One holds it no more."""
        assert self.held > 0, "a capability was released more often than it was held"
        self.held -= 1
        if self.held == 0:
            self.unheld()

    def unheld(self) -> None:
        """Nobody holds it any more."""

    def fetch(self, request: Request) -> Awaitable[Response]:
        raise NotImplementedError

    def call(self, path: Sequence[str], arguments: Sequence[object] | Copies) -> Awaitable[Any]:
        raise NotImplementedError

    def get(self, path: Sequence[str]) -> Awaitable[Any]:
        raise NotImplementedError


class Handle:
    """Base of every stub: it points at a target, and user code sees nothing else of that."""

    __slots__ = ("__dict__", "__weakref__", "_target", "unstarted")  # what its own attributes are, others say

    def __init__(self, target: Target) -> None:
        self._target = target
        self.unstarted = 0
        """Calls that were made and have not begun: they begin in their order."""

    def _lent(self) -> Target | None:
        """What is passed on when this is sent; None when it may not be. Raises RpcDisposedError."""
        return self._target


class Disposable:
    """Base of the stubs that own what they point at, until they are closed."""

    __slots__ = ()

    def close(self) -> None:
        raise NotImplementedError


def target_of(handle: Handle) -> Target:
    """What a handle points at."""
    return handle._target  # noqa: SLF001  # an attribute without underscore would be a remote method


def lent_by(handle: Handle) -> Target | None:
    """What is passed on when a handle is sent; None when it may not be."""
    return handle._lent()  # noqa: SLF001  # as above


def kind_of(target: Target) -> str:
    """The kind of what is lent: a target that nobody counts is a service."""
    return target.kind if isinstance(target, Capability) else SERVICE


def retain(target: Target) -> None:
    """One more holds it, if it is counted."""
    if isinstance(target, Capability):
        target.retain()


def release(target: Target) -> None:
    """One holds it no more, if it is counted."""
    if isinstance(target, Capability):
        target.release()


class Holder(Protocol):
    """Whose code it is that gets stubs: they are closed when it has gone."""

    def holds(self, stub: Disposable) -> None: ...
    def holds_no_more(self, stub: Disposable) -> None: ...


_HOLDERS: Final[list[Callable[[], Holder | None]]] = []


def use_holder(find: Callable[[], Holder | None]) -> None:
    """From now on `find` tells whose code runs."""
    _HOLDERS[:] = [find]


def current_holder() -> Holder | None:
    """Whose code runs, if somebody's does whose end closes stubs."""
    return _HOLDERS[0]() if _HOLDERS else None


Lender = Callable[[object], Capability]
_LENDERS: Final[list[Lender]] = []


def use_lender(lender: Lender) -> None:
    """From now on `lender` makes the capability of a function or a target of one's own: it knows who owns it."""
    _LENDERS[:] = [lender]


def local_capability(value: object) -> Capability:
    """The capability of a function or a target of the code that runs now."""
    return _LENDERS[0](value)
