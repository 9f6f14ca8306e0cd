"""Experiment (e): the root log as a small pure model, crashed at every step.

One root object: a root database (0) and facets (1, 2) share one sequence of records. Commits go to the WAL of their
database; at most one append is in flight; commits made meanwhile fold into the next record (last image per page). A
checkpoint copies a database's WAL into its main file, fsync makes that file durable, then the journal may forget.

After every step the model is asked: what could be left after a crash of the process, and after a power loss? Pages are
independent of each other once the surviving record is fixed, so *every* combination of surviving page writes is covered
by looking at each page's possible contents alone. Recovery keeps the main file, drops the WAL, replays every record the
journal still has. It must give exactly the first k commits of the root, in order, with k the commits whose records
reached the journal, and every acknowledged commit among them. Some runs really crash, also during a replay, and go on.

    python benchmarks/experiments/e_root_log_model.py            the model, then every mutation
    python benchmarks/experiments/e_root_log_model.py skip_fsync one mutation, with its shortest history
"""
import sys
import time
from dataclasses import dataclass, field

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

DATABASES, PAGES = (0, 1, 2), (1, 2)
EMPTY, TORN = 0, -1             # what a page may hold, besides the number of the commit that wrote it

MUTATIONS = {
    "skip_fsync": "forget after a checkpoint without fsync of the file",
    "skip_directory_fsync": "forget before the directory entry of a new file is durable",
    "forget_before_fsync": "forget when the checkpoint is asked for, before its fsync is done",
    "checkpoint_unacknowledged": "checkpoint while commits of this database are not acknowledged",
    "fold_into_unknown": "fold new pages into a record whose append has an unknown outcome",
    "trust_replay": "take a replayed main file for a durable one",
    "forget_by_root": "forget what the root database has made durable, without asking the facets",
    "release_all": "an acknowledgement releases waiters of commits folded into the next record too",
    "two_in_flight": "send the next record before the one in flight is acknowledged",
}


@dataclass(frozen=True)
class Record:
    seq: int
    pages: tuple                # ((database, page), commit) pairs: last image per page
    commits: tuple              # commits it makes durable, in order


@dataclass
class File:
    """A database's main file: what the kernel shows, what the disk holds, what lies between."""
    cache: dict = field(default_factory=dict)
    disk: dict = field(default_factory=dict)
    unsynced: dict = field(default_factory=dict)    # page -> every value written since the last fsync
    created: bool = False
    entry_durable: bool = False

    def write(self, page, value):
        self.created = True
        self.cache[page] = value
        self.unsynced.setdefault(page, set()).add(value)

    def fsync(self):
        self.disk, self.unsynced = dict(self.cache), {}

    def after_power_loss(self, page) -> set:
        values = {self.disk.get(page, EMPTY)} | self.unsynced.get(page, set())
        if page in self.unsynced:
            values.add(TORN)
        return values if self.entry_durable else values | {EMPTY}


