"""Alarms (spec 3.9, 4.8): cases 54 to 60, 69 and E17 to E19."""

from __future__ import annotations

import logging
from itertools import pairwise
from typing import Any

import pytest
from tests.conformance.flavours import Subject, failure, type_name

from perdure.storage import Database, ObjectKey

pytestmark = pytest.mark.subject("alarms")


async def gaps_s(subject: Subject) -> list[float]:
    """The times between the runs of the handler."""
    ran = await subject.call("ranAt")
    return [(later - earlier) / 1000 for earlier, later in pairwise(ran)]


async def visit(subject: Subject, statement: str) -> None:
    """A change behind the back of object and index."""
    identity = (await subject.namespace()).id_from_name(subject.name)
    namespace = subject.kind if isinstance(subject.kind, str) else subject.kind.__name__
    key = ObjectKey(namespace, bytes.fromhex(str(identity)))
    directory = subject.world.platform._directory
    assert directory is not None

    def work(database: Database) -> None:
        database.host_exec(statement)

    await directory.visit(key, [], work, cause="test", may_write=True)


def pending(subject: Subject) -> list[Any]:
    """What the index on disk holds."""
    store = subject.world.platform._store
    assert store is not None
    return store.alarms(limit=100)


# ── 54, 55 ───────────────────────────────────────────────────────────────────────────────────────────────────


async def test_case_54_an_alarm_fires_once_and_not_before(subject: Subject) -> None:
    at = await subject.call("setIn", 50_000)

    assert await subject.call("get") == at
    await subject.world.advance(49.999)
    assert await subject.call("runs") == []
    await subject.world.advance(0.001)

    (run,) = await subject.call("runs")
    assert (run["at"], run["scheduled"], run["retries"], run["is_retry"], run["inside"]) == (at, at, 0, False, None)
    assert await subject.call("get") is None
    await subject.world.advance("1d")
    assert len(await subject.call("runs")) == 1
    assert pending(subject) == []


async def test_case_54_a_past_alarm_fires_now(subject: Subject) -> None:
    now = await subject.call("getNow")

    await subject.call("setAt", 5)

    await subject.world.settle()
    (run,) = await subject.call("runs")
    assert run["scheduled"] == run["at"] == now


async def test_case_54_a_later_alarm_replaces_an_earlier_one(subject: Subject) -> None:
    await subject.call("setTwice", 5_000, 60_000)

    await subject.world.advance(59)
    assert await subject.call("runs") == []
    await subject.world.advance(1)
    assert len(await subject.call("runs")) == 1


async def test_case_54_an_alarm_may_be_a_span(subject: Subject) -> None:
    assert await subject.call("span") == 7_000


@pytest.mark.parametrize(
    ("which", "words"), [("zero", "<= 0"), ("negative", "<= 0"), ("nan", "since"), ("text", "since"), ("late", "9999")]
)
async def test_case_54_a_time_that_cannot_be_is_refused(subject: Subject, which: str, words: str) -> None:
    error = await failure(subject.call("setBad", which))

    assert type_name(error) in {"AlarmError", "TypeError"}
    assert words in str(error)
    assert await subject.call("get") is None


async def test_case_54_only_a_class_with_a_handler_can_set_an_alarm(subject: Subject) -> None:
    error = await failure(subject.call("relay", ["handless"], "setIn", 1_000))

    assert "must have an alarm() handler" in str(error)
    assert await subject.call("relay", ["handless"], "get") is None


async def test_case_54_an_alarm_without_a_handler_is_dropped(
    subject: Subject, caplog: pytest.LogCaptureFixture
) -> None:
    await subject.call("relay", ["handless"], "letConstructorSet")
    await subject.world.advance("1m")  # Both are out of memory now.

    at = await subject.call("relay", ["handless"], "get")
    assert at is not None
    await subject.world.advance(2)

    assert "has no alarm() handler" in caplog.text
    assert pending(subject) == []


async def test_case_55_a_deleted_alarm_never_fires(subject: Subject) -> None:
    await subject.call("setIn", 5_000)

    await subject.call("clear")

    assert await subject.call("get") is None
    await subject.world.advance("1m")
    assert await subject.call("runs") == []


@pytest.mark.parametrize("mode", ["clear", "set_and_clear"])
async def test_case_55_deleting_in_the_handler_is_harmless(subject: Subject, mode: str) -> None:
    await subject.call("setMode", mode)
    await subject.call("setIn", 5_000)

    await subject.world.advance("1h")

    assert len(await subject.call("runs")) == 1
    assert await subject.call("get") is None


