"""RootChain: what a root object's commits are waiting for, decided without doing anything.

One sequence of records for a root and its facets. Commits fold into the next record, last image per page; a record is
sealed when none is in flight, and from then on it never changes, so it can be sent again when nobody knows what became
of it. The journal may forget a record when every database it changed holds it durably in its own file. This is the
model of docs/decisions/0005-root-log.md, in the shape of that model.
Effects: none.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

from perdure.storage._capture import Captured
from perdure.storage._layout import Lineage, number_of
from perdure.storage._record import Changed, Deleted, Record, Section

Waiter = TypeVar("Waiter")


class KeptRecord(NamedTuple):
    """A record the journal still holds."""

    sequence: int
    digest: bytes
    size_bytes: int


@dataclass(slots=True)
class _Pending:
    """What the next record will say of one database."""

    lineage: Lineage
    created: bool
    page_size: int
    database_pages: int
    pages: dict[int, bytes]

    def fold(self, captured: Captured) -> int:
        """Take in a later commit; returns by how many pages this grew."""
        before = len(self.pages)
        self.pages.update(captured.pages)
        if captured.database_pages < self.database_pages:
            kept = captured.database_pages
            self.pages = {number: page for number, page in self.pages.items() if number <= kept}
        self.database_pages = captured.database_pages
        return len(self.pages) - before


@dataclass(slots=True)
class _Database:
    """How far one database's own file has come. A clean database holds everything, durably.

    `covered`: the file holds the records up to here. `durable`: and would after a power loss.
    """

    lineage: Lineage
    template: dict[int, bytes] | None = None  # pages of a file just made, until they are in a record
    is_deleted: bool = False
    is_dirty: bool = False
    has_log: bool = False  # commits since the last checkpoint
    commits: int = 0
    covered: int = 0
    durable: int = 0


class RootChain(Generic[Waiter]):
    """The state of one root's chain. A waiter is anything the driver wants back when its commit is acknowledged."""

    def __init__(self, *, forgotten: KeptRecord, kept: Iterable[KeptRecord] = ()) -> None:
        self.kept = deque(kept)
        """The records the journal holds, oldest first."""
        last = self.kept[-1] if self.kept else forgotten
        self.forgotten = forgotten.sequence
        self.known = last.sequence
        """The last acknowledged sequence number."""
        self.digest = last.digest
        self.log_bytes = sum(record.size_bytes for record in self.kept)
        self.unacknowledged_bytes = 0
        self.in_flight: Record | None = None
        self._in_flight_bytes = 0
        self._in_flight_waiters: list[Waiter] = []
        self._in_flight_numbers: frozenset[int] = frozenset()
        self._pending: dict[int, _Pending | Deleted] = {}
        self._waiters: list[Waiter] = []
        self._databases: dict[int, _Database] = {}

    # ── databases ────────────────────────────────────────────────────────────────────────────────────────────

    def attach(self, number: int, lineage: Lineage, *, template: dict[int, bytes] | None = None) -> None:
        """Commits of this database may come. `template`: the pages of its file, when the file was just made."""
        database = self._databases.setdefault(number, _Database(lineage))
        if template is not None:
            database.template = template
            database.is_deleted = False

    def attach_replayed(self, number: int, lineage: Lineage, *, is_deleted: bool) -> None:
        """The database's file was just made whole, or removed, as records say. Not durably."""
        self._databases[number] = _Database(
            lineage, is_deleted=is_deleted, is_dirty=True, covered=self.known, durable=self.forgotten
        )

    def is_born(self, number: int) -> bool:
        """Whether something was ever committed to the database, and it is not deleted."""
        database = self._databases.get(number)
        return database is not None and database.template is None and not database.is_deleted

    def is_gone(self, number: int) -> bool:
        """Whether the database is deleted, and was not made anew."""
        database = self._databases.get(number)
        return database is not None and database.is_deleted

    def is_deleted(self, number: int) -> bool:
        return self._databases[number].is_deleted

    def live_lineages(self) -> list[Lineage]:
        """The databases that are born, the root's own first."""
        return sorted(database.lineage for number, database in self._databases.items() if self.is_born(number))

    def lineage(self, number: int) -> Lineage:
        return self._databases[number].lineage

    def dirty_numbers(self) -> list[int]:
        """The databases whose files lack something, or might after a power loss."""
        return [number for number, database in self._databases.items() if database.is_dirty]

    def syncable_numbers(self) -> list[int]:
        """The databases that a sync would make durable further than they are."""
        return [
            number
            for number, database in self._databases.items()
            if database.is_dirty
            and self.is_acknowledged(number)
            and (database.covered > database.durable or not database.has_log)
        ]

    def commit_count(self, number: int) -> int:
        """How often the database committed since it was attached."""
        database = self._databases.get(number)
        return 0 if database is None else database.commits

    def holds(self, number: int) -> int:
        """Up to which record the database's file holds everything, its `-wal` left aside."""
        database = self._databases[number]
        return database.covered if database.is_dirty else self.known

    @property
    def is_tree_confirmed(self) -> bool:
        """Whether no database is being made or deleted by a record that is not acknowledged."""
        sections = self.in_flight.sections if self.in_flight is not None else ()
        on_the_way = (*sections, *self._pending.values())
        return not any(isinstance(section, Deleted) or section.created for section in on_the_way)

    def has_log(self, number: int) -> bool:
        """Whether the database's file lacks commits that lie in its `-wal`."""
        return self._databases[number].has_log

    # ── commits ──────────────────────────────────────────────────────────────────────────────────────────────

    def commit(self, captured: Captured, waiter: Waiter) -> None:
        """A database committed: it waits for the next record, even when its pages are in the one in flight too."""
        number, page_size, database_pages, pages = captured[:4]
        database = self._databases[number]
        if not database.is_dirty:
            self._soil(database)
        database.has_log = True
        database.commits += 1
        pending = self._pending.get(number)
        if pending is None:
            created = database.template is not None
            if database.template is not None:
                pages = {page: image for page, image in (database.template | pages).items() if page <= database_pages}
                database.template = None
            self._pending[number] = _Pending(database.lineage, created, page_size, database_pages, pages)
            self.unacknowledged_bytes += len(pages) * page_size
        else:
            assert isinstance(pending, _Pending), f"database {number} was deleted, and committed afterwards"
            self.unacknowledged_bytes += pending.fold(captured) * page_size
        self._waiters.append(waiter)

    def delete(self, databases: Iterable[Lineage], waiter: Waiter) -> None:
        """These databases are no more: their numbers are gone for good."""
        for lineage in databases:
            number = number_of(lineage)
            database = self._databases.setdefault(number, _Database(lineage))
            if not database.is_dirty:
                self._soil(database)
            database.has_log, database.is_deleted, database.template = False, True, None
            self._pending[number] = Deleted(lineage)
        self._waiters.append(waiter)

    def rewrite(self, sections: Iterable[Section], waiter: Waiter) -> None:
        """These databases become what the sections say. Their files follow when the record is acknowledged:
        `checkpointed` tells so, and until then nobody may commit to them.
        """
        for section in sections:
            if isinstance(section, Deleted):
                self.delete([section.lineage], waiter)
                self._waiters.pop()  # It is told once, below.
                continue
            number = number_of(section.lineage)
            assert self.is_acknowledged(number), f"database {number} was rewritten with unacknowledged commits"
            database = self._databases.setdefault(number, _Database(section.lineage))
            if not database.is_dirty:
                self._soil(database)
            database.has_log, database.is_deleted, database.template = True, False, None
            database.commits += 1
            pages = dict(section.pages)
            self._pending[number] = _Pending(
                section.lineage, section.created, section.page_size, section.database_pages, pages
            )
            self.unacknowledged_bytes += len(pages) * section.page_size
        self._waiters.append(waiter)

    def _soil(self, database: _Database) -> None:
        database.is_dirty = True
        database.covered = database.durable = self.known

    # ── records ──────────────────────────────────────────────────────────────────────────────────────────────

    def seal_or_none(self, *, committed_at_ms: int, cause: str) -> Record | None:
        """The next record, now in flight; None while one is in flight or nothing waits."""
        if self.in_flight is not None or not self._pending:
            return None
        sections = tuple([_section(pending) for pending in self._pending.values()])
        self.in_flight = Record(self.known + 1, self.digest, committed_at_ms, cause, sections)
        self._in_flight_numbers = frozenset(self._pending)
        self._in_flight_waiters, self._waiters = self._waiters, []
        self._in_flight_bytes = self.unacknowledged_bytes
        self._pending = {}
        return self.in_flight

    def acknowledge(self, *, digest: bytes, size_bytes: int) -> list[Waiter]:
        """The record in flight is durable; returns whom to release."""
        record = self.in_flight
        assert record is not None, "an acknowledgement came, but no record is in flight"
        self.known, self.digest = record.sequence, digest
        self.kept.append(KeptRecord(record.sequence, digest, size_bytes))
        self.log_bytes += size_bytes
        self.unacknowledged_bytes -= self._in_flight_bytes
        for number in self._in_flight_numbers:
            if self._databases[number].is_deleted:
                # A sync that started before it was deleted must not make it a clean one: nobody would tell the journal.
                self._databases[number].covered = record.sequence
        self.in_flight, self._in_flight_bytes, self._in_flight_numbers = None, 0, frozenset()
        waiters, self._in_flight_waiters = self._in_flight_waiters, []
        return waiters

    def take_waiters(self) -> list[Waiter]:
        """All who wait, for a driver that gives up."""
        waiters = self._in_flight_waiters + self._waiters
        self._in_flight_waiters, self._waiters = [], []
        return waiters

    @property
    def is_settled(self) -> bool:
        """Whether everything that was committed is acknowledged."""
        return self.in_flight is None and not self._pending

    def is_acknowledged(self, number: int) -> bool:
        """Whether everything this database committed is acknowledged: what allows its checkpoint."""
        return number not in self._pending and number not in self._in_flight_numbers

    # ── files ────────────────────────────────────────────────────────────────────────────────────────────────

    def checkpointed(self, number: int) -> None:
        """The database's file holds everything it committed; its turn has not gone on meanwhile."""
        assert self.is_acknowledged(number), f"database {number} was checkpointed with unacknowledged commits"
        database = self._databases[number]
        database.covered, database.has_log = self.known, False

    def covered(self, number: int) -> int:
        """Up to where a sync that starts now makes the database durable."""
        return self._databases[number].covered

    def synced(self, number: int, *, covered: int) -> None:
        """The file is durable with what it held when the sync started: the records up to `covered`."""
        database = self._databases[number]
        database.durable = max(database.durable, covered)
        if not database.has_log and database.durable == database.covered and self.is_acknowledged(number):
            database.is_dirty = False

    def forgettable(self) -> KeptRecord | None:
        """The last record nobody needs, None when there is none to forget."""
        until = min(
            (database.durable for database in self._databases.values() if database.is_dirty), default=self.known
        )
        last = None
        for record in self.kept:
            if record.sequence > until:
                break
            last = record
        return last

    def forget(self, until: int) -> None:
        """The journal holds the records up to `until` no longer."""
        while self.kept and self.kept[0].sequence <= until:
            self.log_bytes -= self.kept.popleft().size_bytes
        self.forgotten = max(self.forgotten, until)


def _section(pending: _Pending | Deleted) -> Section:
    if isinstance(pending, Deleted):
        return pending
    return Changed(pending.lineage, pending.created, pending.page_size, pending.database_pages, pending.pages)
