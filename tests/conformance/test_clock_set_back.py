"""A wall clock that is set back: alarms fire in their time and once, bookmarks and history keep their order."""

from __future__ import annotations

from itertools import pairwise

import pytest
from tests.conformance.flavours import Subject, failure

HOUR_S = 3_600


async def put(subject: Subject, value: int) -> str:
    await subject.call("put", "k", value)
    return str(await subject.call("current"))


@pytest.mark.subject("bookmarks")
@pytest.mark.parametrize("how", [None, "restart", "crash"])
async def test_bookmarks_grow_and_name_what_they_named(subject: Subject, how: str | None) -> None:
    bookmarks = [await put(subject, 0)]
    for value in range(1, 4):
        subject.world.clock.set_wall(by_s=-HOUR_S)
        if how is not None:
            await getattr(subject, how)()
        bookmarks.append(await put(subject, value))

    assert all(former < later for former, later in pairwise(bookmarks)), bookmarks
    for value, bookmark in reversed(list(enumerate(bookmarks[:-1]))):
        await subject.call("restore", bookmark)
        assert str(await failure(subject.call("restart"))) == "restarted"
        subject.renew()
        assert await subject.call("read", "k") == value


@pytest.mark.subject("bookmarks")
async def test_a_time_of_the_history_is_found_or_refused(subject: Subject) -> None:
    await put(subject, 1)
    before_ms = subject.world.clock.now_ms()
    await subject.world.advance(1)
    subject.world.clock.set_wall(by_s=-HOUR_S)
    last = await put(subject, 2)
    now_ms = subject.world.clock.now_ms()

    assert (await subject.call("at", now_ms)).split("-")[0] == last.split("-")[0]
    assert "is still to come" in str(await failure(subject.call("at", before_ms)))
    assert "is before that" in str(await failure(subject.call("at", now_ms - HOUR_S * 1000)))
    assert await subject.call("read", "k") == 2


@pytest.mark.subject("alarms")
@pytest.mark.parametrize("how", [None, "restart", "crash"])
async def test_an_alarm_fires_once_at_its_wall_time(subject: Subject, how: str | None) -> None:
    at = await subject.call("setIn", 10_000)

    subject.world.clock.set_wall(by_s=-HOUR_S)
    if how is not None:
        await getattr(subject, how)()
    await subject.world.advance(HOUR_S)
    assert await subject.call("runs") == []
    await subject.world.advance(2 * HOUR_S)

    (run,) = await subject.call("runs")
    assert run["scheduled"] == at
    assert run["retries"] == 0


@pytest.mark.subject("alarms")
async def test_a_retry_is_neither_lost_nor_early(subject: Subject) -> None:
    await subject.call("setMode", "fail")
    await subject.call("setIn", 1_000)
    await subject.world.advance(1.5)

    subject.world.clock.set_wall(by_s=-HOUR_S)
    await subject.world.advance(HOUR_S - 60)
    assert len(await subject.call("runs")) == 1
    await subject.world.advance(2 * HOUR_S)

    assert [run["retries"] for run in await subject.call("runs")] == list(range(7))
    assert await subject.call("get") is None


async def test_new_ids_stay_distinct(subject: Subject) -> None:
    """They are chance, not time."""
    namespace = await subject.world.namespace("Subject")
    first = {str(namespace.new_unique_id()) for _ in range(100)}
    subject.world.clock.set_wall(by_s=-HOUR_S)
    second = {str(namespace.new_unique_id()) for _ in range(100)}

    assert len(first | second) == 200
