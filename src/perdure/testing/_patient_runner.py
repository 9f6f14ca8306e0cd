"""PatientRunner: runs every turn of a guest on a thread, with all of its CPU time, while virtual time stands still.

How long a turn takes on a busy machine then decides nothing: no turn is repeated because it looked long.
Effects: threads.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from perdure.isolates import CallHistory, Runner
from perdure.testing._journal import ThreadCounter

T = TypeVar("T")


class PatientRunner(Runner):
    """A `Runner` for a loop that counts its threads."""

    def __init__(self, threads: ThreadCounter) -> None:
        super().__init__()
        self._counter = threads

    async def run_on_thread(self, turn: Callable[[int], T], history: CallHistory, *, cpu_ms: int) -> T:
        """As always; `history` never learns that the code is short."""
        self._counter.thread_began()
        try:
            return await super().run_on_thread(turn, CallHistory(), cpu_ms=cpu_ms)
        finally:
            self._counter.thread_ended()
