"""A hundred thousand facets under one object: all that asks about them stays quick, and quotas count them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from perdure import DurableObject, FacetLimits, FacetOptions, NamespaceOptions
from perdure.errors import QuotaExceededError
from perdure.objects import NamespaceQuota
from perdure.storage import Database, ObjectKey
from perdure.testing import World

MANY = 100_000
QUICK_S = 2.0
"""Far above what each act takes, far below what a look at each facet's file would."""


class Crowd(DurableObject):
    def facet(self, name: str) -> Any:
        return self.ctx.facets.get(name, lambda: FacetOptions(cls=Crowd))

    def put(self, value: object) -> None:
        self.ctx.storage.kv.put("k", value)

    def read(self) -> object:
        return self.ctx.storage.kv.get("k")

    async def put_in(self, name: str, value: object) -> None:
        await self.facet(name).put(value)

    async def read_in(self, name: str) -> object:
        return await self.facet(name).read()

    def names(self, start_after: str, limit: int) -> list[str]:
        return self.ctx.facets.list(start_after=start_after, limit=limit)

    async def count(self) -> int:
        return (await self.ctx.facets.usage()).facets

    def delete(self, name: str) -> None:
        self.ctx.facets.delete(name)


@contextmanager
def quick() -> Iterator[None]:
    began_s = time.process_time()
    yield
    assert time.process_time() - began_s < QUICK_S


def name_of(number: int) -> str:
    return f"facet {number:06}"


def add_to_index(database: Database) -> None:
    """The rows of facets in which nothing was stored yet: a facet has a file once something is."""
    for number in range(2, MANY + 1):
        database.host_exec("INSERT INTO _cf_FACETS(number, parent, name) VALUES (?, 0, ?)", (number, name_of(number)))


async def crowded(world: World) -> Any:
    world.add(Crowd, options=NamespaceOptions(quota=NamespaceQuota(limits=FacetLimits(facets=MANY + 1))))
    crowd = world.get(Crowd, "crowd")
    await crowd.put_in(name_of(1), "the first")
    namespace = await world.namespace(Crowd)
    await fill(world, ObjectKey("Crowd", bytes.fromhex(str(namespace.id_from_name("crowd")))))
    return crowd


async def fill(world: World, key: ObjectKey) -> None:
    directory = world.platform._directory
    assert directory is not None
    await directory.visit(key, (), add_to_index, cause="test", may_write=True)
    await world.restart()


async def test_a_hundred_thousand_facets_are_used_as_a_few_are(world: World) -> None:
    crowd = await crowded(world)

    with quick():
        assert await crowd.count() == MANY
    with quick():
        assert await crowd.names(name_of(MANY - 3), 10) == [name_of(number) for number in range(MANY - 2, MANY + 1)]
    with quick():
        assert await crowd.read_in(name_of(1)) == "the first"
        await crowd.put_in(name_of(50_000), "in the middle")
        await crowd.put_in("one more", "new")
    with quick(), pytest.raises(QuotaExceededError, match="facets"):
        await crowd.put_in("one too many", "new")
    with quick():
        await crowd.delete(name_of(2))
    await crowd.put_in("one too many", "in its place")

    await world.crash()

    with quick():
        assert await crowd.read_in(name_of(50_000)) == "in the middle"
        assert await crowd.read_in("one too many") == "in its place"
        assert await crowd.count() == MANY + 1
        assert await crowd.names(name_of(1), 1) == [name_of(3)]
