"""RootLog: sends a root object's commits to the journal and tells them when they are durable.

Lives on the event loop. A failed or fenced append breaks it for good: every commit that waits, and every later one,
gets StorageFailedError, and the files are made whole from the journal before they are used again.
When the journal cannot tell what became of an append, it is sent again, later each time. Effects: clock, timers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator, Iterable, Mapping
from typing import Final

from perdure.clock import Clock
from perdure.errors import StorageFailedError
from perdure.limits import JOURNAL_RESEND_FIRST_MS, JOURNAL_RESEND_MS_MAX, ROOT_UNACKNOWLEDGED_BYTES_MAX
from perdure.storage._capture import Captured
from perdure.storage._journal import AlarmChange, Append, Grant, Journal, Outcome, Verdict
from perdure.storage._layout import Lineage, number_of
from perdure.storage._page_ledger import PageLedger
from perdure.storage._record import Deleted, Record, Section
from perdure.storage._root_chain import RootChain

_NO_ALARM: Final = AlarmChange(None)


class Commit:
    """One commit on its way. Awaiting it returns when the journal has acknowledged it, or raises."""

    __slots__ = ("_callbacks", "done", "error")

    def __init__(self) -> None:
        self.done = False
        self.error: StorageFailedError | None = None
        self._callbacks: list[Callable[[Commit], None]] = []

    def add_callback(self, callback: Callable[[Commit], None]) -> None:
        """Call back once it is decided: at once if it is already."""
        if self.done:
            callback(self)
        else:
            self._callbacks.append(callback)

    def settle(self, error: StorageFailedError | None = None) -> None:
        """Decide it; for the root log."""
        self.done, self.error = True, error
        callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            callback(self)

    def __await__(self) -> Generator[object, None, None]:
        if not self.done:
            decided: asyncio.Future[None] = asyncio.get_running_loop().create_future()

            def wake(_: Commit) -> None:
                if not decided.done():  # It may be cancelled.
                    decided.set_result(None)

            self.add_callback(wake)
            yield from decided
        if self.error is not None:
            raise StorageFailedError(str(self.error)) from self.error


class RootLog:
    """The way of one root object's commits, and its facets', to the journal."""

    def __init__(
        self,
        chain: RootChain[Commit],
        *,
        grant: Grant,
        journal: Journal,
        clock: Clock,
        name_to_tell: Callable[[], str | None] = lambda: None,
        alarm_set: Callable[[int], object] = lambda at_ms: None,
    ) -> None:
        self.chain = chain
        self.ledger: Final = PageLedger()
        """How large the databases are."""
        self.grant = grant
        self._name_to_tell = name_to_tell
        self._alarm_set = alarm_set
        self.error: StorageFailedError | None = None
        self._journal = journal
        self._clock = clock
        self._committed_at_ms = 0
        self._cause = ""
        self._alarms: dict[int, AlarmChange] = {}
        self._append: Append | None = None
        self._resend_ms = JOURNAL_RESEND_FIRST_MS
        self._observers: list[Commit] = []

    def submit(self, captured: Captured, *, cause: str = "") -> Commit:
        """Put a commit on its way, with what it says of the database's alarm; returns at once."""
        commit = Commit()
        if self.error is not None:
            commit.settle(self.error)
        elif self.chain.is_gone(captured.number):
            commit.settle()  # Its last turn ended on a thread after it was deleted: nobody will ask for it.
        else:
            self._take(captured, commit)
            self._go_on(cause)
        return commit

    def _take(self, captured: Captured, commit: Commit) -> None:
        """Let the next record have it, with what it says of the database's alarm."""
        self.chain.commit(captured, commit)
        self.ledger.record(self.chain.lineage(captured.number), captured.database_pages)
        if captured.alarm is not None:
            self._alarms[captured.number] = captured.alarm

    def delete(self, databases: Iterable[Lineage], *, captured: Iterable[Captured] = (), cause: str = "") -> Commit:
        """Put on its way that these databases are no more, nor their alarms.

        `captured`: what other databases say of that. All comes into one record, so that no crash can part it.
        """
        commit = Commit()
        if self.error is not None:
            commit.settle(self.error)
            return commit
        lineages = list(databases)
        for other in captured:
            self._take(other, Commit())
        self.chain.delete(lineages, commit)
        for lineage in lineages:
            self.ledger.record(lineage, 0)
        self._alarms.update(dict.fromkeys(map(number_of, lineages), _NO_ALARM))
        self._go_on(cause)
        return commit

    def rewrite(
        self,
        sections: Iterable[Section],
        *,
        captured: Captured | None = None,
        alarms: Mapping[int, AlarmChange] | None = None,
        cause: str,
    ) -> Commit:
        """Put on its way, as one record, what databases become: see `RootStore.rewrite`. `captured` goes with it."""
        commit = Commit()
        if self.error is not None:
            commit.settle(self.error)
            return commit
        if captured is not None:
            self._take(captured, Commit())
        sections = list(sections)
        self.chain.rewrite(sections, commit)
        for section in sections:
            if isinstance(section, Deleted):
                self.ledger.record(section.lineage, 0)
                self._alarms[number_of(section.lineage)] = _NO_ALARM
            else:
                self.ledger.record(section.lineage, section.database_pages)
        self._alarms.update(alarms or {})
        self._go_on(cause)
        return commit

    @property
    def has_room(self) -> bool:
        """False when so much is unacknowledged that no new event should start."""
        return self.chain.unacknowledged_bytes < ROOT_UNACKNOWLEDGED_BYTES_MAX

    async def wait_for_room(self) -> None:
        """Return when there is room. Raises StorageFailedError when the log breaks."""
        while not self.has_room:
            await self.wait_for_acknowledgement()

    async def wait_until_settled(self) -> None:
        """Return when nothing is on its way. Raises StorageFailedError when the log breaks."""
        while self.error is not None or not self.chain.is_settled:
            await self.wait_for_acknowledgement()

    async def wait_for_acknowledgement(self) -> None:
        """Return when the record in flight is acknowledged. Raises StorageFailedError when the log breaks."""
        acknowledgement = Commit()
        if self.error is not None:
            acknowledgement.settle(self.error)
        else:
            assert self.chain.in_flight is not None, "nothing is in flight that could be acknowledged"
            self._observers.append(acknowledgement)
        await acknowledgement

    def check_not_broken(self) -> None:
        """Raise StorageFailedError if the log is broken."""
        if self.error is not None:
            raise StorageFailedError(str(self.error)) from self.error

    def break_(self, reason: str) -> None:
        """Nothing more is acknowledged: what this object wrote lately may be lost, and must not be seen."""
        if self.error is not None:
            return
        self.error = StorageFailedError(reason)
        waiting = self.chain.take_waiters() + self._observers
        self._observers = []
        for commit in waiting:
            commit.settle(self.error)

    def _go_on(self, cause: str) -> None:
        self._committed_at_ms = self._clock.now_ms()
        if cause:
            self._cause = cause
        if self.chain.in_flight is None:
            self._send_next()

    def _send_next(self) -> None:
        record = self.chain.seal_or_none(committed_at_ms=self._committed_at_ms, cause=self._cause)
        if record is not None:
            self._send(record)

    def _send(self, record: Record) -> None:
        alarms, self._alarms = self._alarms, {}
        self._cause = ""
        self._append = Append(self.grant, record, alarms, self._name_to_tell())
        self._resend_ms = JOURNAL_RESEND_FIRST_MS
        self._journal.append(self._append, self._settle)

    def _send_again(self) -> None:
        """The same append: the journal knows it by its digest if it has it already."""
        if self.error is None:
            assert self._append is not None, "what is sent again was sent before"
            self._journal.append(self._append, self._settle)

    def _tell_alarms(self) -> None:
        """The index holds what the acknowledged record brought: say so before the next one takes its place."""
        assert self._append is not None
        for alarm in self._append.alarms.values():
            if alarm.at_ms is not None:
                self._alarm_set(alarm.at_ms)

    def _settle(self, outcome: Outcome) -> None:
        if self.error is not None:
            return
        match outcome.verdict:
            case Verdict.ACKNOWLEDGED:
                self._tell_alarms()
                released = self.chain.acknowledge(digest=outcome.digest, size_bytes=outcome.size_bytes)
                # First the next record, so that the disk never waits for whoever was released.
                self._send_next()
                for commit in released:
                    commit.settle()
                waiting, self._observers = self._observers, []
                for commit in waiting:
                    commit.settle()
            case Verdict.UNKNOWN:
                asyncio.get_running_loop().call_later(self._resend_ms / 1000, self._send_again)
                self._resend_ms = min(2 * self._resend_ms, JOURNAL_RESEND_MS_MAX)
            case Verdict.FENCED | Verdict.FAILED:
                self.break_(f"object `{self.grant.key.object_id.hex()}` was not made durable: {outcome.reason}")
