"""Instances of facets leave memory when they are evicted or reset, though their slots and stubs stay."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from typing import Any
from weakref import ref

import pytest

from perdure import DurableObject, FacetOptions
from perdure.testing import World

INSTANCES: list[ref[DurableObject]] = []


class Child(DurableObject):
    def __init__(self, ctx: Any, env: Any) -> None:
        super().__init__(ctx, env)
        INSTANCES.append(ref(self))

    def start_facet(self, _name: str) -> FacetOptions:
        return FacetOptions(cls=Child)

    async def touch(self, depth: int) -> None:
        if depth:
            await self.ctx.facets.get("below", lambda: self.start_facet("below")).touch(depth - 1)


class Top(DurableObject):
    async def touch(self) -> None:
        self.kept: Any = self.ctx.facets.get("child", lambda: FacetOptions(cls=Child))
        await self.kept.touch(1)

    def abort(self) -> None:
        self.ctx.facets.abort("child")

    def states(self) -> list[str]:
        slots: Any = self.ctx.facets._calls
        return [slot.state.name for slot in slots._slots.values()]


@pytest.fixture
def world() -> Iterator[World]:
    INSTANCES.clear()
    with World([Top, Child]) as world:
        yield world


def living() -> int:
    gc.collect()
    return sum(instance() is not None for instance in INSTANCES)


async def test_an_evicted_facet_leaves_only_its_slot(world: World) -> None:
    top = world.get(Top, "one")
    await top.touch()
    assert living() == 2

    for _ in range(8):  # The root stays in use.
        await world.advance(5)
        assert await top.states() in (["RUNNING"], ["COLD"])

    assert (await top.states(), living()) == (["COLD"], 0)
    await top.touch()
    assert living() == 2


async def test_a_facet_that_was_reset_leaves_nothing(world: World) -> None:
    top = world.get(Top, "one")
    await top.touch()

    await top.abort()
    await world.settle()

    assert (await top.states(), living()) == ([], 0)
