"""A few objects under constant load: the journal and the files beside their databases stay small."""

from __future__ import annotations

import asyncio

import pytest
from tests.soak.gauges import POOL_THREADS, assert_flat, file_bytes, read_gauges
from tests.soak.test_apps import code_of

from perdure import DurableObject, FacetOptions
from perdure.limits import COMPACTION_LOG_BYTES_MIN, JOURNAL_CHECKPOINT_BYTES, MIB
from perdure.testing import World

CLIENTS = 16
ROWS_KEPT = 200


class Log(DurableObject):
    """Keeps its last lines, in a database that is rewritten all the time but never grows."""

    def on_start(self) -> None:
        self.ctx.storage.sql.exec("create table if not exists line(id integer primary key, text text)")

    def add(self, number: int) -> int:
        sql = self.ctx.storage.sql
        sql.exec("insert into line(text) values (?)", f"{number:0400}")
        sql.exec("delete from line where id <= (select max(id) from line) - ?", ROWS_KEPT)
        return self._count()

    def _count(self) -> int:
        count = self.ctx.storage.kv.get("count", 0) + 1
        self.ctx.storage.kv.put("count", count)
        return int(count)


class Owner(DurableObject):
    """Passes every call on to a facet in a sandbox."""

    async def add(self, number: int) -> int:
        facet = self.ctx.facets.get("app", self.start_app)
        count: int = await facet.add() // 2
        return count

    def start_app(self) -> FacetOptions:
        number = len(str(self.ctx.id.name)) % 2
        worker = self.env.LOADER.get("app", lambda: code_of(number))
        return FacetOptions(cls=worker.get_durable_object_class("App"))


HOT = ((Log, "one"), (Log, "two"), (Owner, "odd"), (Owner, "even"))


@pytest.mark.parametrize(
    "requests",
    [pytest.param(4_000, id="short"), pytest.param(100_000, id="long", marks=pytest.mark.soak)],
)
async def test_constant_load_leaves_bounded_logs(perdure: World, requests: int) -> None:
    rounds = requests // (CLIENTS * len(HOT))
    before = None

    for first in range(rounds):
        work = [perdure.get(kind, name).add(number) for kind, name in HOT for number in range(CLIENTS)]
        counts = await asyncio.gather(*work)
        assert sorted(counts) == sorted(list(range(first * CLIENTS + 1, (first + 1) * CLIENTS + 1)) * len(HOT))
        if first % 20 == 0:
            assert file_bytes(perdure.data / "objects", "*-wal") < 2 * len(HOT) * 4 * COMPACTION_LOG_BYTES_MIN
            assert file_bytes(perdure.data / "journal", "*-wal") < 4 * JOURNAL_CHECKPOINT_BYTES
        if first == rounds // 3:
            before = await read_gauges(perdure)

    assert before is not None
    after = await read_gauges(perdure)
    allowed = {
        "private_bytes": 8 * MIB,
        "journal_bytes": 4 * MIB,
        "journal_file_bytes": 8 * MIB,
        "threads": POOL_THREADS,
    }
    assert_flat(before, after, allowed)
