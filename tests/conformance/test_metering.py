"""What facets have used outlives every instance and every process, so that a budget is hard (spec 4.9)."""

from __future__ import annotations

from typing import Any

import pytest
from tests.conformance.flavours import Subject, failure, type_name

from perdure import Budget, DurableObject, FacetLimits, FacetOptions, NamespaceOptions, NamespaceQuota
from perdure.limits import IDLE_EVICTION_S, KIB, USAGE_WRITTEN_S
from perdure.testing import World

pytestmark = pytest.mark.subject("levers")

BUDGET = {"requests": 2}
ENDS = ["evict", "restart", "crash"]


async def use_up(subject: Subject) -> None:
    for _ in range(2):
        await subject.call("relayUnder", "a", None, BUDGET, "count")
    await is_refused(subject)
    await subject.world.settle()


async def is_refused(subject: Subject) -> None:
    assert type_name(await failure(subject.call("relayUnder", "a", None, BUDGET, "count"))) == "BudgetExceeded"


@pytest.mark.parametrize("how", ENDS)
async def test_a_budget_that_is_used_up_stays_used_up(subject: Subject, how: str) -> None:
    await use_up(subject)

    await getattr(subject, how)()

    await is_refused(subject)
    assert (await subject.call("usage", "a"))["requests"] == 2
    await subject.call("relayUnder", "a", None, {"requests": 3}, "count")
    assert (await subject.call("usage", "a"))["requests"] == 3


@pytest.mark.parametrize("how", ENDS)
async def test_a_budget_holds_for_what_is_below_a_facet(subject: Subject, how: str) -> None:
    budget = {"rowsWritten": 10}
    await subject.call("relayUnder", "a", None, budget, "count")
    await failure(subject.call("relay", ["a", "deep"], "scribble", 11))
    await subject.world.settle()

    await getattr(subject, how)()

    error = await failure(subject.call("relayUnder", "a", None, budget, "count"))
    assert "11 of 10 `rows_written`" in str(error)


@pytest.mark.parametrize("how", ["evict", "restart"])
async def test_a_stop_in_order_loses_nothing(subject: Subject, how: str) -> None:
    await subject.call("relayUnder", "a", None, BUDGET, "count")
    await subject.world.settle()

    await getattr(subject, how)()

    await subject.call("relayUnder", "a", None, BUDGET, "count")
    await is_refused(subject)


async def test_a_crash_loses_the_last_seconds_and_no_more(subject: Subject) -> None:
    budget = {"requests": 100}
    for _ in range(3):
        await subject.call("relayUnder", "a", None, budget, "count")
    await subject.world.advance(USAGE_WRITTEN_S + 2)
    await subject.call("relayUnder", "a", None, budget, "count")

    await subject.crash()

    assert (await subject.call("usage", "a"))["requests"] in {3, 4}


async def test_an_eviction_of_its_own_accord_loses_nothing(subject: Subject) -> None:
    await subject.call("relayUnder", "a", None, BUDGET, "count")
    await subject.world.advance(3 * IDLE_EVICTION_S)
    assert (await subject.world.statistics())["live"] == 0

    await subject.world.crash()
    subject.renew()

    await subject.call("relayUnder", "a", None, BUDGET, "count")
    await is_refused(subject)


async def test_a_deleted_facet_begins_at_zero(subject: Subject) -> None:
    await use_up(subject)

    await subject.call("deleteFacet", "a")
    await subject.world.settle()
    await subject.restart()

    await subject.call("relayUnder", "a", None, BUDGET, "count")
    assert (await subject.call("usage", "a"))["requests"] == 1


async def test_a_clone_begins_at_zero(subject: Subject) -> None:
    await use_up(subject)

    await subject.call("clone", "a", "b")
    await subject.restart()

    assert (await subject.call("usage", "b"))["requests"] == 0
    assert (await subject.call("usage", "a"))["requests"] == 2


async def test_a_facet_cannot_clear_its_own_meter(subject: Subject) -> None:
    await subject.call("relayUnder", "a", None, BUDGET, "count")
    await subject.call("relayUnder", "a", None, BUDGET, "clear")
    await is_refused(subject)

    await subject.restart()

    await is_refused(subject)


# ── what it costs ────────────────────────────────────────────────────────────────────────────────────────────


class App(DurableObject):
    def touch(self) -> int:
        return 1


class Shop(DurableObject):
    """A supervisor; it does not say itself what is bounded."""

    async def use(self, requests: int | None = None) -> Any:
        budget = None if requests is None else Budget(requests=requests)
        return await self.ctx.facets.get("app", lambda: FacetOptions(App, budget=budget)).touch()

    def own(self) -> int:
        return 1


def appends(world: World) -> int:
    """How many records the journal took."""
    directory = world.platform._directory
    assert directory is not None
    return sum(root.log.chain.known for root in directory.users)


async def test_nobody_pays_for_a_meter_that_nobody_reads(world: World) -> None:
    shop = world.get(Shop, "a")
    await shop.use()
    await world.settle()
    before = appends(world)

    for _ in range(20):
        await shop.use()
        await world.advance(1)

    assert appends(world) == before


async def test_a_busy_facet_is_written_down_now_and_then(world: World) -> None:
    shop = world.get(Shop, "a")
    await shop.use(1_000)
    await world.settle()
    before = appends(world)

    for _ in range(300):
        await shop.use(1_000)
        await world.advance(0.1)

    assert 1 <= appends(world) - before <= 30 / USAGE_WRITTEN_S + 1


async def test_an_object_without_facets_gets_no_database(world: World) -> None:
    await world.get(Shop, "a").own()

    await world.advance(30)
    await world.restart()

    assert not [path for path in world.data.rglob("*") if path.is_file() and "objects" in path.parts]


async def test_a_full_tree_is_metered_all_the_same(world: World) -> None:
    class Hoard(DurableObject):
        def fill(self) -> None:
            for number in range(100):
                self.ctx.storage.kv.put(f"n {number}", "x" * 4 * KIB)

        async def use(self) -> Any:
            return await self.ctx.facets.get("app", lambda: FacetOptions(App, budget=Budget(requests=2))).touch()

    world.add(Hoard, options=NamespaceOptions(quota=NamespaceQuota(limits=FacetLimits(tree_bytes=64 * KIB))))
    hoard = world.get(Hoard, "a")
    await hoard.use()
    await failure(hoard.fill())
    await hoard.use()
    await failure(hoard.use())

    await world.settle()
    await world.crash()

    assert type_name(await failure(world.get(Hoard, "a").use())) == "BudgetExceeded"
