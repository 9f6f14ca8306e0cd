"""Transactions that stay open while their code awaits, and critical sections (spec 1.8, 2.3, 3.5; cases 20 to 24)."""

from __future__ import annotations

import asyncio

import pytest
from tests.conformance.flavours import Subject, failure, is_reset

from perdure.errors import OverloadedError

pytestmark = pytest.mark.subject("storage")


async def kept(subject: Subject) -> dict[str, object]:
    return dict(await subject.call("list", {}))


# ── transaction() ────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("seconds", [0, 1])
async def test_case_38_a_transaction_keeps_undoes_or_rethrows(subject: Subject, seconds: float) -> None:
    assert await subject.call("transact", "k", 1, "return", seconds) == "foo"
    assert await kept(subject) == {"k": 1, "k too": 1}

    assert await subject.call("transact", "k", 2, "rollback", seconds) == "foo"
    assert await subject.call("transact", "k", 3, "throw", seconds) == "undo it"
    assert await kept(subject) == {"k": 1, "k too": 1}
    assert await subject.call("count") == 0


@pytest.mark.parametrize("seconds", [0, 1])
@pytest.mark.parametrize(
    ("inner_fails", "outer_fails", "expected"),
    [(False, False, {"outer", "inner"}), (True, False, {"outer"}), (False, True, set()), (True, True, set())],
)
async def test_case_39_nested_transactions(
    subject: Subject, seconds: float, *, inner_fails: bool, outer_fails: bool, expected: set[str]
) -> None:
    await subject.call("nestedTransactions", seconds, inner_fails, outer_fails)

    assert set(await kept(subject)) == expected


async def test_a_sync_transaction_nests_in_one_that_lasts(subject: Subject) -> None:
    await subject.call("transactionAroundASyncOne")

    assert set(await kept(subject)) == {"outer", "other"}


async def test_case_e8_what_was_written_before_is_kept(subject: Subject) -> None:
    await subject.call("implicitThenTransaction")

    assert await kept(subject) == {"implicit": 1}


async def test_nothing_of_an_open_transaction_is_there_after_a_crash(subject: Subject) -> None:
    await subject.call("put", "n", 0)
    counting = subject.begin("transactionThatCounts", 10)
    await subject.world.advance(5)

    await subject.crash()

    await failure(counting)
    assert await subject.call("read", "n") == 0


async def test_a_transaction_is_confirmed_when_it_has_ended(subject: Subject) -> None:
    await subject.call("put", "n", 0)
    with subject.world.journal_held():
        counting = subject.begin("transactionThatCounts", 5)
        await subject.world.advance(10)
        assert not counting.done()

    assert await counting == "done"
    await subject.crash()
    assert await subject.call("read", "n") == 2


async def test_nothing_else_of_the_object_runs_in_between(subject: Subject) -> None:
    await subject.call("count")
    counting = subject.begin("transactionThatCounts", 5)
    await subject.world.settle()
    reading = subject.begin("read", "n")
    await subject.world.advance(4)

    assert not reading.done()
    assert await counting == "done"
    assert await reading == 2


async def test_case_21_two_transactions_run_one_after_the_other(subject: Subject) -> None:
    assert await subject.call("twoTransactions") == ["begin a", "end a", "begin b", "end b"]
    assert await subject.call("read", "n") == 2


async def test_what_was_started_outside_is_held_until_it_ends(subject: Subject) -> None:
    await subject.call("outsideOfATransaction")

    assert (await subject.call("note", "end"))[:2] in (["inside", "after"], ["inside", "outside"])
    await subject.world.advance(1)
    assert await kept(subject) == {"outside": 1}


@pytest.mark.parametrize(
    ("how", "text"),
    [
        ("rolled back", "Cannot put() on rolled back transaction"),
        ("ended", "Cannot call get() on transaction that has already committed"),
    ],
)
async def test_a_transaction_that_has_ended_cannot_be_used(subject: Subject, how: str, text: str) -> None:
    error = await failure(subject.call("useAfter", how))

    assert text in str(error)
    assert await subject.call("count") == 0


async def test_an_outer_one_cannot_be_rolled_back_while_an_inner_one_is_open(subject: Subject) -> None:
    texts = await subject.call("rollBackTheOuterOne")

    assert len(texts) == 1
    assert "Cannot roll back an outer transaction while a nested transaction is still running" in texts[0]


