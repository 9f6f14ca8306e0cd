"""A facet is deleted or aborted while its turn runs on a thread: its successor never meets the old turn's file."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from perdure import DurableObject, FacetOptions, WorkerCode
from perdure.isolates import Isolates
from perdure.testing import World

PYTHON = """
from workers import DurableObject

class App(DurableObject):
    def write_and_burn(self):
        self.ctx.storage.kv.put("old", True)
        for _ in range(2_000_000):
            pass

    def read(self):
        return self.ctx.storage.kv.get("old")

    def write(self, value):
        self.ctx.storage.kv.put("new", value)
        return self.ctx.storage.kv.get("new")
"""


class Supervisor(DurableObject):
    def start_facet(self, _name: str) -> FacetOptions:
        worker = self.env.LOADER.get("app", lambda: WorkerCode.python(PYTHON))
        return FacetOptions(cls=worker.get_durable_object_class("App"))

    async def replace(self, how: str) -> list[Any]:
        """Stop the facet in the midst of a turn; what was still open then, and what its successor says."""
        facets: Any = self.ctx.facets
        await facets.get("app").read()
        burning = asyncio.ensure_future(facets.get("app").write_and_burn())
        for _ in range(20):  # of the loop: the turn is on its thread then
            await asyncio.sleep(0)
        getattr(facets, how)("app")
        unclosed = len(facets._calls.unclosed())  # that the thread is at work is what makes the case
        successor = facets.get("app")
        answers = [unclosed, await successor.read(), await successor.write(how)]
        return [*answers, type((await asyncio.gather(burning, return_exceptions=True))[0]).__name__]

    async def delete_before_a_transaction(self, how: str, open_s: float) -> tuple[bool, bool]:
        """Delete a facet in the midst of a turn or a clone, then begin a transaction.

        Whether the deletion was under way when it was asked for, and when it had begun.
        """
        facets: Any = self.ctx.facets
        await facets.get("app").write("first")
        if how != "in a clone":
            burning = asyncio.ensure_future(facets.get("app").write_and_burn())
            burning.add_done_callback(lambda burning: burning.cancelled() or burning.exception())
            for _ in range(20):
                await asyncio.sleep(0)
            if how == "after an abort":
                facets.abort("app")
            facets.delete("app")
        else:
            facets.clone("app", "copy")
            facets.delete("copy")
        self.inside = asyncio.ensure_future(self.transact(open_s))
        self.inside.add_done_callback(lambda inside: inside.cancelled() or inside.exception())
        await asyncio.sleep(0)  # This coroutine is held until the transaction has ended.
        return self.seen

    async def transact(self, open_s: float) -> None:
        facets: Any = self.ctx.facets
        changing = facets._calls._changing
        before = bool(changing)
        async with self.ctx.storage.transaction():
            self.seen = before, bool(changing)
            self.ctx.storage.kv.put("inside", open_s)
            await asyncio.sleep(open_s)

    async def state(self) -> list[Any]:
        return [list(self.ctx.facets.list()), self.ctx.storage.kv.get("inside")]

    async def read(self) -> Any:
        return await self.ctx.facets.get("app").write("again")


@pytest.fixture
def world(perdure_isolates: Isolates) -> Iterator[World]:
    with World([Supervisor], isolates=perdure_isolates) as world:
        yield world


@pytest.mark.parametrize("how", ["abort", "delete"])
async def test_a_successor_waits_for_the_turn_of_the_facet_before_it(world: World, how: str) -> None:
    supervisor = world.get(Supervisor, "one")

    assert await supervisor.replace(how) == [1, None, how, "ObjectResetError"]
    await world.settle()

    files = [path.name.split(".", 1)[1] for path in world.data.rglob("*.sqlite") if "objects" in path.parts]
    assert sorted(files) == ["1.sqlite" if how == "abort" else "2.sqlite", "sqlite"]
    await world.crash()
    assert await supervisor.read() == "again"


LEFT = {"in a turn": [], "after an abort": [], "in a clone": ["app"]}


@pytest.mark.parametrize("how", LEFT)
async def test_a_transaction_waits_for_a_deletion_that_is_under_way(world: World, how: str) -> None:
    supervisor = world.get(Supervisor, "one")

    assert await supervisor.delete_before_a_transaction(how, 5) == [True, False]

    await world.crash()
    assert await supervisor.state() == [LEFT[how], 5]
    assert await supervisor.read() == "again"
