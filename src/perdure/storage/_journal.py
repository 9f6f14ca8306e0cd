"""Journal: the port behind which "durable" is decided. One contract suite for all implementations.

A journal holds, per root object: who owns it, its name, a chain of records since its files were last made durable,
what those files looked like then, and the alarms of its databases. All of it changes together with the record that
changed it. Older records may stay as history, until whoever archives them says that they are kept elsewhere.
`append` returns at once; the other methods may wait for a disk or a network.
Effects: none.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from perdure.storage._disk import FileState
from perdure.storage._layout import Lineage, ObjectKey
from perdure.storage._record import Record


@dataclass(frozen=True, slots=True)
class Incarnation:
    """One start of one process; `address` is where others reach it."""

    incarnation_id: str
    address: str = ""


@dataclass(frozen=True, slots=True)
class Lease:
    """The right of an incarnation to own objects, until `valid_until_s` of its monotonic clock."""

    incarnation: Incarnation
    valid_until_s: float


@dataclass(frozen=True, slots=True)
class Grant:
    """The right to append to one object. A later grant for the same object ends it.

    `claim` is unique to this grant: an epoch alone would repeat after a journal lost its tail.
    """

    key: ObjectKey
    epoch: int
    claim: str


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """Another incarnation, whose lease is valid, owns the object."""

    address: str


@dataclass(frozen=True, slots=True)
class History:
    """What the journal holds of one object: the files' states, and the records they do not yet hold durably.

    `records` are those behind `forgotten` up to `head`, in order. The two digests close the chain at both ends.
    `archived`: records up to here are gone; those between it and `forgotten` are history only. `name`: the object's,
    if it was ever told.
    """

    forgotten: int
    forgotten_digest: bytes
    head: int
    head_digest: bytes
    records: tuple[bytes, ...]
    files: dict[Lineage, FileState]
    archived: int = 0
    name: str | None = None


class AlarmChange(NamedTuple):
    """A database's alarm after a commit; None: it has none."""

    at_ms: int | None


class DueAlarm(NamedTuple):
    """An alarm of one database: the entry of the index, which changes together with the database.

    `look_ms`: when to look at it; `at_ms` unless it was postponed.
    """

    at_ms: int
    key: ObjectKey
    number: int
    name: str | None
    look_ms: int


class ListedObject(NamedTuple):
    """An object the journal knows: `created_ms` is of its first record, `alarm_at_ms` the earliest of its databases.

    `is_deleted`: nothing of it is left but history.
    """

    key: ObjectKey
    name: str | None
    head: int
    created_ms: int | None
    alarm_at_ms: int | None
    is_deleted: bool


class Verdict(enum.Enum):
    """What became of an append."""

    ACKNOWLEDGED = enum.auto()
    FENCED = enum.auto()  # the grant ended, or the record is not the next one; nothing was written
    FAILED = enum.auto()  # the journal gave up; whether it was written shows only after a restart
    UNKNOWN = enum.auto()  # perhaps it was written: append the same again to learn it


@dataclass(frozen=True, slots=True)
class Outcome:
    """The answer to one append. `digest` and `size_bytes` are the acknowledged record's."""

    verdict: Verdict
    digest: bytes = b""
    size_bytes: int = 0
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Append:
    """One record on its way, with the alarms that change together with it, by database number.

    `name`: the object's, to be kept; None when it is unknown or known to the journal already.
    """

    grant: Grant
    record: Record
    alarms: dict[int, AlarmChange]
    name: str | None = None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Some of an object's databases as files that are durable now.

    `files` replaces the states of those it names; None: the file is gone. Records up to `forget_until` are in
    nobody's way any more, and `digest` is that of the last of them. `keeps_history`: they stay until `archive`.
    """

    key: ObjectKey
    files: dict[Lineage, FileState | None]
    forget_until: int
    digest: bytes
    keeps_history: bool = False


@dataclass(frozen=True, slots=True)
class Adoption:
    """An object that begins with files which are durable already. `record` says why, and changes nothing.

    It is the object's first, or the next of one of which nothing but history is left. `keeps_history`: it stays until
    `archive`. `alarms`: by database number.
    """

    key: ObjectKey
    name: str | None
    record: Record
    files: dict[Lineage, FileState]
    alarms: dict[int, int]
    keeps_history: bool


class Journal(Protocol):
    """See the module. Methods raise StorageFailedError when the journal cannot answer."""

    def register(self, incarnation: Incarnation) -> Lease:
        """Announce a start of this process. What earlier incarnations of it owned is free."""
        ...

    def acquire(self, lease: Lease, key: ObjectKey) -> Grant | Elsewhere:
        """Own the object, which need not exist."""
        ...

    def load(self, grant: Grant) -> History:
        """What is needed to make the object's files whole."""
        ...

    def append(self, append: Append, done: Callable[[Outcome], None]) -> None:
        """Make the record durable: exactly the next of the object's chain, under a grant that has not ended.

        Returns at once; `done` is called on the event loop that called last. At most one append per object is on
        its way. Appending once more what was acknowledged already is acknowledged.
        """
        ...

    def snapshot(self, snapshot: Snapshot) -> None:
        """Forget records whose pages are durable in files. Needs no grant: it follows from the records alone."""
        ...

    def adopt(self, adoption: Adoption) -> bool:
        """Make the object, in one step. False, and nothing changes: it exists. A grant for it ends."""
        ...

    def records(self, key: ObjectKey, *, after: int, bytes_max: int) -> list[bytes]:
        """Records behind `after` that are still here, forgotten or not, in order: as many as `bytes_max` allows.

        At least one if there is one.
        """
        ...

    def archive(self, key: ObjectKey, *, until: int) -> None:
        """Drop forgotten records up to `until`: they are kept elsewhere, durably, or nobody wants them."""
        ...

    def release(self, grant: Grant) -> None:
        """End the grant: another may acquire the object without waiting for anything."""
        ...

    def objects(
        self, *, namespace: str | None = None, after: ObjectKey | None = None, limit: int
    ) -> list[ListedObject]:
        """A page of the objects, of one namespace or all, in the order of their keys: those behind `after`."""
        ...

    def due_alarms(self, *, until_ms: int, limit: int, after: DueAlarm | None = None) -> list[DueAlarm]:
        """A page of the alarms to look at up to a time, the earliest first: those behind `after`."""
        ...

    def postpone_alarms(self, alarms: Sequence[tuple[DueAlarm, int]]) -> None:
        """Look at these at another time, each at its own. One that its database has set anew stays as it is."""
        ...

    def hurry_alarms(self, *, namespace: str | None = None) -> None:
        """Take back every postponement, of one namespace or all."""
        ...