@pytest.mark.parametrize("through", ["txn", "storage"])
async def test_delete_all_is_refused_in_a_transaction(subject: Subject, through: str) -> None:
    await subject.call("put", "k", 1)

    error = await failure(subject.call("deleteAllInATransaction", through))

    assert "Cannot call deleteAll() within a transaction" in str(error)
    assert await kept(subject) == {"k": 1}


async def test_a_transaction_that_takes_too_long_resets_the_object(subject: Subject) -> None:
    await subject.call("put", "n", 0)

    error = await failure(subject.call("transactionThatCounts", 31))

    assert "waited for too long" in str(error)
    assert isinstance(error, OverloadedError)
    subject.renew()
    assert await subject.call("read", "n") == 0


async def test_a_transaction_stays_open_over_a_call_to_a_facet(subject: Subject) -> None:
    await subject.call("putInFacet", "f", "k", 1)

    assert await subject.call("transactionOverAFacetCall", "f") == 0
    assert await kept(subject) == {"k": 1, "answer": 0}


# ── critical sections ────────────────────────────────────────────────────────────────────────────────────────


async def test_case_19_events_run_one_at_a_time_in_arrival_order(subject: Subject) -> None:
    await subject.call("count")

    notes = await asyncio.gather(*[subject.call("note", str(number)) for number in range(10)])

    assert [len(note) for note in notes] == list(range(1, 11))
    assert notes[-1] == [str(number) for number in range(10)]


async def test_case_20_the_continuation_of_a_section_runs_before_what_waits(subject: Subject) -> None:
    await subject.call("count")
    section = subject.begin("section", 5)
    await subject.world.settle()
    noting = subject.begin("note", "event")
    await section

    assert await noting == ["begin section", "end section", "after section", "event"]


async def test_case_21_two_sections_of_one_turn_run_one_after_the_other(subject: Subject) -> None:
    events = await subject.call("twoSections")

    assert [event for event in events if not event.startswith("after")] == ["begin a", "end a", "begin b", "end b"]
    assert events.index("after a") < events.index("after b")


async def test_case_21_two_sections_inside_one_run_one_after_the_other(subject: Subject) -> None:
    events = await subject.call("twoNestedSections")

    assert events == ["begin outer", "begin a", "end a", "begin b", "end b", "end outer"]


async def test_what_waits_outside_is_held_while_a_section_is_open(subject: Subject) -> None:
    await subject.call("count")
    napping = subject.begin("nap", 2)
    await subject.world.settle()

    section = subject.begin("section", 5)
    await asyncio.gather(napping, section)

    events = await subject.call("note", "event")
    assert events.index("end section") < events.index("napped")


async def test_case_22_a_failing_nested_section_resets_the_object(subject: Subject) -> None:
    await subject.call("count")

    error = await failure(subject.call("failingInnerSection"))

    assert "the inner section failed" in str(error)
    subject.renew()
    assert await subject.call("read", "survived") is None
    assert await subject.call("count") == 0


async def test_case_23_sections_are_nested_64_deep_and_no_deeper(subject: Subject) -> None:
    assert await subject.call("nestedSections", 64) == "at the bottom"

    assert "nested too deeply" in await subject.call("tooDeep", 64)

    assert await subject.call("count") == 0


async def test_case_24_a_section_of_the_start_that_fails(subject: Subject) -> None:
    await subject.call("failFor", 60_000)
    await subject.evict()

    first = subject.begin("count")
    second = subject.begin("count")
    await asyncio.wait([first, second])

    assert "the start failed" in str(first.exception())
    assert "the start failed" in str(second.exception())
    await subject.world.advance(61)
    subject.renew()
    assert await subject.call("count") == 0


async def test_case_e6_a_reply_waits_for_no_later_write(subject: Subject) -> None:
    await subject.call("put", "n", 1)

    with subject.world.journal_held():
        reading = subject.begin("read", "n")
        writing = subject.begin("put", "n", 2)
        await subject.world.settle()

        assert await reading == 1
        assert not writing.done()

    await writing


async def test_a_section_may_start_a_facet(subject: Subject) -> None:
    assert await subject.call("sectionThatStartsAFacet", "f") == 0


async def test_a_reset_ends_a_transaction_and_all_that_waits_for_it(subject: Subject) -> None:
    await subject.call("put", "n", 0)
    counting = subject.begin("transactionThatCounts", 40)
    await subject.world.settle()
    waiting = subject.begin("transactionThatCounts", 1)

    await asyncio.wait([counting, waiting])

    assert is_reset(counting.exception() or Exception()) or "too long" in str(counting.exception())
    assert waiting.exception() is not None
    subject.renew()
    assert await subject.call("read", "n") == 0
