"""The life of an object (spec 1.5 to 1.10; cases 5 to 14)."""

from __future__ import annotations

import asyncio
import sqlite3

import pytest
from tests.conformance.flavours import Subject, failure, is_reset, type_name


async def test_case_05_racing_first_calls_meet_one_instance(subject: Subject) -> None:
    results = await asyncio.gather(*[subject.call("count") for _ in range(3)])

    assert results == [0, 1, 2]
    assert await subject.call("constructed") == 1


async def test_case_06_a_broken_object_stays_broken_for_its_stub(subject: Subject) -> None:
    await subject.call("count")

    first = await failure(subject.call("stop", "test abort reason"))
    second = await failure(subject.call("count"))

    assert str(first) == str(second) == "test abort reason"
    assert [is_reset(first), is_reset(second)] == [True, True]
    subject.renew()
    assert await subject.call("count") == 0


async def test_case_07_abort_drops_what_the_turn_wrote(subject: Subject) -> None:
    await subject.call("put", "n", 1)

    error = await failure(subject.call("stop", "test broken"))

    subject.renew()
    assert str(error) == "test broken"
    assert await subject.call("read", "n") == 1


async def test_case_08_nothing_runs_after_an_abort(subject: Subject) -> None:
    await failure(subject.call("stopWithWorkQueued"))
    await subject.world.advance("1m")

    subject.renew()
    assert await subject.call("read", "late") is None


async def test_case_08_calls_under_way_fail_with_the_reason(subject: Subject) -> None:
    await subject.call("count")
    napping = subject.begin("nap", 100)
    await subject.world.settle()

    await failure(subject.call("stop", "enough"))

    assert str(await failure(napping)) == "enough"


async def test_case_09_a_failing_handler_resets_nothing(subject: Subject) -> None:
    await subject.call("count")

    error = await failure(subject.call("boom"))

    assert (type_name(error), str(error)) == ("ValueError", "boom")
    assert not is_reset(error)
    assert await subject.call("count") == 1
    assert await subject.call("read", "before boom") == 1


async def test_case_10_ten_idle_seconds_evict(subject: Subject) -> None:
    await subject.call("put", "n", 5)
    await subject.call("count")

    await subject.world.advance(9)
    assert await subject.call("count") == 1
    await subject.world.advance(12)

    assert await subject.call("count") == 0
    assert await subject.call("read", "n") == 5
    assert await subject.call("constructed") == 2


async def test_case_12_work_in_the_background_keeps_an_object_awake(subject: Subject) -> None:
    await subject.call("count")
    await subject.call("pin", 15)

    await subject.world.advance(14)
    assert await subject.call("count") == 1
    await subject.call("pin", 15)
    await subject.world.advance(15)
    await subject.world.advance(12)

    assert await subject.call("count") == 0


async def test_failing_background_work_is_logged_and_harmless(
    subject: Subject, caplog: pytest.LogCaptureFixture
) -> None:
    await subject.call("failInBackground")

    await subject.world.advance(2)

    assert await subject.call("count") == 0
    assert await subject.call("constructed") == 1
    assert "nobody waits for this" in caplog.text


@pytest.mark.parametrize("how", ["restart", "crash"])
async def test_case_14_data_survives_the_process(subject: Subject, how: str) -> None:
    await subject.call("put", "n", [1, {"a": "b"}])
    await subject.call("count")

    await getattr(subject, how)()

    assert await subject.call("read", "n") == [1, {"a": "b"}]
    assert await subject.call("count") == 0


async def test_case_14_a_stopped_platform_leaves_plain_sqlite_files(subject: Subject) -> None:
    await subject.call("sql", "CREATE TABLE t AS SELECT 7 AS n")

    await subject.world.platform.stop()

    files = sorted(path for path in subject.world.data.rglob("objects/**/*") if path.is_file())
    assert len(files) == 1
    assert {path.suffix for path in files} == {".sqlite"}
    with sqlite3.connect(files[0]) as database:
        assert database.execute("SELECT n FROM t").fetchall() == [(7,)]
    database.close()


async def test_a_failing_constructor_fails_its_callers_and_is_tried_again(subject: Subject) -> None:
    await subject.call("failFor", 60_000)
    await subject.evict()

    errors = await asyncio.gather(failure(subject.call("count")), failure(subject.call("count")))

    assert all("the constructor failed" in str(error) for error in errors)
    await subject.world.advance("61s")
    subject.renew()
    assert await subject.call("count") == 0
    assert await subject.call("constructed") == 2


async def test_time_is_the_worlds(subject: Subject) -> None:
    before = await subject.call("now")

    await subject.world.advance("1h")

    assert await subject.call("now") - before == 3_600_000


async def test_a_fetch_is_answered(subject: Subject) -> None:
    assert [(await subject.fetch("http://a.test/x?y=1")).body for _ in range(2)] == [
        b"GET http://a.test/x?y=1 1",
        b"GET http://a.test/x?y=1 2",
    ]
