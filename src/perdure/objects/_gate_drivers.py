"""The gates, driven: futures for waiters. Effects: tasks."""

from __future__ import annotations

import asyncio
from typing import Final

from perdure.clock import Clock
from perdure.errors import again
from perdure.objects._gates import InputGate, OutputGate

Waiter = asyncio.Future[None]


class InputDriver:
    """One object's input gate on the event loop."""

    __slots__ = ("_section_ends", "gate")

    def __init__(self) -> None:
        self.gate: Final[InputGate[Waiter]] = InputGate()
        self._section_ends: list[Waiter] = []

    def try_enter(self, *, inside: bool = False) -> bool:
        """Take the gate without waiting, if it is free."""
        return self.gate.try_enter(inside=inside)

    async def enter(self, *, inside: bool = False) -> None:
        """Wait for a turn. Raises OverloadedError, or what broke the object."""
        if self.gate.try_enter(inside=inside):
            return
        waiter = asyncio.get_running_loop().create_future()
        self.gate.enqueue(waiter, inside=inside)
        try:
            await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                self.leave()
            self.gate.withdraw(waiter)
            raise
        if self.gate.error is not None:  # It broke after the admission: this turn must not begin.
            raise again(self.gate.error)

    def leave(self) -> None:
        """End the turn and let the next in."""
        self._admit(self.gate.leave())

    def open_section(self) -> None:
        """Admit no event until the matching `close_section`."""
        self.gate.open_section()

    def close_section(self) -> None:
        """End a section and let the next in."""
        if self.gate.error is None:
            self._admit(self.gate.close_section())
            self._tell_section_end()

    async def wait_for_section_end(self) -> None:
        """Until some section has ended. Raises what broke the object."""
        if self.gate.error is None:
            waiter = asyncio.get_running_loop().create_future()
            self._section_ends.append(waiter)
            await waiter
        if self.gate.error is not None:
            raise again(self.gate.error)

    def break_(self, error: Exception) -> None:
        """Turn everybody away, now and later."""
        for waiter in self.gate.break_(error):
            if not waiter.done():
                waiter.set_exception(error)
        self._tell_section_end()

    def _tell_section_end(self) -> None:
        waiters, self._section_ends = self._section_ends, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    def _admit(self, waiter: Waiter | None) -> None:
        while waiter is not None:
            if not waiter.done():
                waiter.set_result(None)
                return
            waiter = self.gate.leave()


class OutputDriver:
    """One object's output gate on the event loop."""

    __slots__ = ("_clock", "gate")

    def __init__(self, clock: Clock) -> None:
        self.gate: Final[OutputGate[Waiter]] = OutputGate()
        self._clock = clock

    def lock(self, *, is_confirmed: bool = True) -> int:
        """Hold everything said from now on; only `sync` when the writes need no confirmation."""
        return self.gate.lock(at=self._clock.monotonic_s(), is_confirmed=is_confirmed)

    def unlock(self, number: int) -> None:
        """A batch of writes is durable."""
        for waiter in self.gate.unlock(number):
            if not waiter.done():
                waiter.set_result(None)

    def fail(self, number: int, error: Exception) -> None:
        """A batch of writes will never be durable."""
        for waiter in self.gate.fail(number, error):
            if not waiter.done():
                waiter.set_exception(error)

    def break_(self, error: Exception) -> None:
        """Nothing leaves any more."""
        for waiter in self.gate.break_(error):
            if not waiter.done():
                waiter.set_exception(error)

    async def wait(self, upto: int | None = None) -> None:
        """Until every write made before now, or up to `upto`, is durable. Raises what broke the object."""
        mark = self.gate.mark if upto is None else upto
        if self.gate.is_clear(mark):
            return
        waiter = asyncio.get_running_loop().create_future()
        self.gate.wait(waiter, mark)
        await waiter

    async def wait_for_all(self, upto: int) -> None:
        """Until every write made up to `upto`, confirmed or not, is durable. Raises what broke the object."""
        if self.gate.is_clear(upto, of_all=True):
            return
        waiter = asyncio.get_running_loop().create_future()
        self.gate.wait(waiter, upto, for_all=True)
        await waiter