async def test_case_55_deleting_in_the_handler_does_not_stop_its_retry(subject: Subject) -> None:
    await subject.call("setMode", "fail_and_clear")
    await subject.call("setIn", 5_000)

    await subject.world.advance(8)

    assert len(await subject.call("runs")) == 2


async def test_an_alarm_set_in_the_handler_fires_later(subject: Subject) -> None:
    await subject.call("setMode", "again")
    await subject.call("setIn", 5_000)

    await subject.world.advance("1h")

    assert await gaps_s(subject) == [10, 10]
    assert [run["retries"] for run in await subject.call("runs")] == [0, 0, 0]


async def test_what_the_handler_wrote_last_and_its_end_are_one_commit(subject: Subject) -> None:
    await subject.call("setMode", "write_late")
    await subject.call("setIn", 1_000)
    await subject.world.advance(3)

    with subject.world.journal_held():
        await subject.world.advance(4)
        await subject.crash()

    # Held answers tell nobody; the record itself was durable, and so is the end of the alarm.
    late = await subject.call("late")
    await subject.world.advance("1m")
    assert (late, len(await subject.call("runs"))) in {(1, 1), (None, 2)}


# ── 56, 57 ───────────────────────────────────────────────────────────────────────────────────────────────────


async def test_case_56_a_cold_object_is_woken_and_knows_its_name(subject: Subject) -> None:
    name = await subject.call("ownName")
    await subject.call("setIn", 60_000)
    await subject.evict()

    await subject.restart()
    await subject.world.advance("61s")

    (run,) = await subject.call("runs")
    assert run["name"] == name
    assert name is not None


@pytest.mark.parametrize("how", ["restart", "crash"])
async def test_case_57_a_pending_alarm_outlives_the_process(subject: Subject, how: str) -> None:
    at = await subject.call("setIn", 30 * 24 * 3_600_000)

    await getattr(subject, how)()

    assert await subject.call("get") == at
    await subject.world.advance("30d")
    assert await subject.call("ranAt") == [at]


@pytest.mark.parametrize("how", ["restart", "crash"])
async def test_case_57_an_overdue_alarm_fires_at_start(subject: Subject, how: str) -> None:
    await subject.call("setIn", 5_000)
    await subject.world.platform.stop()
    subject.world.clock.advance(3_600)

    await getattr(subject, how)()
    await subject.world.advance(0)

    assert len(await subject.call("runs")) == 1


# ── 58 ───────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_case_58_a_failing_alarm_is_tried_seven_times(subject: Subject, caplog: pytest.LogCaptureFixture) -> None:
    await subject.call("setMode", "fail")
    at = await subject.call("setIn", 1_000)

    await subject.world.advance("1h")

    gaps = await gaps_s(subject)
    assert len(gaps) == 6
    for gap, shortest in zip(gaps, [2, 4, 8, 16, 32, 64], strict=True):
        assert shortest <= gap <= shortest * 1.25 + 0.001
    runs = await subject.call("runs")
    assert [run["retries"] for run in runs] == list(range(7))
    assert [run["is_retry"] for run in runs] == [False, *[True] * 6]
    assert {run["scheduled"] for run in runs} == {at}
    assert await subject.call("get") is None
    assert pending(subject) == []
    assert "is not tried again" in caplog.text


@pytest.mark.parametrize("how", ["restart", "crash"])
async def test_case_58_failures_are_counted_across_processes(subject: Subject, how: str) -> None:
    await subject.call("setMode", "fail")
    await subject.call("setIn", 1_000)
    await subject.world.advance(5)
    before = len(await subject.call("runs"))

    await getattr(subject, how)()
    await subject.world.advance("1h")

    runs = await subject.call("runs")
    assert 1 < before < 7
    assert [run["retries"] for run in runs] == list(range(7))


async def test_case_58_between_attempts_the_alarm_is_still_the_same(subject: Subject) -> None:
    await subject.call("setMode", "fail")
    at = await subject.call("setIn", 1_000)
    await subject.world.advance(1.5)

    assert await subject.call("get") == at
    await subject.call("clear")
    await subject.world.advance("1h")
    assert len(await subject.call("runs")) == 1


async def test_case_58_an_alarm_set_in_a_failing_handler_replaces_the_retry(subject: Subject) -> None:
    await subject.call("setMode", "set_and_fail")
    await subject.call("setIn", 1_000)

    await subject.world.advance("1h")

    assert await gaps_s(subject) == [100]
    assert [run["retries"] for run in await subject.call("runs")] == [0, 0]


