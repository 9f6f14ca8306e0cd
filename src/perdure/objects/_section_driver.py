"""The critical sections of trusted code, driven: futures for who waits.

A section begins at once when no other is open, and closes the input gate to events from the moment it is asked for.
A delivery that goes on while a section is open to which it does not belong is held until that has ended.
Effects: tasks.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from perdure.api import CURRENT_SECTION, Section, Sections
from perdure.errors import again
from perdure.objects._gate_drivers import InputDriver

_Change = asyncio.Future[None]


class SectionDriver:
    """One object's sections on the event loop."""

    __slots__ = ("_error", "_gate", "_held", "_starts", "_tree")

    def __init__(self, gate: InputDriver) -> None:
        self._gate = gate
        self._tree = Sections()
        self._starts: dict[Section, _Change] = {}
        self._held: list[_Change] = []
        self._error: Exception | None = None

    @property
    def is_current(self) -> bool:
        """Whether the code that asks may go on now."""
        return self._tree.may_run(CURRENT_SECTION.get())

    def is_open(self, section: Section) -> bool:
        """Whether what was started in `section` belongs to one that has not ended."""
        return self._tree.living(section) is not self._tree.root

    @asynccontextmanager
    async def section(self) -> AsyncIterator[Section]:
        """The code inside runs in a critical section of its own. Raises as `enter` does."""
        section = await self.enter()
        before = CURRENT_SECTION.get()
        CURRENT_SECTION.set(section)
        try:
            yield section
        finally:
            CURRENT_SECTION.set(before)
            self.leave(section)

    async def enter(self) -> Section:
        """Wait for the turn of a new section, inside the one the caller is in. Raises UsageError, OverloadedError."""
        section = self._tree.request(CURRENT_SECTION.get())
        self._gate.open_section()
        if self._tree.next_or_none() is section:
            return self._tree.open_next()
        start = self._starts[section] = asyncio.get_running_loop().create_future()
        try:
            await start
        except BaseException:
            if self._starts.pop(section, None) is not None:
                self._tree.withdraw(section)
                self._gate.close_section()
            else:  # Its turn came, and whoever waited for it was cancelled.
                self.leave(section)
            raise
        return section

    def leave(self, section: Section) -> None:
        """End a section: the next one begins, or what was held goes on."""
        self._tree.end(section)
        if self._error is not None:
            return
        if self._tree.next_or_none() is not None:
            self._starts.pop(self._tree.open_next()).set_result(None)
        self._gate.close_section()
        held, self._held = self._held, []
        for change in held:
            if not change.done():
                change.set_result(None)

    def change(self) -> _Change:
        """Done when a section has ended, or the object is broken."""
        change: _Change = asyncio.get_running_loop().create_future()
        if self._error is not None:
            change.set_exception(again(self._error))
        else:
            self._held.append(change)
        return change

    async def until_innermost(self, section: Section) -> None:
        """Until no section is open inside this one."""
        while self._tree.innermost is not section:
            await self.change()

    def break_(self, error: Exception) -> None:
        """Nothing begins or goes on any more."""
        self._error = error
        waiting = [*self._starts.values(), *self._held]
        self._starts.clear()
        self._held = []
        for change in waiting:
            if not change.done():
                change.set_exception(error)
                change.exception()  # Whoever waited may be gone.
