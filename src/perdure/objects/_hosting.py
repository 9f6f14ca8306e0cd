"""An object's trusted code as the host of a session that it has opened, such as one with a browser.

What the peer calls enters the object as events; what the session says waits until what was written before is durable.
The object stays in memory as long as the session lasts, and its reset ends the session. Effects: none (it awaits
gates).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from contextlib import ExitStack
from typing import Any, TypeVar, cast

from perdure.api import CURRENT_SECTION, Section
from perdure.errors import ObjectResetError, again
from perdure.objects._actor import CURRENT, Actor
from perdure.objects._trusted import TrustedBody

T = TypeVar("T")


def current_host() -> EventHost | None:
    """The object whose trusted code is running, as the host of what it opens; None outside of objects."""
    actor = CURRENT.get()
    body = None if actor is None else actor.body_or_none
    return EventHost(actor, body) if actor is not None and isinstance(body, TrustedBody) else None


class EventHost:
    """One instance of an object. When it is gone, nothing runs any more."""

    __slots__ = ("_actor", "_body")

    def __init__(self, actor: Actor, body: TrustedBody) -> None:
        self._actor = actor
        self._body = body

    def section(self) -> Section | None:
        """The critical section that the code of the object is in now."""
        return CURRENT_SECTION.get() if CURRENT.get() is self._actor else None

    async def deliver(self, work: Callable[[], Coroutine[Any, Any, T]], section: object = None) -> T:
        """Run `work` as an event of its own, of `section` while that is open. Raises what it raises, or the reset."""
        assert section is None or isinstance(section, Section), "it was given by `section`"
        body = self._body
        if self._actor.body_or_none is not body:
            raise again(self._actor.error or ObjectResetError("the object was reset or evicted: connect again"))
        return cast(
            "T", await self._actor.serve("rpc", lambda _, served: body.run_turns(work, served, section=section))
        )

    def mark(self) -> Callable[[], Awaitable[None]] | None:
        """What a message that is made now waits for: the writes of the object before it, also in this turn."""
        actor = self._actor
        if actor.error is not None:
            return None  # What is said now is that it has ended.
        if CURRENT.get() is actor:
            actor.end_turn()
        gate = actor.output.gate
        if gate.is_open:
            return None
        upto = gate.mark
        return lambda: actor.output.wait(upto)

    def opened(self, end: Callable[[Exception], None]) -> Callable[[], None]:
        """A session is there. Returns what says that it has ended."""
        if self._actor.error is not None:
            end(self._actor.error)
            return lambda: None
        use = ExitStack()
        use.enter_context(self._actor.in_use())
        use.enter_context(self._body.while_open(end))
        return use.close
