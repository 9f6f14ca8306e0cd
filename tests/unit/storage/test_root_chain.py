"""The root chain and recovery, crashed at every step: the model of decision 0005 around the real code.

The world (kernel, disk, journal, and the way to it) is modelled per page. After every step all that a crash of the
process or a loss of power may leave is looked at: pages are independent of each other once the journal that survives
is fixed, so looking at each page's possible contents covers every combination.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from perdure.storage._capture import Captured
from perdure.storage._journal import History
from perdure.storage._layout import Lineage, ObjectKey
from perdure.storage._record import NO_DIGEST, Record, digest_of, encode_record
from perdure.storage._recovery import FoldedFile, FoldedHistory, fold_history
from perdure.storage._root_chain import KeptRecord, RootChain

KEY = ObjectKey("Counter", bytes(32))
DATABASES: dict[int, Lineage] = {0: (), 1: (1,), 2: (1, 2)}
PAGES = (1, 2)
PAGE_SIZE = 512
ABSENT, TEMPLATE, TORN = -2, 0, -1  # what a page may hold, besides the number of the commit that wrote it


def image(value: int) -> bytes:
    return value.to_bytes(4, "little") * (PAGE_SIZE // 4)


def value_of(page: bytes) -> int:
    return int.from_bytes(page[:4], "little")


@dataclass
class File:
    """A main file: what the kernel shows, what the disk holds, what was written since the last sync."""

    cache: dict[int, int] = field(default_factory=dict)
    disk: dict[int, int] = field(default_factory=dict)
    unsynced: dict[int, set[int]] = field(default_factory=dict)
    entry_is_durable: bool = False

    def write(self, page: int, value: int) -> None:
        self.cache[page] = value
        self.unsynced.setdefault(page, set()).add(value)

    def sync(self) -> None:
        self.disk, self.unsynced = dict(self.cache), {}

    def after_power_loss(self, page: int) -> set[int]:
        values = {self.disk.get(page, ABSENT)} | self.unsynced.get(page, set())
        if page in self.unsynced:
            values.add(TORN)
        return values if self.entry_is_durable else values | {ABSENT}


class Machine(RuleBasedStateMachine):
    """`mutation` names a mistake to make; each must be found."""

    mutation = ""

    def __init__(self) -> None:
        super().__init__()
        self.history: list[tuple[int, tuple[int, ...]]] = []
        self.reached = 0
        self.released: set[int] = set()
        self.files = {number: File() for number in DATABASES}
        self.wal: dict[int, dict[int, int]] = {number: {} for number in DATABASES}
        self.rows: dict[int, bytes] = {}
        self.head, self.head_digest = 0, NO_DIGEST
        self.forgotten, self.forgotten_digest = 0, NO_DIGEST
        self.transit: list[Record] = []
        self.commits_of: dict[int, int] = {}  # record → the last commit in it
        self.boot(FoldedHistory([], {}))

    # ── what the driver does ─────────────────────────────────────────────────────────────────────────────────

    def boot(self, folded: FoldedHistory) -> None:
        self.chain: RootChain[int] = RootChain(
            forgotten=KeptRecord(self.forgotten, self.forgotten_digest, 0), kept=folded.kept
        )
        for number, lineage in DATABASES.items():
            if lineage in folded.files and self.mutation != "trust replay":
                self.chain.attach_replayed(number, lineage, is_deleted=False)
            elif any(number == committed for committed, _ in self.history):
                self.chain.attach(number, lineage)
            else:
                for page in PAGES:
                    self.files[number].write(page, TEMPLATE)
                self.chain.attach(number, lineage, template={page: image(TEMPLATE) for page in PAGES})

    @rule(number=st.sampled_from(list(DATABASES)), pages=st.sets(st.sampled_from(PAGES), min_size=1))
    def commit(self, number: int, pages: set[int]) -> None:
        self.history.append((number, tuple(sorted(pages))))
        value = len(self.history)
        self.wal[number].update(dict.fromkeys(pages, value))
        self.chain.commit(Captured(number, PAGE_SIZE, 2, {page: image(value) for page in pages}), value)

    @rule()
    def seal(self) -> None:
        if self.mutation == "two in flight" and self.chain.in_flight is not None:
            self.chain.known, self.chain.in_flight = self.chain.known + 1, None
        record = self.chain.seal_or_none(committed_at_ms=0, cause="")
        if record is not None:
            self.commits_of[record.sequence] = len(self.history)
            self.transit.append(record)

    @precondition(lambda self: self.transit)
    @rule(data=st.data())
    def land(self, data: st.DataObject) -> None:
        self.land_one(data.draw(st.sampled_from(self.transit)))

    def land_one(self, record: Record) -> None:
        self.transit.remove(record)
        if record.sequence == self.head + 1:
            data = encode_record(record)
            self.rows[record.sequence] = data
            self.head, self.head_digest = record.sequence, digest_of(data)
            self.reached = self.commits_of[record.sequence]

    @precondition(lambda self: self.transit)
    @rule(data=st.data())
    def lose(self, data: st.DataObject) -> None:
        self.transit.remove(data.draw(st.sampled_from(self.transit)))

    @rule()
    def settle(self) -> None:
        """The acknowledgement, or after a lost one the same record again."""
        record = self.chain.in_flight
        if record is None:
            return
        if self.head >= record.sequence:
            self.released |= set(self.chain.acknowledge(digest=self.head_digest, size_bytes=1))
            if self.mutation == "release all":
                self.released |= set(self.chain.take_waiters())
        elif record not in self.transit:
            self.transit.append(record)

    @rule(number=st.sampled_from(list(DATABASES)))
    def checkpoint(self, number: int) -> None:
        if not self.wal[number] or not self.may_checkpoint(number):
            return
        for page, value in self.wal[number].items():
            self.files[number].write(page, value)
        self.wal[number] = {}
        if self.chain.is_acknowledged(number):
            self.chain.checkpointed(number)

    def may_checkpoint(self, number: int) -> bool:
        return self.mutation == "checkpoint unacknowledged" or self.chain.is_acknowledged(number)

    @rule()
    def make_durable(self) -> None:
        covered = {number: self.chain.covered(number) for number in self.chain.syncable_numbers()}
        for number in covered:
            if self.mutation != "no sync of files":
                self.files[number].sync()
        self.survives_every_crash()
        if self.mutation != "no sync of directories":
            for file in self.files.values():
                file.entry_is_durable = True
        for number, sequence in covered.items():
            self.chain.synced(number, covered=sequence)
        last = self.chain.forgettable()
        if last is not None:
            self.rows = {sequence: data for sequence, data in self.rows.items() if sequence > last.sequence}
            self.forgotten, self.forgotten_digest = last.sequence, last.digest
            self.chain.forget(last.sequence)

    @rule(order=st.lists(st.sampled_from(["commit", "seal", "land", "settle", "checkpoint"]), max_size=3))
    def straight_on(self, order: list[str]) -> None:
        """When nothing goes wrong: random walks alone hardly ever reach the end of a compaction."""
        for step in ("seal", "land", "settle", *order, "checkpoint", "make_durable"):
            match step:
                case "commit":
                    self.commit(number=1, pages={1})
                case "land":
                    if self.transit:
                        self.land_one(self.transit[0])
                case "checkpoint":
                    for number in DATABASES:
                        self.checkpoint(number=number)
                case _:
                    getattr(self, step)()
            self.survives_every_crash()

    # ── crashes ──────────────────────────────────────────────────────────────────────────────────────────────

    @rule(data=st.data(), with_power=st.booleans())
    def crash(self, data: st.DataObject, *, with_power: bool) -> None:
        def choose(options: list[Any]) -> Any:
            return options[data.draw(st.integers(0, len(options) - 1))]

        for number, file in self.files.items():
            left = {page: choose(sorted(self.contents(number, page, with_power=with_power))) for page in PAGES}
            if ABSENT in left.values():
                left = {}
            file.cache = left
            if with_power:
                file.disk, file.unsynced = dict(left), {}
        self.history = self.history[: self.reached]
        self.released = set(range(1, self.reached + 1))
        self.transit, self.wal = [], {number: {} for number in DATABASES}
        folded = fold_history(KEY, self.kept_history())
        for number, lineage in DATABASES.items():
            if lineage in folded.files:
                for page, content in folded.files[lineage].pages.items():
                    self.files[number].write(page, value_of(content))
        self.boot(folded)

    def contents(self, number: int, page: int, *, with_power: bool) -> set[int]:
        """What a page of the main file may hold after a crash now, while a checkpoint may be under way."""
        file = self.files[number]
        values = file.after_power_loss(page) if with_power else {file.cache.get(page, ABSENT)}
        if self.may_checkpoint(number) and page in self.wal[number]:
            values = values | {self.wal[number][page]} | ({TORN} if with_power else set())
        return values

    def kept_history(self) -> History:
        rows = tuple(self.rows[sequence] for sequence in sorted(self.rows))
        return History(self.forgotten, self.forgotten_digest, self.head, self.head_digest, rows, {})

    @invariant()
    def survives_every_crash(self) -> None:
        assert self.released <= set(range(1, self.reached + 1)), "acknowledged, but not in the journal"
        expected = dict(self.expected())
        files = fold_history(KEY, self.kept_history()).files
        for number, lineage in DATABASES.items():
            for page in PAGES:
                want = expected.get((number, page))
                if want is None:
                    continue  # Nothing of this database reached the journal: its file is made anew.
                for with_power in (False, True):
                    for value in self.contents(number, page, with_power=with_power):
                        got = restored(files.get(lineage), page, value)
                        assert got == want, f"database {number} page {page} holds {got}, not {want}, {with_power=}"

    def expected(self) -> Iterator[tuple[tuple[int, int], int]]:
        for value, (number, pages) in enumerate(self.history[: self.reached], 1):
            if all(number != former for former, _ in self.history[: value - 1]):
                yield from (((number, page), TEMPLATE) for page in PAGES)
            yield from (((number, page), value) for page in pages)

    @invariant()
    def every_commit_is_released_or_on_its_way(self) -> None:
        waiting = self.chain._waiters + self.chain._in_flight_waiters
        assert sorted([*waiting, *self.released]) == list(range(1, len(self.history) + 1))


def restored(file: FoldedFile | None, page: int, value: int) -> int:
    if file is None or (page not in file.pages and not file.is_created):
        return value
    return value_of(file.pages.get(page, b""))


def explore(mutation: str, *, examples: int, phases: tuple[Phase, ...] = (Phase.generate,)) -> None:
    machine = type("RootChainMachine", (Machine,), {"mutation": mutation})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=30,
            deadline=None,
            database=None,
            derandomize=True,
            phases=phases,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_chain_survives_every_crash() -> None:
    explore("", examples=150, phases=(Phase.generate, Phase.shrink))


@pytest.mark.parametrize(
    "mutation",
    [
        "no sync of files",
        "no sync of directories",
        "checkpoint unacknowledged",
        "trust replay",
        "release all",
        "two in flight",
    ],
)
def test_crashes_find_the_mistake(mutation: str) -> None:
    with pytest.raises(Exception, match=r".+"):  # an assertion, or several at once
        explore(mutation, examples=600)