async def test_case_58_what_keeps_the_handler_from_running_is_not_counted(subject: Subject) -> None:
    await subject.call("setIn", 20_000)
    await subject.call("failConstructor", 1_000_000)
    await subject.evict()

    await subject.world.advance("1h")

    subject.renew()
    (run,) = await subject.call("runs")
    assert run["retries"] == 0


async def test_case_58_a_handler_that_takes_too_long_is_ended_and_that_counts(subject: Subject) -> None:
    await subject.call("setMode", "sleep_long")
    await subject.call("setIn", 1_000)

    await subject.world.advance("16m")

    subject.renew()
    assert [run["retries"] for run in await subject.call("runs")] == [0, 1]
    assert 902 <= (await gaps_s(subject))[0] <= 902.6


# ── 59, 60 ───────────────────────────────────────────────────────────────────────────────────────────────────


async def test_case_59_an_abort_in_the_handler_counts_as_a_failure(subject: Subject) -> None:
    await subject.call("setMode", "abort")
    await subject.call("setIn", 1_000)

    await subject.world.advance("1m")

    subject.renew()
    assert [run["retries"] for run in await subject.call("runs")] == [0, 1]
    assert 3 <= (await gaps_s(subject))[0] <= 3.6


async def test_case_59_an_abort_can_drop_the_alarm(subject: Subject) -> None:
    await subject.call("setMode", "abort_for_good")
    await subject.call("setIn", 1_000)

    await subject.world.advance("1h")

    subject.renew()
    assert len(await subject.call("runs")) == 1
    assert await subject.call("get") is None
    assert pending(subject) == []


async def test_case_59_an_abort_keeps_an_alarm_set_meanwhile(subject: Subject) -> None:
    await subject.call("setMode", "set_and_abort_for_good")
    await subject.call("setIn", 1_000)

    await subject.world.advance("1h")

    subject.renew()
    assert await gaps_s(subject) == [50]


async def test_case_60_an_alarm_whose_commit_fails_fires_again(subject: Subject) -> None:
    await subject.call("setMode", "break_commit")
    await subject.call("setIn", 1_000)
    await subject.world.advance(2)

    subject.renew()
    assert await subject.call("runs") == []
    await subject.call("mend")
    await subject.world.advance("1h")

    (run,) = await subject.call("runs")
    assert run["retries"] == 0
    assert await subject.call("get") is None


# ── 69 ───────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_case_69_a_facet_has_an_alarm_of_its_own(subject: Subject) -> None:
    own = await subject.call("setIn", 50_000)
    facets = await subject.call("relay", ["child"], "setIn", 20_000)

    assert await subject.call("get") == own
    assert await subject.call("relay", ["child"], "get") == facets
    await subject.world.advance(60)

    assert await subject.call("ranAt") == [own]
    assert await subject.call("relay", ["child"], "ranAt") == [facets]


@pytest.mark.parametrize("how", ["restart", "crash"])
async def test_case_69_a_facets_alarm_wakes_the_way_down_to_it(subject: Subject, how: str) -> None:
    at = await subject.call("relay", ["a", "b"], "setIn", 40_000)

    await getattr(subject, how)()
    await subject.world.advance("1m")

    (run,) = await subject.call("relay", ["a", "b"], "runs")
    assert (run["at"], run["name"]) == (at, "b")
    assert await subject.call("runs") == []


@pytest.mark.parametrize("how", ["live", "restart", "crash"])
async def test_case_69_a_clones_alarm_rings_as_its_originals(subject: Subject, how: str) -> None:
    at = await subject.call("relay", ["a"], "setIn", 40_000)
    below = await subject.call("relay", ["a", "b"], "setIn", 50_000)
    await subject.call("clone", "a", "copy")
    await subject.call("relay", ["a"], "clear")

    if how != "live":
        await getattr(subject, how)()
    await subject.world.advance("1m")

    assert await subject.call("relay", ["copy"], "ranAt") == [at]
    assert await subject.call("relay", ["copy", "b"], "ranAt") == [below]
    assert await subject.call("relay", ["a"], "ranAt") == []


async def test_case_69_a_facet_that_nobody_could_wake_is_told_at_the_call(subject: Subject) -> None:
    text, has_parents_alarm = await subject.call("belowDullParent")

    assert "Facets currently cannot set alarms" in text
    assert "start_facet" in text
    assert has_parents_alarm


