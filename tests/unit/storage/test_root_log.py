"""A root's log and a journal that cannot tell what became of an append."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import pairwise
from typing import cast

import pytest

from perdure.errors import StorageFailedError
from perdure.storage._capture import Captured
from perdure.storage._journal import Append, Grant, Journal, Outcome, Verdict
from perdure.storage._layout import ROOT, ObjectKey
from perdure.storage._record import NO_DIGEST
from perdure.storage._root_chain import KeptRecord, RootChain
from perdure.storage._root_log import Commit, RootLog
from perdure.testing import VirtualClock, run_sim

PAGE = 4096


class Unsure:
    """A journal that knows what became of an append when it has been asked so many times more."""

    def __init__(self, unknown: int) -> None:
        self.unknown = unknown
        self.asked_ms: list[int] = []
        self.appends: list[Append] = []

    def append(self, append: Append, done: Callable[[Outcome], None]) -> None:
        loop = asyncio.get_running_loop()
        self.asked_ms.append(round(loop.time() * 1000))
        self.appends.append(append)
        self.unknown -= 1
        verdict = Verdict.UNKNOWN if self.unknown >= 0 else Verdict.ACKNOWLEDGED
        loop.call_soon(done, Outcome(verdict, b"d" * 32, 10))

    @property
    def waits_ms(self) -> list[int]:
        return [later - before for before, later in pairwise(self.asked_ms)]


def log_over(journal: Unsure) -> RootLog:
    chain: RootChain[Commit] = RootChain(forgotten=KeptRecord(0, NO_DIGEST, 0))
    grant = Grant(ObjectKey("Counter", bytes(32)), 1, "claim")
    return RootLog(chain, grant=grant, journal=cast("Journal", journal), clock=VirtualClock())


def page(value: int) -> Captured:
    return Captured(0, PAGE, 1, {1: bytes([value]) * PAGE})


def test_what_stays_unknown_is_asked_ever_later_and_the_next_append_begins_anew() -> None:
    async def scenario() -> None:
        journal = Unsure(10)
        log = log_over(journal)
        log.chain.attach(0, ROOT)

        await log.submit(page(1))
        assert journal.waits_ms == [10, 20, 40, 80, 160, 320, 640, 1000, 1000, 1000]
        assert set(map(id, journal.appends)) == {id(journal.appends[0])}

        journal.unknown, journal.asked_ms = 2, []
        await log.submit(page(2))
        assert journal.waits_ms == [10, 20]

    run_sim(scenario)


def test_a_log_that_broke_meanwhile_asks_no_more() -> None:
    async def scenario() -> None:
        journal = Unsure(1_000)
        log = log_over(journal)
        log.chain.attach(0, ROOT)
        commit = log.submit(page(1))
        await asyncio.sleep(0.015)

        log.break_("no")

        asked = len(journal.appends)
        await asyncio.sleep(10)
        assert len(journal.appends) == asked == 2
        with pytest.raises(StorageFailedError, match="no"):
            await commit

    run_sim(scenario)
