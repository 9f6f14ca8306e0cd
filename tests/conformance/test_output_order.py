"""Who hears of a failed write, and who does not (spec 2.2; case 25)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator

import pytest
from tests.conformance.flavours import TIME, Subject, failure, is_reset, topic, world_of

from perdure.isolates import Isolates
from perdure.storage import Append, Journal, Outcome, StoreOptions, Verdict
from perdure.testing import World
from perdure.testing._journal import HeldJournal


class Threads:
    def thread_began(self) -> None: ...
    def thread_ended(self) -> None: ...


class FailingJournal(HeldJournal):
    """A journal that refuses appends while `fails` is set."""

    fails = False

    def append(self, append: Append, done: Callable[[Outcome], None]) -> None:
        if not self.fails:
            self._journal.append(append, done)
            return
        outcome = Outcome(Verdict.FAILED, reason="the disk is gone")
        asyncio.get_running_loop().call_soon(done, outcome)


@pytest.fixture
def journals() -> list[FailingJournal]:
    """Those made so far: one for each start of the platform."""
    return []


@pytest.fixture
def world(journals: list[FailingJournal], perdure_isolates: Isolates) -> Iterator[World]:
    def stand_before(journal: Journal) -> FailingJournal:
        journals.append(FailingJournal(journal, Threads()))
        return journals[-1]

    with world_of(
        topic(None), isolates=perdure_isolates, store_options=StoreOptions(stand_before=stand_before)
    ) as world:
        TIME.clock = world.clock
        yield world


async def test_case_25_a_failed_write_fails_those_who_waited_for_it(
    subject: Subject, journals: list[FailingJournal]
) -> None:
    await subject.call("put", "n", 0)

    with subject.world.journal_held():
        first = subject.begin("put", "n", 1)
        await subject.world.settle()
        second = subject.begin("put", "n", 2)
        reading_behind = subject.begin("read", "n")
        await subject.world.settle()
        assert not first.done()
        journals[-1].fails = True

    assert await first is None
    for waiter in (second, reading_behind):
        assert "the disk is gone" in str(await failure(waiter))
    error = await failure(subject.call("read", "n"))
    assert "the disk is gone" in str(error)
    assert is_reset(error)
    journals[-1].fails = False
    subject.renew()
    assert await subject.call("read", "n") == 1
