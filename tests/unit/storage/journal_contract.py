"""What every journal must do: a hypothesis machine that drives one through its seven methods and remembers what was
acknowledged. A journal's own test subclasses `JournalMachine` and says how to make one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from perdure.storage._disk import FileState
from perdure.storage._journal import (
    Adoption,
    AlarmChange,
    Append,
    DueAlarm,
    Elsewhere,
    Grant,
    Incarnation,
    Journal,
    Lease,
    Outcome,
    Snapshot,
    Verdict,
)
from perdure.storage._layout import ObjectKey
from perdure.storage._record import NO_DIGEST, Changed, Record, digest_of, encode_record

KEYS = (ObjectKey("Counter", bytes(32)), ObjectKey("Counter", bytes(31) + b"\1"), ObjectKey("App", bytes(32)))
NAMES = st.one_of(st.none(), st.text(max_size=3))
ALARMS = st.dictionaries(st.integers(0, 2), st.one_of(st.none(), st.integers(1, 50)), max_size=2)


@dataclass
class Owner:
    """What one holder of a grant believes."""

    grant: Grant
    head: int
    digest: bytes
    lease: Lease
    last: Append | None = None


@dataclass
class Truth:
    """What was acknowledged for one object."""

    records: list[bytes] = field(default_factory=list)
    forgotten: int = 0
    archived: int = 0
    name: str | None = None
    created_ms: int | None = None
    alarms: dict[int, int] = field(default_factory=dict)
    postponed: dict[int, int] = field(default_factory=dict)
    files: dict[tuple[int, ...], FileState] = field(default_factory=dict)
    current: Owner | None = None


class JournalMachine(RuleBasedStateMachine):
    """Subclass and override the four methods below."""

    registering_ends_earlier_ones = False
    """Whether whoever registers has proved already, by a lock, that all earlier incarnations ended."""

    leases = Bundle("leases")
    owners = Bundle("owners")

    def make_journal(self) -> Journal:
        raise NotImplementedError

    def close_journal(self) -> None:
        raise NotImplementedError

    def restart_journal(self) -> None:
        """Make `self.journal` another process's view: everything only remembered in memory is gone."""
        raise NotImplementedError

    def appended(self, append: Append) -> Outcome:
        """Append and wait for the answer."""
        raise NotImplementedError

    def __init__(self) -> None:
        super().__init__()
        self.journal = self.make_journal()
        self.truth = {key: Truth() for key in KEYS}
        self.incarnations = 0

    def teardown(self) -> None:
        self.close_journal()

    @rule(target=leases)
    def register(self) -> Lease:
        return self.registered()

    def registered(self) -> Lease:
        self.incarnations += 1
        for truth in self.truth.values() if self.registering_ends_earlier_ones else ():
            truth.current = None
        return self.journal.register(Incarnation(f"incarnation-{self.incarnations}"))

    @rule(target=leases)
    def restart(self) -> Lease:
        self.restart_journal()
        return self.registered()

    @rule(target=owners, lease=leases, key=st.sampled_from(KEYS))
    def acquire(self, lease: Lease, key: ObjectKey) -> Owner | None:
        grant = self.journal.acquire(lease, key)
        if isinstance(grant, Elsewhere):
            return None
        history = self.journal.load(grant)
        owner = Owner(grant, history.head, history.head_digest, lease)
        truth = self.truth[key]
        if truth.current is not None:
            assert grant.epoch > truth.current.grant.epoch, "an epoch came twice"
        truth.current = owner
        return owner

    @rule(owner=owners, body=st.binary(min_size=1, max_size=40), alarms=ALARMS, name=NAMES)
    def append(self, owner: Owner | None, body: bytes, alarms: dict[int, int | None], name: str | None) -> None:
        if owner is None:
            return
        append = self.next_append(owner, owner.head + 1, body, alarms, name)

        outcome = self.appended(append)

        truth = self.truth[owner.grant.key]
        if truth.current is owner:
            assert outcome.verdict is Verdict.ACKNOWLEDGED, f"the owner was refused: {outcome}"
        if outcome.verdict is Verdict.ACKNOWLEDGED:
            assert truth.current is owner, "a superseded owner committed"
            self.acknowledged(owner, append, outcome)

    @rule(owner=owners, skip=st.integers(-2, 3).filter(lambda skip: skip != 1))
    def append_out_of_turn(self, owner: Owner | None, skip: int) -> None:
        if owner is None or owner.head + skip < 1:
            return
        outcome = self.appended(self.next_append(owner, owner.head + skip, b"out of turn", {}))
        assert outcome.verdict is Verdict.FENCED, "a record that is not the next one was taken"

    @rule(owner=owners)
    def append_again(self, owner: Owner | None) -> None:
        if owner is None or owner.last is None:
            return
        outcome = self.appended(owner.last)
        if self.truth[owner.grant.key].current is owner:
            assert outcome.verdict is Verdict.ACKNOWLEDGED, "the answer to the same append changed"

    @rule(
        owner=owners,
        part=st.floats(0, 1),
        lineage=st.sampled_from([(), (1,), (1, 3)]),
        size=st.integers(0, 99),
        keeps_history=st.booleans(),
    )
    def snapshot(
        self, owner: Owner | None, part: float, lineage: tuple[int, ...], size: int, *, keeps_history: bool
    ) -> None:
        if owner is None:
            return
        truth = self.truth[owner.grant.key]
        until = round(len(truth.records) * part)
        digest = digest_of(truth.records[until - 1]) if until else NO_DIGEST
        state = FileState(size, size) if size else None
        self.journal.snapshot(Snapshot(owner.grant.key, {lineage: state}, until, digest, keeps_history))
        if not truth.records:
            return
        if until > truth.forgotten:
            truth.forgotten = until
            truth.archived = truth.archived if keeps_history else until
        truth.files.pop(lineage, None)
        if state is not None:
            truth.files[lineage] = state

    @rule(
        key=st.sampled_from(KEYS),
        name=NAMES,
        alarm=st.one_of(st.none(), st.integers(1, 50)),
        skip=st.sampled_from([0, 0, 0, 1]),
        keeps_history=st.booleans(),
    )
    def adopt(self, key: ObjectKey, name: str | None, alarm: int | None, skip: int, *, keeps_history: bool) -> None:
        truth = self.truth[key]
        digest = digest_of(truth.records[-1]) if truth.records else NO_DIGEST
        record = Record(len(truth.records) + 1 + skip, digest, 1_700_000_000_000, "forked", ())
        alarms = {} if alarm is None else {0: alarm}
        files = {(): FileState(4096, 1), (2,): FileState(8192, 2)}

        is_adopted = self.journal.adopt(Adoption(key, name, record, files, alarms, keeps_history))

        is_free = not truth.files and truth.forgotten == len(truth.records)
        assert is_adopted == (is_free and not skip)
        if not is_adopted:
            return
        truth.records.append(encode_record(record))
        truth.forgotten = len(truth.records)
        truth.archived = truth.archived if keeps_history else truth.forgotten
        truth.name = truth.name if name is None else name
        truth.created_ms = truth.created_ms or record.committed_at_ms
        truth.alarms, truth.files, truth.current = alarms, files, None

    @rule(key=st.sampled_from(KEYS), until=st.integers(0, 30))
    def archive(self, key: ObjectKey, until: int) -> None:
        self.journal.archive(key, until=until)
        truth = self.truth[key]
        truth.archived = max(truth.archived, min(until, truth.forgotten))

    @rule(key=st.sampled_from(KEYS), after=st.integers(0, 30), bytes_max=st.integers(0, 5_000))
    def records(self, key: ObjectKey, after: int, bytes_max: int) -> None:
        truth = self.truth[key]
        expected = truth.records[max(after, truth.archived) :]
        found = self.journal.records(key, after=after, bytes_max=bytes_max)
        assert found == expected[: len(found)]
        following = expected[len(found) :]
        if following:
            assert found, "a record larger than the bound must come alone"
            assert sum(map(len, found)) + len(following[0]) > bytes_max
        assert len(found) <= 1 or sum(map(len, found)) <= bytes_max

    @rule(namespace=st.sampled_from([None, "App", "Counter", "Other"]), limit=st.integers(1, 3))
    def objects(self, namespace: str | None, limit: int) -> None:
        listed = []
        page = self.journal.objects(namespace=namespace, limit=limit)
        while page:
            assert len(page) <= limit
            listed += page
            page = self.journal.objects(namespace=namespace, after=page[-1].key, limit=limit)
        expected = [
            (key, truth.name, len(truth.records), truth.created_ms, min(truth.alarms.values(), default=None))
            for key, truth in sorted(self.truth.items())
            if truth.records and namespace in {None, key.namespace}
        ]
        assert [entry[:5] for entry in listed] == expected
        for entry in listed:
            truth = self.truth[entry.key]
            assert entry.is_deleted == (not truth.files and truth.forgotten == len(truth.records))

    @rule(owner=consumes(owners))
    def release(self, owner: Owner | None) -> None:
        if owner is None:
            return
        self.journal.release(owner.grant)
        truth = self.truth[owner.grant.key]
        if truth.current is owner:
            truth.current = None
        outcome = self.appended(self.next_append(owner, owner.head + 1, b"late", {}))
        assert outcome.verdict is Verdict.FENCED, "a released grant still appends"

    @rule(until=st.integers(0, 60), limit=st.integers(1, 5))
    def due_alarms(self, until: int, limit: int) -> None:
        due = []
        page = self.journal.due_alarms(until_ms=until, limit=limit)
        while page:
            assert len(page) <= limit
            due += page
            page = self.journal.due_alarms(until_ms=until, limit=limit, after=page[-1])

        expected = [
            (at, key, number, truth.name, look)
            for key, truth in self.truth.items()
            for number, at in truth.alarms.items()
            if (look := truth.postponed.get(number, at)) <= until
        ]
        assert [alarm.look_ms for alarm in due] == sorted(alarm[-1] for alarm in expected)
        assert sorted(map(str, due)) == sorted(str(DueAlarm(*alarm)) for alarm in expected)

    @rule(alarms=st.lists(st.tuples(st.integers(0, 5), st.integers(1, 60)), max_size=3), is_stale=st.booleans())
    def postpone_alarms(self, alarms: list[tuple[int, int]], *, is_stale: bool) -> None:
        due = self.journal.due_alarms(until_ms=60, limit=6)
        wanted = [(due[position], until) for position, until in dict(alarms).items() if position < len(due)]
        if is_stale:
            wanted = [(alarm._replace(at_ms=alarm.at_ms + 1), until) for alarm, until in wanted]

        self.journal.postpone_alarms(wanted)

        for alarm, until in wanted if not is_stale else ():
            self.truth[alarm.key].postponed[alarm.number] = until

    @rule(namespace=st.sampled_from([None, "App", "Counter"]))
    def hurry_alarms(self, namespace: str | None) -> None:
        self.journal.hurry_alarms(namespace=namespace)

        for key, truth in self.truth.items():
            if namespace in {None, key.namespace}:
                truth.postponed.clear()

    @invariant()
    def what_was_acknowledged_is_there(self) -> None:
        for key, truth in self.truth.items():
            if truth.current is None:
                continue
            history = self.journal.load(truth.current.grant)
            assert history.records == tuple(truth.records[truth.forgotten :]), "acknowledged records differ"
            assert (history.forgotten, history.head) == (truth.forgotten, len(truth.records))
            assert (history.archived, history.name) == (truth.archived, truth.name)
            assert history.files == truth.files, key
            if truth.records:
                assert history.head_digest == digest_of(truth.records[-1])
            if truth.forgotten:
                assert history.forgotten_digest == digest_of(truth.records[truth.forgotten - 1])

    def next_append(
        self, owner: Owner, sequence: int, body: bytes, alarms: dict[int, Any], name: str | None = None
    ) -> Append:
        section = Changed((), False, 512, 1, {1: body.ljust(512, b"\0")})
        record = Record(sequence, owner.digest, 1_700_000_000_000 + sequence, "test", (section,))
        return Append(owner.grant, record, {number: AlarmChange(at) for number, at in alarms.items()}, name)

    def acknowledged(self, owner: Owner, append: Append, outcome: Outcome) -> None:
        data = encode_record(append.record)
        assert (outcome.digest, outcome.size_bytes) == (digest_of(data), len(data))
        truth = self.truth[owner.grant.key]
        truth.records.append(data)
        truth.created_ms = truth.created_ms or append.record.committed_at_ms
        truth.name = truth.name if append.name is None else append.name
        owner.head, owner.digest, owner.last = append.record.sequence, outcome.digest, append
        for number, alarm in append.alarms.items():
            truth.alarms.pop(number, None)
            truth.postponed.pop(number, None)
            if alarm.at_ms is not None:
                truth.alarms[number] = alarm.at_ms
