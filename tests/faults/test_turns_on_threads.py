"""A facet is deleted or aborted while its turn runs on a thread: its successor never meets the old turn's file."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Awaitable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from perdure import DurableObject, FacetOptions, Worker, WorkerCode
from perdure.errors import ObjectResetError
from perdure.isolates import Isolates
from perdure.objects import Actor, Directory, Travels
from perdure.storage import RootStore
from perdure.testing import World

PYTHON = """
from workers import DurableObject

class App(DurableObject):
    def write_and_burn(self):
        self.ctx.storage.kv.put("old", True)
        for _ in range(2_000_000):
            pass

    def write_and_count(self):
        self.ctx.storage.kv.put("old", True)
        query = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n LIMIT 6000000) SELECT max(x) FROM n"
        return self.ctx.storage.sql.exec(query).one()

    def read(self):
        return self.ctx.storage.kv.get("old")

    def last(self):
        return self.ctx.storage.kv.get("new")

    def write(self, value):
        self.ctx.storage.kv.put("new", value)
        return self.ctx.storage.kv.get("new")
"""


class Supervisor(DurableObject):
    def start_facet(self, name: str) -> FacetOptions:
        if name == "below":
            return FacetOptions(cls=Supervisor)
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

    async def replace_twice(self, second: str) -> list[Any]:
        """Abort a facet in the midst of a turn, and its successor, which waits; what the one after that says."""
        facets: Any = self.ctx.facets
        await facets.get("app").read()
        counting, old = await in_a_turn(facets.get("app").write_and_count(), facets._calls, "app")
        facets.abort("app")
        waiting = asyncio.ensure_future(facets.get("app").read())
        for _ in range(5):
            await asyncio.sleep(0)
        facets.abort("app")
        outcomes = []
        if second == "forgotten":
            outcomes.append(type((await asyncio.gather(waiting, return_exceptions=True))[0]).__name__)
            del waiting
            gc.collect()
        is_open = not old.is_closed
        successor = facets.get("app")
        answers = [is_open, await successor.read(), old.is_closed, await successor.write("third")]
        left = [counting] if second == "forgotten" else [counting, waiting]
        outcomes += [type(outcome).__name__ for outcome in await asyncio.gather(*left, return_exceptions=True)]
        return [*answers, *outcomes]

    async def count_below(self, depth: int) -> Any:
        facets: Any = self.ctx.facets
        return await (facets.get("below").count_below(depth - 1) if depth else facets.get("app").write_and_count())

    async def read_below(self, depth: int) -> Any:
        facets: Any = self.ctx.facets
        return await (facets.get("below").read_below(depth - 1) if depth else facets.get("app").read())

    async def replace_what_is_above(self) -> list[Any]:
        """Abort a facet that has a facet that has one in a turn on a thread; what the latter's successor says."""
        facets: Any = self.ctx.facets
        await self.read_below(2)
        counting, old = await in_a_turn(self.count_below(2), facets._calls, "below", "below", "app")
        facets.abort("below")
        answers = [not old.is_closed, await self.read_below(2), old.is_closed]
        return [*answers, type((await asyncio.gather(counting, return_exceptions=True))[0]).__name__]

    async def rewind_in_a_turn(self) -> list[Any]:
        """Abort a facet in the midst of a turn, and bring it back to an earlier state."""
        facets: Any = self.ctx.facets
        await facets.get("app").write("first")
        bookmark = await self.ctx.storage.get_current_bookmark()
        await facets.get("app").write("second")
        counting, old = await in_a_turn(facets.get("app").write_and_count(), facets._calls, "app")
        facets.abort("app")
        is_open = not old.is_closed
        await facets.rewind("app", bookmark)
        answers = [is_open, old.is_closed, await facets.get("app").last()]
        return [*answers, type((await asyncio.gather(counting, return_exceptions=True))[0]).__name__]

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


async def in_a_turn(call: Awaitable[Any], facets: Any, *names: object) -> tuple[asyncio.Future[Any], Any]:
    """The call, and the slot that names lead to from these facets, once its turn runs on a thread.

    The thread does not see soon that the turn has been aborted.
    """
    calling = asyncio.ensure_future(call)
    slot: Any = None
    for _ in range(200):
        slot = None
        for name in names:
            slot = (facets if slot is None else slot.facets).slot_or_none(name)
        if slot.body_or_none is not None and slot.body_or_none.is_in_turn:
            break
        await asyncio.sleep(0)
    turn_abandoned = slot.turn_abandoned

    async def notice() -> None:
        await asyncio.sleep(1)
        turn_abandoned()

    def end_late() -> None:
        slot.noticing = asyncio.ensure_future(notice())

    slot.turn_abandoned = end_late
    return calling, slot


