"""HeldJournal: stands before the journal of a World, and decides when objects hear its answers.

While it holds, records become durable, and nobody learns of it. After `kill` nothing is acknowledged any more, as if
the process had ended. It also tells the loop that the journal's thread works, so that time waits for it.
Effects: none.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from perdure.storage import (
    Adoption,
    Append,
    DueAlarm,
    Elsewhere,
    Grant,
    History,
    Incarnation,
    Journal,
    Lease,
    ListedObject,
    ObjectKey,
    Outcome,
    Snapshot,
    Verdict,
)

_KILLED = Outcome(Verdict.FAILED, reason="the test killed this process")


class ThreadCounter(Protocol):
    """Who is told how many threads work for the loop."""

    def thread_began(self) -> None: ...
    def thread_ended(self) -> None: ...


class HeldJournal:
    """A `Journal` over another."""

    def __init__(self, journal: Journal, threads: ThreadCounter) -> None:
        self._journal = journal
        self._threads = threads
        self._is_holding = False
        self._is_killed = False
        self._held: list[tuple[Callable[[Outcome], None], Outcome]] = []

    def hold(self) -> None:
        """Keep answers back from now on."""
        self._is_holding = True

    def let_go(self) -> None:
        """Give the answers that were kept back, and keep none any more."""
        self._is_holding = False
        held, self._held = self._held, []
        for done, outcome in held:
            done(_KILLED if self._is_killed else outcome)

    def kill(self) -> None:
        """Acknowledge nothing any more."""
        self._is_killed = True
        self.let_go()

    def append(self, append: Append, done: Callable[[Outcome], None]) -> None:
        def answered(outcome: Outcome) -> None:
            self._threads.thread_ended()
            if self._is_holding:
                self._held.append((done, outcome))
            else:
                done(_KILLED if self._is_killed else outcome)

        self._threads.thread_began()
        self._journal.append(append, answered)

    # ── the rest of the port, as it is ──────────────────────────────────────────────────────────────────────

    def register(self, incarnation: Incarnation) -> Lease:
        return self._journal.register(incarnation)

    def acquire(self, lease: Lease, key: ObjectKey) -> Grant | Elsewhere:
        return self._journal.acquire(lease, key)

    def load(self, grant: Grant) -> History:
        return self._journal.load(grant)

    def snapshot(self, snapshot: Snapshot) -> None:
        self._journal.snapshot(snapshot)

    def adopt(self, adoption: Adoption) -> bool:
        return self._journal.adopt(adoption)

    def records(self, key: ObjectKey, *, after: int, bytes_max: int) -> list[bytes]:
        return self._journal.records(key, after=after, bytes_max=bytes_max)

    def archive(self, key: ObjectKey, *, until: int) -> None:
        self._journal.archive(key, until=until)

    def release(self, grant: Grant) -> None:
        self._journal.release(grant)

    def objects(
        self, *, namespace: str | None = None, after: ObjectKey | None = None, limit: int
    ) -> list[ListedObject]:
        return self._journal.objects(namespace=namespace, after=after, limit=limit)

    def due_alarms(self, *, until_ms: int, limit: int, after: DueAlarm | None = None) -> list[DueAlarm]:
        return self._journal.due_alarms(until_ms=until_ms, limit=limit, after=after)

    def postpone_alarms(self, alarms: Sequence[tuple[DueAlarm, int]]) -> None:
        self._journal.postpone_alarms(alarms)

    def hurry_alarms(self, *, namespace: str | None = None) -> None:
        self._journal.hurry_alarms(namespace=namespace)
