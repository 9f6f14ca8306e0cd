"""What trusted code lends: its functions and targets, called where they live.

What an object has lent is called in events of its own, through its input gate, and in the critical section in which it
was lent while that is open. What belongs to no object runs apart from whoever calls it. Effects: tasks.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import nullcontext
from contextvars import Context
from typing import Any, Protocol, TypeVar

from perdure.api import (
    CURRENT_SECTION,
    Capability,
    Disposable,
    LocalCapability,
    Section,
    Sent,
    as_response,
    callable_at,
    dispose_of,
    fetch_at,
    use_holder,
    use_lender,
    value_at,
)
from perdure.errors import PerdureError, again
from perdure.objects._account import Served
from perdure.objects._actor import CURRENT, Actor, leave_caller
from perdure.web import Request, Response

T = TypeVar("T")


class Lender(Protocol):
    """The body of the object that lends."""

    error: PerdureError | None
    lent: set[Capability]

    @property
    def actor(self) -> Actor: ...
    def spawn(self, work: Awaitable[object]) -> None: ...
    async def deliver_lent(
        self, handler: Callable[[], object], served: Served | None, *, section: Section | None
    ) -> object: ...


class TrustedHolder:
    """The stubs that code of one instance has got and has not closed: they are closed when the instance goes."""

    def __init__(self) -> None:
        self._held: set[Disposable] = set()

    def holds(self, stub: Disposable) -> None:
        """It has got one more."""
        self._held.add(stub)

    def holds_no_more(self, stub: Disposable) -> None:
        """One was closed."""
        self._held.discard(stub)

    def close_all(self) -> None:
        """The instance is gone."""
        for stub in list(self._held):
            stub.close()


class Lent(LocalCapability):
    """A function or target of a trusted object."""

    __slots__ = ("_body", "_section")

    def __init__(self, body: Lender, value: object) -> None:
        super().__init__(value)
        self._body = body
        self._section = CURRENT_SECTION.get()

    def retain(self) -> None:
        super().retain()
        self._body.lent.add(self)

    def unheld(self) -> None:
        self._body.lent.discard(self)
        dispose = self.disposer_or_none
        if dispose is not None and self._body.error is None:
            self._body.spawn(dispose_of(dispose))

    async def _fetch(self, request: Request) -> Response:
        return as_response(await self._serve("fetch", lambda: fetch_at(self.value)(request), None))

    async def _call(self, path: Sequence[str], sent: Sent) -> object:
        return await self._serve(
            ".".join(path) or "callback", lambda: callable_at(self.value, path, base=None)(*sent.values()), sent
        )

    async def _get(self, path: Sequence[str]) -> object:
        return await self._serve(".".join(path), lambda: value_at(self.value, path, base=None), None)

    async def _serve(self, event: str, handler: Callable[[], object], sent: Sent | None) -> Any:  # noqa: ANN401  # what it answers
        with sent or nullcontext():
            await leave_caller()
            body = self._body
            if body.error is not None:
                raise again(body.error)
            return await body.actor.serve(
                event, lambda _, served: body.deliver_lent(handler, served, section=self._section)
            )


class LentApart(LocalCapability):
    """A function or target that belongs to no object: of an entry point, or of code around the platform."""

    __slots__ = ()

    async def _fetch(self, request: Request) -> Response:
        await leave_caller()
        return as_response(await apart(super()._fetch(request)))

    async def _call(self, path: Sequence[str], sent: Sent) -> object:
        with sent:
            await leave_caller()
            return await apart(super()._call(path, sent))

    async def _get(self, path: Sequence[str]) -> object:
        await leave_caller()
        return await apart(super()._get(path))


async def apart(work: Awaitable[T]) -> T:
    """`work` in a task that nobody's object is current in; it ends when its caller gives up."""

    async def run() -> T:
        return await work

    return await asyncio.get_running_loop().create_task(run(), context=Context())


def lend(value: object) -> Capability:
    """The capability of what trusted code sends or returns."""
    actor = CURRENT.get()
    return LentApart(value) if actor is None else actor.lend(value)


def _holder() -> TrustedHolder | None:
    actor = CURRENT.get()
    body = None if actor is None else actor.body_or_none
    return body if isinstance(body, TrustedHolder) else None


use_lender(lend)
use_holder(_holder)
