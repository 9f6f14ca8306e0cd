"""New apps by the thousand, each with an object, a facet and a loader entry: nothing stays behind but their data."""

from __future__ import annotations

import asyncio
import logging

import pytest
from tests.soak.gauges import POOL_THREADS, Gauges, assert_flat, lowest, read_gauges

from perdure import DurableObject, FacetOptions, WorkerCode
from perdure.limits import MIB
from perdure.storage import _store
from perdure.testing import World

_LOG = logging.getLogger(__name__)
TOGETHER = 20
READINGS = 20
JOURNAL_BYTES_PER_APP = 512  # a row for each object, and for each of its files
PYTHON = """
from workers import DurableObject, Response, WorkerEntrypoint

class App(DurableObject):
    def add(self):
        count = self.ctx.storage.kv.get("count", 0) + 1
        self.ctx.storage.kv.put("count", count)
        self.ctx.storage.sql.exec("create table if not exists hit(at integer)")
        self.ctx.storage.sql.exec("insert into hit values (?)", count)
        return count + self.ctx.storage.sql.exec("select count(*) from hit").scalar()

class Default(WorkerEntrypoint):
    def hello(self):
        return {number}
"""
JAVASCRIPT = """
import { DurableObject, WorkerEntrypoint } from "cloudflare:workers";

export class App extends DurableObject {
  add() {
    const { kv, sql } = this.ctx.storage;
    const count = (kv.get("count") ?? 0) + 1;
    kv.put("count", count);
    sql.exec("create table if not exists hit(at integer)");
    sql.exec("insert into hit values (?)", count);
    return count + sql.exec("select count(*) as n from hit").one().n;
  }
}

export default class extends WorkerEntrypoint {
  hello() { return NUMBER; }
}
"""


class Owner(DurableObject):
    """Has one app, whose code nobody else has."""

    async def use(self, number: int) -> list[int]:
        self.ctx.storage.kv.put("number", number)
        worker = self.env.LOADER.get("app", lambda: code_of(number))
        facet = self.ctx.facets.get("app", lambda: FacetOptions(cls=worker.get_durable_object_class("App")))
        return [await facet.add(), await worker.get_entrypoint().hello()]


def code_of(number: int) -> WorkerCode:
    if number % 2:
        return WorkerCode.javascript(JAVASCRIPT.replace("NUMBER", str(number)))
    return WorkerCode.python(PYTHON.replace("{number}", str(number)))


@pytest.mark.parametrize(
    ("apps", "settled_after"),
    [pytest.param(240, 120, id="short"), pytest.param(10_000, 3_000, id="long", marks=pytest.mark.soak)],
)
async def test_never_seen_apps_leave_nothing_in_memory(
    monkeypatch: pytest.MonkeyPatch, perdure: World, apps: int, settled_after: int
) -> None:
    monkeypatch.setattr(_store, "JOURNAL_BYTES_SOFT_MAX", MIB)
    readings: list[Gauges] = []

    for first in range(0, apps, TOGETHER):
        numbers = range(first, first + TOGETHER)
        answers = await asyncio.gather(*[perdure.get(Owner, f"app-{number}").use(number) for number in numbers])
        assert answers == [[2, number] for number in numbers]
        await perdure.advance("15s")
        if first >= settled_after and first * READINGS % apps < TOGETHER * READINGS:
            readings.append(await read_gauges(perdure))
            _LOG.info("%d apps: %s", first + TOGETHER, readings[-1])

    last = readings[-1]
    assert last.live_objects == last.isolates == last.loader_isolates == 0
    allowed = {
        "private_bytes": 8 * MIB,
        "journal_bytes": MIB,
        "journal_file_bytes": MIB + (apps - settled_after) * JOURNAL_BYTES_PER_APP,
        "roots": 100,
        "threads": POOL_THREADS,
    }
    assert_flat(lowest(readings[:3]), lowest(readings[-3:]), allowed)