async def test_case_69_a_failing_facet_alarm_is_counted_in_the_facet(subject: Subject) -> None:
    await subject.call("relay", ["child"], "setMode", "fail")
    await subject.call("relay", ["child"], "setIn", 1_000)

    await subject.world.advance("1h")

    assert [run["retries"] for run in await subject.call("relay", ["child"], "runs")] == list(range(7))
    assert pending(subject) == []


async def test_case_69_an_abort_in_a_facets_handler_counts_for_the_facet(subject: Subject) -> None:
    await subject.call("relay", ["child"], "setMode", "abort")
    await subject.call("relay", ["child"], "setIn", 1_000)

    await subject.world.advance("1m")

    assert [run["retries"] for run in await subject.call("relay", ["child"], "runs")] == [0, 1]


# ── E17 to E19 ───────────────────────────────────────────────────────────────────────────────────────────────


async def test_case_e17_an_alarm_is_set_with_the_commit_or_not_at_all(subject: Subject) -> None:
    await subject.call("get")
    with subject.world.journal_held():
        setting = subject.begin("setIn", 5_000)
        await subject.world.advance(10)
        assert not setting.done(), "the answer left before the alarm was durable"
    await setting

    await subject.world.advance(0)
    assert len(await subject.call("runs")) == 1


async def test_case_e17_many_moves_are_one_entry(subject: Subject) -> None:
    for span_ms in (50_000, 5_000, 70_000):
        await subject.call("setIn", span_ms)
    at = await subject.call("setIn", 60_000)

    (entry,) = pending(subject)
    assert entry.at_ms == at
    await subject.world.advance("2m")
    assert await subject.call("ranAt") == [at]


async def test_case_e18_what_is_dropped_with_its_turn_leaves_the_former_alarm(subject: Subject) -> None:
    at = await subject.call("setIn", 50_000)

    await failure(subject.call("setAndAbort", 5_000))

    subject.renew()
    assert await subject.call("get") == at
    await subject.world.advance("1m")
    assert await subject.call("ranAt") == [at]


async def test_case_e18_a_transaction_that_is_undone_leaves_the_former_alarm(subject: Subject) -> None:
    await subject.call("undo", 5_000)
    assert await subject.call("get") is None
    at = await subject.call("setIn", 50_000)

    await subject.call("undo", 5_000)

    assert await subject.call("get") == at
    await subject.world.advance("1m")
    assert await subject.call("ranAt") == [at]


async def test_case_e18_a_transaction_over_several_turns_that_is_undone(subject: Subject) -> None:
    at = await subject.call("setIn", 50_000)

    await subject.call("undoLater", 5_000)

    assert await subject.call("get") == at
    await subject.world.advance("1m")
    assert await subject.call("ranAt") == [at]


async def test_case_e18_an_alarm_set_in_a_transaction_counts_when_that_has_ended(subject: Subject) -> None:
    at = await subject.call("keepLater", 5_000)

    assert [entry.at_ms for entry in pending(subject)] == [at]
    await subject.world.advance("1m")
    assert await subject.call("ranAt") == [at]


async def test_an_unconfirmed_alarm_holds_back_no_reply(subject: Subject) -> None:
    await subject.call("get")

    with subject.world.journal_held():
        await subject.call("setUnconfirmed", 5_000)
        await subject.world.settle()
    await subject.world.advance("1m")

    assert len(await subject.call("runs")) == 1


async def test_case_e19_a_stale_entry_without_an_alarm_is_cancelled(subject: Subject) -> None:
    await subject.call("setIn", 5_000)
    await visit(subject, "DELETE FROM _cf_ALARM")
    assert len(pending(subject)) == 1

    await subject.world.advance(6)

    assert await subject.call("runs") == []
    assert pending(subject) == []


async def test_case_e19_a_stale_entry_of_another_time_is_moved(subject: Subject) -> None:
    at = await subject.call("setIn", 5_000)
    await visit(subject, "UPDATE _cf_ALARM SET attempt_ms = attempt_ms + 60000, scheduled_ms = scheduled_ms + 60000")

    await subject.world.advance(6)
    assert await subject.call("runs") == []
    await subject.world.advance(60)

    assert await subject.call("ranAt") == [at + 60_000]


async def test_failures_are_told_in_the_log_with_the_object(subject: Subject, caplog: pytest.LogCaptureFixture) -> None:
    await subject.call("setMode", "fail")
    await subject.call("setIn", 1_000)

    with caplog.at_level(logging.WARNING, "perdure.objects"):
        await subject.world.advance(2)

    (record,) = [record for record in caplog.records if "failed (1 of 7)" in record.getMessage()]
    assert "this alarm fails" in record.getMessage()
