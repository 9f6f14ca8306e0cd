"""What a session may do for its peer before others have their turn: a few bytes can ask for many copies.

Work is counted in values that are read, copied or written. Who can wait does so until there is a rest of the budget;
what cannot wait, and uses up more than a whole budget at once, ends the session. Effects: tasks, timers (it waits).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from perdure.errors import OverloadedError
from perdure.limits import CAPNWEB_WORK_STEP_VALUES, CAPNWEB_WORK_VALUES_MAX, CAPNWEB_WORK_VALUES_PER_S


class Work:
    """The budget of one session. `overdrawn` is called once, with the reason."""

    __slots__ = ("_failure", "_filled_at", "_left", "_overdrawn", "_since_turn", "_waiters")

    def __init__(self, overdrawn: Callable[[Exception], None]) -> None:
        self._overdrawn = overdrawn
        self._left = float(CAPNWEB_WORK_VALUES_MAX)
        self._filled_at: float | None = None
        self._since_turn = 0
        self._waiters: asyncio.Lock = asyncio.Lock()
        self._failure: OverloadedError | None = None

    def note(self, values: int) -> None:
        """Work that grows with what the peer sent, or with what user code gave: others wait for it, it is allowed."""
        self._since_turn += values
        self._left = min(self._left, max(self._left - values, 0))

    def charge(self, values: int) -> None:
        """Work that a peer asks for with less than it costs. Raises OverloadedError once the session is over for it."""
        if self._failure is None:
            self._since_turn += values
            self._left -= values
            if self._left >= -CAPNWEB_WORK_VALUES_MAX:
                return
            self._failure = OverloadedError(
                f"the peer asks for more than {CAPNWEB_WORK_VALUES_MAX} values to be copied at once: "
                "ask for smaller parts, or in several messages"
            )
            self._overdrawn(self._failure)
        raise self._failure

    async def turn(self) -> None:
        """Before a piece of work: others go on, and whoever has used up the budget waits for a rest of it."""
        self._refill()
        if self._left > 0 and not self._waiters.locked():
            if self._since_turn >= CAPNWEB_WORK_STEP_VALUES:
                self._since_turn = 0
                await asyncio.sleep(0)
            return
        async with self._waiters:
            while self._failure is None and self._left <= 0:
                await asyncio.sleep((1 - self._left) / CAPNWEB_WORK_VALUES_PER_S)
                self._refill()
            self._since_turn = 0

    def _refill(self) -> None:
        # Only between pieces of work: one that takes long must not earn its own continuation.
        now = asyncio.get_running_loop().time()
        if self._filled_at is not None:
            gained = (now - self._filled_at) * CAPNWEB_WORK_VALUES_PER_S
            self._left = min(self._left + gained, CAPNWEB_WORK_VALUES_MAX)
        self._filled_at = now