@pytest.fixture
def world(perdure_isolates: Isolates, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """A world in which no file is opened, and no facet rewritten, while another slot still uses it."""
    met: list[str] = []
    opened, rewrite = Directory.opened, Travels._rewrite_below

    def check_opened(self: Directory, actor: Actor, root: RootStore) -> None:
        met.extend(f"opened: {user.label}" for user in self.users.get(root, ()) if user.number == actor.number)
        opened(self, actor, root)

    async def check_rewrite(self: Travels, key: Any, root: RootStore, then: Any, wanted: Any, *rest: Any) -> int:
        met.extend(f"rewritten: {user.label}" for user in self._slots.users[root] if user.number in wanted)
        return await rewrite(self, key, root, then, wanted, *rest)

    monkeypatch.setattr(Directory, "opened", check_opened)
    monkeypatch.setattr(Travels, "_rewrite_below", check_rewrite)
    with World([Supervisor], isolates=perdure_isolates) as world:
        yield world
    assert met == []


@pytest.mark.parametrize("how", ["abort", "delete"])
async def test_a_successor_waits_for_the_turn_of_the_facet_before_it(world: World, how: str) -> None:
    supervisor = world.get(Supervisor, "one")

    assert await supervisor.replace(how) == [1, None, how, "ObjectResetError"]
    await world.settle()

    files = [path.name.split(".", 1)[1] for path in world.data.rglob("*.sqlite") if "objects" in path.parts]
    assert sorted(files) == ["1.sqlite" if how == "abort" else "2.sqlite", "sqlite"]
    await world.crash()
    assert await supervisor.read() == "again"


@pytest.mark.parametrize("second", ["kept", "forgotten"])
async def test_a_successor_waits_for_the_turn_though_the_one_between_never_began(world: World, second: str) -> None:
    supervisor = world.get(Supervisor, "one")

    answers = await supervisor.replace_twice(second)

    assert answers == [True, None, True, "third", "ObjectResetError", "ObjectResetError"]
    await world.crash()
    assert await supervisor.read() == "again"


async def test_the_successors_of_a_root_object_wait_too(world: World) -> None:
    world.add_worker(Worker("apps", WorkerCode.python(PYTHON), classes=["App"]))
    app = world.get("apps-App", "one")
    await app.read()
    directory = world.platform._directory
    assert directory is not None
    slots: Any = directory._slots
    key = next(key for key in slots if key[0] == "apps-App")
    counting, old = await in_a_turn(app.write_and_count(), SimpleNamespace(slot_or_none=slots.get), key)
    old.break_(ObjectResetError("the first reset"))
    waiting = asyncio.ensure_future(app.read())
    for _ in range(20):
        await asyncio.sleep(0)
    slots[key].break_(ObjectResetError("the second reset"))

    answers = [not old.is_closed, await app.read(), old.is_closed, await app.write("third")]

    assert answers == [True, None, True, "third"]
    outcomes = await asyncio.gather(counting, waiting, return_exceptions=True)
    assert [str(outcome) for outcome in outcomes] == ["the first reset", "the second reset"]


async def test_a_successor_waits_for_turns_at_any_depth(world: World) -> None:
    supervisor = world.get(Supervisor, "one")

    assert await supervisor.replace_what_is_above() == [True, None, True, "ObjectResetError"]


async def test_a_rewind_waits_for_the_turn_of_a_facet_that_was_aborted(world: World) -> None:
    supervisor = world.get(Supervisor, "one")

    assert await supervisor.rewind_in_a_turn() == [True, True, "first", "ObjectResetError"]


LEFT = {"in a turn": [], "after an abort": [], "in a clone": ["app"]}


@pytest.mark.parametrize("how", LEFT)
async def test_a_transaction_waits_for_a_deletion_that_is_under_way(world: World, how: str) -> None:
    supervisor = world.get(Supervisor, "one")

    assert await supervisor.delete_before_a_transaction(how, 5) == [True, False]

    await world.crash()
    assert await supervisor.state() == [LEFT[how], 5]
    assert await supervisor.read() == "again"