@dataclass
class RootLog:
    mutation: str = ""
    history: list = field(default_factory=list)         # (database, pages) of commit n at n - 1
    # in memory
    wal: dict = field(default_factory=lambda: {d: {} for d in DATABASES})
    pending: dict = field(default_factory=dict)         # (database, page) -> commit: the next record
    folded: list = field(default_factory=list)          # the commits in it
    inflight: Record | None = None
    known: int = 0                                      # last acknowledged sequence
    released: set = field(default_factory=set)          # commits whose replies have left
    covered: dict = field(default_factory=lambda: dict.fromkeys(DATABASES, 0))  # main file holds records up to here
    durable: dict = field(default_factory=lambda: dict.fromkeys(DATABASES, 0))  # and durably up to here
    dirty: set = field(default_factory=set)             # databases whose durable main file lacks something
    # on disk
    files: dict = field(default_factory=lambda: {d: File() for d in DATABASES})
    # the journal and the way to it
    rows: dict = field(default_factory=dict)
    head: int = 0
    snap: int = 0                                       # forgotten up to here
    transit: list = field(default_factory=list)         # appends that may still land

    # ---- what the object does
    def unacknowledged(self, db) -> bool:
        inflight = self.inflight.pages if self.inflight else ()
        return any(d == db for (d, _) in self.pending) or any(d == db for (d, _), _ in inflight)

    def commit(self, db, pages):
        self.history.append((db, pages))
        number = len(self.history)
        if db not in self.dirty:
            self.dirty.add(db)
            self.covered[db] = self.durable[db] = self.known
        for page in pages:
            self.wal[db][page] = number
            self.pending[db, page] = number
        self.folded.append(number)

    def seal(self):
        seq = (self.inflight.seq if self.inflight else self.known) + 1
        self.inflight = Record(seq, tuple(self.pending.items()), tuple(self.folded))
        self.pending, self.folded = {}, []
        self.transit.append(self.inflight)

    def may_seal(self) -> bool:
        return bool(self.folded) and (self.inflight is None or self.mutation == "two_in_flight")

    def settle(self):
        """The acknowledgement, or after a lost one the question `what is the head?`; resend the same record or go on."""
        record = self.inflight
        if self.head >= record.seq:
            self.known, self.inflight = record.seq, None
            self.released |= set(record.commits)
            if self.mutation == "release_all":
                self.released |= set(self.folded)
            return
        if self.mutation == "fold_into_unknown":
            record = Record(record.seq, tuple((dict(record.pages) | self.pending).items()), record.commits + tuple(self.folded))
            self.inflight, self.pending, self.folded = record, {}, []
        self.transit.append(record)

    # ---- compaction
    def may_checkpoint(self, db) -> bool:
        allowed = self.mutation == "checkpoint_unacknowledged" or not self.unacknowledged(db)
        return bool(self.wal[db]) and allowed

    def checkpoint(self, db):
        for page, value in self.wal[db].items():
            self.files[db].write(page, value)
        self.wal[db] = {}
        self.covered[db] = self.known
        if self.mutation == "forget_before_fsync":
            self.durable[db] = self.known
            self.forget()

    def fsync(self, db):
        if self.mutation != "skip_fsync":
            self.files[db].fsync()
        self.durable[db] = self.covered[db]

    def fsync_directory(self):
        for file in self.files.values():
            file.entry_durable = file.created

    def clean(self, db) -> bool:
        file = self.files[db]
        if self.mutation in ("skip_fsync", "forget_before_fsync"):
            return not self.wal[db]
        entry = file.entry_durable or not file.created or self.mutation == "skip_directory_fsync"
        return not self.wal[db] and not file.unsynced and entry

    def forgettable(self) -> int:
        self.dirty = {d for d in self.dirty if not self.clean(d)}
        ask = self.dirty & {0} if self.mutation == "forget_by_root" else self.dirty
        entry = lambda d: self.files[d].entry_durable or self.mutation in ("skip_directory_fsync", "forget_before_fsync")
        return min((self.durable[d] if entry(d) else self.snap for d in ask), default=self.known)

    def forget(self):
        upto = max(self.snap, self.forgettable())
        self.forgot += upto > self.snap
        self.rows = {s: r for s, r in self.rows.items() if s > upto}
        self.snap = upto

    # ---- the journal
    def land(self, record):
        self.transit.remove(record)
        if record.seq == self.head + 1:                 # the fence: compare-and-set of head
            self.rows[record.seq], self.head = record, record.seq

    # ---- crash and recovery
    def survivors(self):
        """Every journal a crash may leave: as it is, or with one of the appends on their way."""
        yield self.rows, self.head
        for record in self.transit:
            if record.seq == self.head + 1:
                yield self.rows | {record.seq: record}, record.seq

    def contents(self, db, page, power: bool) -> set:
        """Every value the page of the main file may hold after a crash now, a checkpoint being under way if it may be."""
        file = self.files[db]
        values = file.after_power_loss(page) if power else {file.cache.get(page, EMPTY)}
        if self.may_checkpoint(db) and page in self.wal[db]:
            values = values | {self.wal[db][page]} | ({TORN} if power else set())
        return values

    def expected(self, rows, head) -> tuple[int, dict]:
        """Commits that reached the journal, and the pages they give."""
        reached = self.reached | {c for r in rows.values() for c in r.commits}
        k = max(reached, default=0)
        assert reached == set(range(1, k + 1)), f"not a prefix: {sorted(reached)}"
        pages = {}
        for number, (db, changed) in enumerate(self.history[:k], 1):
            pages.update({(db, p): number for p in changed})
        return k, pages

    reached: set = field(default_factory=set)           # ghost: commits of records that were ever in the journal
    forgot: int = 0                                     # ghost: how often the journal really forgot something

    def check(self):
        for rows, head in self.survivors():
            assert sorted(rows) == list(range(self.snap + 1, head + 1)), "a hole in the journal"
            k, pages = self.expected(rows, head)
            lost = self.released - set(range(1, k + 1))
            assert not lost, f"acknowledged, but not in the journal: {sorted(lost)}"
            replay = {}
            for seq in sorted(rows):
                replay.update(dict(rows[seq].pages))
            for power in (False, True):
                for db in DATABASES:
                    for page in PAGES:
                        for value in self.contents(db, page, power):
                            got, want = replay.get((db, page), value), pages.get((db, page), EMPTY)
                            crash = "power loss" if power else "process crash"
                            assert got == want, f"after {crash}, database {db} page {page} holds {got}, not {want}"

    def recover(self, choose, power: bool, interrupted: int | None):
        """Crash now and come back; `choose` picks among what may survive. Interrupted: replay so many records, then crash again."""
        self.rows, self.head = choose(list(self.survivors()))
        for db, file in self.files.items():
            file.cache = {p: choose(sorted(self.contents(db, p, power))) for p in PAGES}
            if power:
                file.disk, file.unsynced = dict(file.cache), {}
        k = self.expected(self.rows, self.head)[0]
        self.history = self.history[:k]
        self.wal, self.pending, self.folded = {d: {} for d in DATABASES}, {}, []
        self.inflight, self.transit, self.known = None, [], self.head
        self.released = set(range(1, k + 1))            # every survivor may be read from now on
        self.dirty = set()
        for n, seq in enumerate(sorted(self.rows)):
            if n == interrupted:
                return self.recover(choose, power, None)
            for (db, page), value in self.rows[seq].pages:
                self.files[db].write(page, value)
                self.dirty.add(db)
                self.covered[db], self.durable[db] = self.head, self.snap
        if self.mutation == "trust_replay":
            self.dirty = set()


