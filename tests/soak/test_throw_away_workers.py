"""Workers that run once: thousands of them leave nothing behind, and never need more than their share of memory."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.soak.gauges import POOL_THREADS, assert_flat, read_gauges

from perdure import DurableObject, WorkerCode
from perdure.limits import MIB
from perdure.testing import World

TOGETHER = 10
PYTHON = """
from workers import WorkerEntrypoint

class Default(WorkerEntrypoint):
    def twice(self):
        return 2 * NUMBER
"""
JAVASCRIPT = """
import { WorkerEntrypoint } from "cloudflare:workers";

export default class extends WorkerEntrypoint {
  twice() { return 2 * NUMBER; }
}
"""


class Author(DurableObject):
    """Writes code, and runs it once."""

    async def evaluate(self, number: int) -> Any:
        language = ("python", "javascript")[number % 2]
        return await self.env.LOADER.evaluate(f"n + {number}", {"n": number}, language=language)

    async def load(self, number: int) -> Any:
        make, source = ((WorkerCode.python, PYTHON), (WorkerCode.javascript, JAVASCRIPT))[number % 2]
        return await self.env.LOADER.load(make(source.replace("NUMBER", str(number)))).get_entrypoint().twice()


@pytest.mark.parametrize("method", ["evaluate", "load"])
@pytest.mark.parametrize(
    "workers",
    [pytest.param(240, id="short"), pytest.param(4_000, id="long", marks=pytest.mark.soak)],
)
async def test_workers_that_are_thrown_away_leave_nothing(perdure: World, method: str, workers: int) -> None:
    before = None

    for first in range(0, workers, TOGETHER):
        numbers = range(first, first + TOGETHER)
        author = perdure.get(Author, "author")
        assert await asyncio.gather(*[getattr(author, method)(number) for number in numbers]) == [
            2 * n for n in numbers
        ]
        if first == workers // 2:
            await perdure.advance("15s")
            before = await read_gauges(perdure)

    await perdure.advance("15s")
    assert before is not None
    after = await read_gauges(perdure)
    assert after.loader_isolates == after.isolates == after.live_objects == 0
    assert_flat(before, after, {"private_bytes": 8 * MIB, "threads": POOL_THREADS})
