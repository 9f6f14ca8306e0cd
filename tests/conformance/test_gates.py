"""What may come in and what may leave (spec 1.8, 1.9, 2; cases 19 to 26)."""

from __future__ import annotations

import asyncio

import pytest
from tests.conformance.flavours import Subject, TrustedSubject, failure, is_reset

from perdure.errors import OverloadedError


async def test_case_26_no_reply_leaves_before_its_writes_are_durable(subject: Subject) -> None:
    await subject.call("count")
    other = subject.world.get(TrustedSubject, "other")
    await other.put("n", 1)

    with subject.world.journal_held():
        writing = subject.begin("put", "n", 1)
        fetching = asyncio.ensure_future(subject.fetch("http://x/"))
        reading_behind = subject.begin("read", "n")
        failing = subject.begin("boom")
        await subject.world.advance(5)

        assert await other.read("n") == 1
        assert not writing.done()
        assert not fetching.done()
        assert not reading_behind.done()
        assert not failing.done()

    assert await writing is None
    assert (await fetching).body == b"GET http://x/ 1"
    assert await reading_behind == 1
    assert str(await failure(failing)) == "boom"


async def test_case_e6_a_read_waits_for_the_writes_before_it_and_no_others(subject: Subject) -> None:
    await subject.call("put", "n", 1)

    with subject.world.journal_held():
        reading = subject.begin("read", "n")
        writing = subject.begin("put", "n", 2)
        await subject.world.settle()

        assert await reading == 1
        assert not writing.done()

    await writing


async def test_a_journal_that_never_answers_resets_the_object(subject: Subject) -> None:
    await subject.call("count")

    with subject.world.journal_held():
        writing = subject.begin("put", "n", 1)
        await subject.world.advance(29)
        assert not writing.done()
        await subject.world.advance(3)
        error = await failure(writing)

    assert "storage operation exceeded timeout which caused object to be reset" in str(error)
    assert isinstance(error, OverloadedError)


@pytest.mark.parametrize("after_s", [0.5, 1.5])
async def test_a_unit_of_writes_ends_where_the_code_waits(subject: Subject, after_s: float) -> None:
    writing = subject.begin("writeAroundANap", 1)
    await subject.world.advance(after_s)

    await subject.crash()

    await asyncio.gather(writing, return_exceptions=True)
    assert await subject.call("read", "first") == 1
    assert await subject.call("read", "second") == (1 if after_s > 1 else None)


async def test_what_was_never_acknowledged_was_never_answered(subject: Subject) -> None:
    await subject.call("put", "n", 1)

    with subject.world.journal_held():
        writing = subject.begin("put", "n", 2)
        await subject.world.settle()
        await subject.crash()

    await failure(writing)
    assert await subject.call("read", "n") in {1, 2}


async def test_events_interleave_only_where_they_wait(subject: Subject) -> None:
    napping = subject.begin("nap", 10)
    await subject.world.settle()

    assert [await subject.call("count") for _ in range(2)] == [0, 1]
    assert await napping == 2


async def test_case_20_a_critical_section_lets_nothing_else_in(subject: Subject) -> None:
    await subject.call("count")
    section = subject.begin("section", "a", 10)
    await subject.world.settle()
    noting = subject.begin("note", "event")

    await subject.world.advance(9)
    assert not noting.done()
    await subject.world.advance(2)

    assert await section == "a"
    assert await noting == ["begin a", "end a", "event"]


async def test_case_21_sections_follow_each_other_and_go_before_events(subject: Subject) -> None:
    await subject.call("count")
    first = subject.begin("section", "a", 10)
    second = subject.begin("section", "b", 10)
    noting = subject.begin("note", "event")

    await asyncio.gather(first, second)

    events = await noting
    assert events.index("end a") < events.index("begin b")
    assert [event for event in events if event != "event"] == ["begin a", "end a", "begin b", "end b"]


async def test_case_22_a_failing_section_resets_the_object(subject: Subject) -> None:
    await subject.call("count")

    error = await failure(subject.call("failingSection"))

    assert "the section failed" in str(error)
    assert "the section failed" in str(await failure(subject.call("count")))
    subject.renew()
    assert await subject.call("count") == 0
    assert await subject.call("read", "survived") is None


async def test_a_section_that_takes_too_long_resets_the_object(subject: Subject) -> None:
    await subject.call("count")

    error = await failure(subject.call("section", "a", 31))

    assert "blockConcurrencyWhile" in str(error)
    assert "waited for too long" in str(error)
    assert isinstance(error, OverloadedError)
    subject.renew()
    assert await subject.call("count") == 0


async def test_a_reset_in_a_section_is_seen_by_all_that_wait(subject: Subject) -> None:
    await subject.call("count")
    section = subject.begin("section", "a", 10)
    await subject.world.settle()
    waiting = subject.begin("count")
    await subject.world.settle()

    failing = subject.begin("failingSection")
    await asyncio.wait([section, waiting, failing])

    assert section.exception() is None
    assert "the section failed" in str(failing.exception())
    assert waiting.exception() is None or is_reset(waiting.exception() or Exception())
