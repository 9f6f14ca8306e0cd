"""Facets that are deleted while their code runs on a thread, and a root object in this process that goes on."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any, cast

import pytest

from perdure import DurableObject, FacetOptions, WorkerCode
from perdure.errors import ObjectResetError
from perdure.isolates import Isolates
from perdure.testing import World

GUEST = """
from perdure import FacetOptions
from workers import DurableObject

class App(DurableObject):
    def child(self):
        return self.ctx.facets.get("child", lambda: FacetOptions(cls=self.ctx.exports.App))

    async def add_to_child(self):
        return await self.child().add()

    def drop_child(self):
        self.ctx.facets.delete("child")

    def add(self):
        self.ctx.storage.kv.put("count", self.ctx.storage.kv.get("count", 0) + 1)
        return self.ctx.storage.kv.get("count")

    def spin(self):
        query = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n LIMIT 1000000) SELECT max(x) FROM n"
        return self.ctx.storage.sql.exec(query).one()
"""


class Root(DurableObject):
    def facet(self, name: str) -> Any:
        return self.ctx.facets.get(name, self.app)

    def app(self) -> FacetOptions:
        worker = self.env.LOADER.get("app", lambda: WorkerCode.python(GUEST))
        return FacetOptions(cls=worker.get_durable_object_class("App"))

    async def guest(self, name: str, method: str) -> Any:
        return await getattr(self.facet(name), method)()

    async def drop_and_transact(self, dropped: str, called: str) -> Any:
        self.ctx.facets.delete(dropped)
        async with self.ctx.storage.transaction():
            return await self.facet(called).add()

    async def nest(self) -> float:
        """How long a transaction takes that begins inside another one, while a facet below waits for its end."""
        loop, facets = asyncio.get_running_loop(), cast("Any", self.ctx.facets)
        await self.facet("app").add_to_child()
        async with self.ctx.storage.transaction():
            dropping = asyncio.ensure_future(self.facet("app").drop_child())
            await asyncio.sleep(1)
            before_s = loop.time()
            async with self.ctx.storage.transaction():
                assert facets._calls.changes()
            took_s = loop.time() - before_s
        await dropping
        return took_s

    def names(self) -> list[str]:
        return self.ctx.facets.list()


@pytest.fixture
def world(perdure_isolates: Isolates) -> Iterator[World]:
    with World([Root], isolates=perdure_isolates) as world:
        yield world


def test_a_transaction_begins_when_what_was_deleted_before_it_is_gone(world: World) -> None:
    async def main() -> Any:
        stub = world.get(Root, "a")
        for name in ("busy", "other"):
            await stub.guest(name, "add")
        spinning = asyncio.ensure_future(stub.guest("busy", "spin"))
        for _ in range(20):
            await asyncio.sleep(0)
        count = await stub.drop_and_transact("busy", "other")
        with pytest.raises(ObjectResetError, match="Facet was deleted"):
            await spinning
        return count

    assert world.run(main()) == 2
    world.run(world.crash())
    assert world.run(world.get(Root, "a").names()) == ["other"]
    assert world.run(world.get(Root, "a").guest("other", "add")) == 3


def test_a_transaction_inside_another_one_waits_for_nothing(world: World) -> None:
    assert world.run(world.get(Root, "a").nest()) == 0
