from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from perdure.limits import ALARM_RETRIES_MAX
from perdure.storage import AlarmChange, Database
from perdure.storage._template import new_database

NOW_MS = 1_000


def change(database: Database) -> AlarmChange | None:
    """What the commit says of the alarm."""
    captured = database.commit()
    return None if captured is None else captured.alarm


def doubling(exponent: int) -> int:
    return 2_000 << exponent


def test_a_database_has_no_alarm_at_first(database: Database) -> None:
    assert database.alarm.get() is None
    database.alarm.delete()
    assert database.commit() is None


def test_an_alarm_rides_in_the_commit(database: Database) -> None:
    database.alarm.set(5_000, now_ms=NOW_MS)

    assert database.alarm.get() == 5_000
    assert change(database) == AlarmChange(5_000)
    database.kv_put("a", "1")
    assert change(database) is None


def test_a_past_alarm_is_due_now(database: Database) -> None:
    database.alarm.set(5, now_ms=NOW_MS)

    assert database.alarm.get() == NOW_MS


def test_the_same_alarm_again_writes_nothing(database: Database) -> None:
    database.alarm.set(5_000, now_ms=NOW_MS)
    database.commit()

    database.alarm.set(5_000, now_ms=NOW_MS)

    assert not database.in_unit


def test_a_deleted_alarm_is_said_with_the_commit(database: Database) -> None:
    database.alarm.set(5_000, now_ms=NOW_MS)
    database.commit()

    database.alarm.delete()

    assert database.alarm.get() is None
    assert change(database) == AlarmChange(None)


def test_a_rollback_brings_the_former_alarm_back(database: Database) -> None:
    database.alarm.set(5_000, now_ms=NOW_MS)
    database.commit()
    database.alarm.set(6_000, now_ms=NOW_MS)

    database.rollback()

    assert database.alarm.get() == 5_000
    database.kv_put("a", "1")
    assert change(database) is None


def test_a_rolled_back_savepoint_is_not_said(database: Database) -> None:
    database.kv_put("a", "0")
    database.host_exec("SAVEPOINT one")
    database.alarm.set(6_000, now_ms=NOW_MS)
    database.host_exec("ROLLBACK TO one")
    database.host_exec("RELEASE one")

    assert database.alarm.get() is None
    assert change(database) == AlarmChange(None)
    database.alarm.set(7_000, now_ms=NOW_MS)
    assert change(database) == AlarmChange(7_000)


def test_an_alarm_is_hidden_while_it_runs_and_stays_until_it_succeeded(database: Database) -> None:
    database.alarm.set(5_000, now_ms=NOW_MS)
    database.commit()

    row = database.alarm.begin(now_ms=5_000)
    assert row is not None
    assert database.alarm.get() is None
    assert database.alarm.row_or_none() == row

    database.kv_put("a", "1")
    database.alarm.finish(row.generation)
    assert change(database) == AlarmChange(None)
    assert database.alarm.row_or_none() is None


def test_an_alarm_that_is_not_due_does_not_begin(database: Database) -> None:
    assert database.alarm.begin(now_ms=NOW_MS) is None
    database.alarm.set(5_000, now_ms=NOW_MS)

    assert database.alarm.begin(now_ms=4_999) is None
    assert database.alarm.get() == 5_000


def test_an_alarm_set_by_the_handler_outlives_it(database: Database) -> None:
    database.alarm.set(5_000, now_ms=NOW_MS)
    row = database.alarm.begin(now_ms=5_000)
    assert row is not None
    database.alarm.set(9_000, now_ms=5_000)

    database.alarm.finish(row.generation)

    assert database.alarm.get() == 9_000
    assert database.alarm.fail(row.generation, now_ms=5_000, delay_ms=doubling) is None
    assert database.alarm.get() == 9_000


def test_an_alarm_set_deleted_and_set_again_is_another(database: Database) -> None:
    database.alarm.set(5_000, now_ms=NOW_MS)
    row = database.alarm.begin(now_ms=5_000)
    assert row is not None
    database.alarm.set(9_000, now_ms=0)
    database.alarm.delete()
    database.alarm.set(9_000, now_ms=0)

    database.alarm.finish(row.generation)

    assert database.alarm.get() == 9_000


def test_deleting_in_the_handler_keeps_the_retry(database: Database) -> None:
    database.alarm.set(5_000, now_ms=NOW_MS)
    row = database.alarm.begin(now_ms=5_000)
    assert row is not None

    database.alarm.delete()

    assert database.alarm.fail(row.generation, now_ms=5_000, delay_ms=doubling) is not None