class Machine(RuleBasedStateMachine):
    mutation = ""
    steps = crashes = forgot = 0

    def __init__(self):
        super().__init__()
        self.log = RootLog(self.mutation)

    @rule(db=st.sampled_from(DATABASES), pages=st.sets(st.sampled_from(PAGES), min_size=1))
    def commit(self, db, pages):
        self.log.commit(db, tuple(sorted(pages)))

    @precondition(lambda self: self.log.may_seal())
    @rule()
    def seal(self):
        self.log.seal()

    @precondition(lambda self: self.log.transit)
    @rule(data=st.data())
    def land(self, data):
        self.log.land(data.draw(st.sampled_from(self.log.transit)))
        self.log.reached |= {c for r in self.log.rows.values() for c in r.commits}

    @precondition(lambda self: self.log.transit)
    @rule(data=st.data())
    def lose(self, data):
        self.log.transit.remove(data.draw(st.sampled_from(self.log.transit)))

    @precondition(lambda self: self.log.inflight)
    @rule()
    def settle(self):
        self.log.settle()

    @rule(db=st.sampled_from(DATABASES))
    def checkpoint(self, db):
        if self.log.may_checkpoint(db):
            self.log.checkpoint(db)

    @rule(db=st.sampled_from(DATABASES))
    def fsync(self, db):
        self.log.fsync(db)

    @rule()
    def fsync_directory(self):
        self.log.fsync_directory()

    @rule()
    def forget(self):
        self.log.forget()

    @rule(data=st.data(), power=st.booleans(), interrupted=st.none() | st.integers(0, 3))
    def crash(self, data, power, interrupted):
        self.log.recover(lambda options: options[data.draw(st.integers(0, len(options) - 1))], power, interrupted)
        self.log.reached = set(range(1, len(self.log.history) + 1))
        Machine.crashes += 1

    @rule(order=st.lists(st.sampled_from(("seal", "land", "settle", "checkpoint", "fsync", "directory", "forget")), max_size=3),
          db=st.sampled_from(DATABASES))
    def straight_on(self, order, db):
        """What the program does when nothing goes wrong, step by step, some steps once more or out of turn: random walks
        alone hardly ever reach the end of a compaction."""
        log = self.log
        for step in ("seal", "land", "settle", *order, "checkpoint", "fsync", "directory", "forget"):
            targets = DATABASES if step not in order else (db,)
            if step == "seal" and log.may_seal():
                log.seal()
            elif step == "land" and log.transit:
                log.land(log.transit[0])
                log.reached |= {c for r in log.rows.values() for c in r.commits}
            elif step == "settle" and log.inflight:
                log.settle()
            elif step == "checkpoint":
                for target in targets:
                    if log.may_checkpoint(target):
                        log.checkpoint(target)
            elif step == "fsync":
                for target in targets:
                    log.fsync(target)
            elif step == "directory":
                log.fsync_directory()
            elif step == "forget":
                log.forget()
            self.survives_every_crash()

    def teardown(self):
        Machine.forgot += self.log.forgot

    @invariant()
    def survives_every_crash(self):
        Machine.steps += 1
        self.log.check()

    @invariant()
    def waiters_are_their_own(self):
        """A database waits only for its own commits, and every commit is released or on its way."""
        log = self.log
        on_the_way = set(log.folded) | set(log.inflight.commits if log.inflight else ())
        if not log.mutation:
            assert log.released | on_the_way == set(range(1, len(log.history) + 1))
            assert not log.released & on_the_way


def explore(mutation: str, examples: int, quiet: bool = True) -> str:
    machine = type("RootLogMachine", (Machine,), {"mutation": mutation})
    Machine.steps = Machine.crashes = Machine.forgot = 0
    start = time.perf_counter()
    phases = (Phase.generate,) if quiet else (Phase.generate, Phase.shrink)
    try:
        run_state_machine_as_test(machine, settings=settings(
            max_examples=examples, stateful_step_count=60, deadline=None, database=None, derandomize=True,
            phases=phases, suppress_health_check=list(HealthCheck), print_blob=False))
    except AssertionError as error:
        if not quiet:
            raise
        return f"FOUND in {time.perf_counter() - start:.1f} s, {Machine.steps:,} states: {error.args[0]}"
    return f"holds: {Machine.steps:,} states (each crashed in every way), {Machine.crashes:,} crashes survived and continued, " \
           f"{Machine.forgot:,} forgets, " \
           f"{time.perf_counter() - start:.0f} s"


if __name__ == "__main__":
    if len(sys.argv) > 1:
        explore(sys.argv[1], 5_000, quiet=False)
        sys.exit()
    print(f"{'the model':26s} {explore('', 1_500)}", flush=True)
    for name in MUTATIONS:
        print(f"{name:26s} {explore(name, 5_000)}", flush=True)