def test_failures_are_counted_and_the_last_one_ends_it(database: Database) -> None:
    database.alarm.set(5_000, now_ms=NOW_MS)
    delays = []
    now_ms = 5_000
    for _ in range(ALARM_RETRIES_MAX):
        row = database.alarm.begin(now_ms=now_ms)
        assert row is not None
        following = database.alarm.fail(row.generation, now_ms=now_ms, delay_ms=doubling)
        assert following is not None
        assert following.scheduled_ms == 5_000
        delays.append(following.attempt_ms - now_ms)
        now_ms = following.attempt_ms
        database.alarm.end_run()
        assert change(database) == AlarmChange(now_ms)

    assert delays == [2_000, 4_000, 8_000, 16_000, 32_000, 64_000]
    row = database.alarm.begin(now_ms=now_ms)
    assert row is not None
    assert row.retries == ALARM_RETRIES_MAX
    assert database.alarm.fail(row.generation, now_ms=now_ms, delay_ms=doubling) is None
    assert change(database) == AlarmChange(None)


def test_delays_can_begin_anew_while_failures_go_on_counting(database: Database) -> None:
    database.alarm.set(5_000, now_ms=NOW_MS)
    attempts = []
    for begins_anew in (False, False, True, False):
        row = database.alarm.row_or_none()
        assert row is not None
        following = database.alarm.fail(row.generation, now_ms=0, delay_ms=doubling, begins_anew=begins_anew)
        assert following is not None
        attempts.append((following.attempt_ms, following.retries))

    assert attempts == [(2_000, 1), (4_000, 2), (2_000, 3), (4_000, 4)]


def test_restating_says_the_alarm_again(database: Database) -> None:
    database.alarm.restate()
    assert change(database) == AlarmChange(None)
    database.alarm.set(5_000, now_ms=NOW_MS)
    database.commit()

    database.alarm.restate()

    assert change(database) == AlarmChange(5_000)


class AlarmMachine(RuleBasedStateMachine):
    """One database's alarm beside a model of it, through commits, rollbacks and restarts."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = tempfile.TemporaryDirectory()
        self.path = Path(self.directory.name) / "object.sqlite"
        self.path.write_bytes(new_database())
        self.database = Database.open(self.path, number=0)
        self.now_ms = 1_000
        self.indexed: int | None = None
        self.model: tuple[int, int] | None = None  # attempt, generation
        self.committed: tuple[int, int] | None = None
        self.running: int | None = None

    def teardown(self) -> None:
        self.database.close()
        self.directory.cleanup()

    @rule(delay_ms=st.integers(0, 5_000))
    def time_passes(self, delay_ms: int) -> None:
        self.now_ms += delay_ms

    @rule(at_ms=st.integers(1, 20_000))
    def set(self, at_ms: int) -> None:
        self.database.alarm.set(at_ms, now_ms=self.now_ms)
        row = self.database.alarm.row_or_none()
        assert row is not None
        assert row.attempt_ms == max(at_ms, self.now_ms)
        self.model = (row.attempt_ms, row.generation)

    @rule()
    def delete(self) -> None:
        self.database.alarm.delete()
        if self.model is not None and self.model[1] != self.running:
            self.model = None

    @precondition(lambda self: self.running is None)
    @rule()
    def begin(self) -> None:
        row = self.database.alarm.begin(now_ms=self.now_ms)
        is_due = self.model is not None and self.model[0] <= self.now_ms
        assert (row is not None) == is_due
        self.running = None if row is None else row.generation

    @precondition(lambda self: self.running is not None)
    @rule(succeeds=st.booleans())
    def end(self, *, succeeds: bool) -> None:
        assert self.running is not None
        if succeeds:
            self.database.alarm.finish(self.running)
            if self.model is not None and self.model[1] == self.running:
                self.model = None
        else:
            self.database.alarm.fail(self.running, now_ms=self.now_ms, delay_ms=doubling)
            row = self.database.alarm.row_or_none()
            self.model = None if row is None else (row.attempt_ms, row.generation)
        self.database.alarm.end_run()
        self.running = None

    @rule()
    def commit(self) -> None:
        captured = self.database.commit()
        if captured is not None and captured.alarm is not None:
            self.indexed = captured.alarm.at_ms
        self.committed = self.model

    @rule()
    def rollback(self) -> None:
        self.database.rollback()
        self.model = self.committed

    @rule()
    def restart(self) -> None:
        self.database.close()
        self.database = Database.open(self.path, number=0)
        self.model, self.running = self.committed, None

    @invariant()
    def the_index_is_what_is_committed(self) -> None:
        assert self.indexed == (None if self.committed is None else self.committed[0])

    @invariant()
    def the_row_is_the_models(self) -> None:
        row = self.database.alarm.row_or_none()
        assert (None if row is None else (row.attempt_ms, row.generation)) == self.model
        is_hidden = self.model is None or self.model[1] == self.running
        assert (self.database.alarm.get() is None) == is_hidden


TestAlarm = AlarmMachine.TestCase
TestAlarm.settings = settings(max_examples=30, stateful_step_count=30, deadline=None)
