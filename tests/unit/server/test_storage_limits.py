"""Who has which StorageLimits: trusted code SQLite's own, sandboxed code the platform's, and a class its own."""

from __future__ import annotations

from typing import Any

import pytest

from perdure import DurableObject, FacetOptions, NamespaceOptions, StorageLimits, WorkerCode
from perdure.errors import PerdureError
from perdure.isolates import Isolates
from perdure.testing import World

COLUMNS = "SELECT 1" + ", 1" * 100  # one more than the default for sandboxed code
GUEST = """
from workers import DurableObject

class App(DurableObject):
    def columns(self, query):
        return len(self.ctx.storage.sql.exec(query).one())
"""


class Owner(DurableObject):
    def columns(self, query: str) -> int:
        return len(next(self.ctx.storage.sql.exec(query).raw()))

    async def facet(self, query: str) -> Any:
        worker = self.env.LOADER.get("guest", lambda: WorkerCode.python(GUEST))
        options = FacetOptions(cls=worker.get_durable_object_class("App"))
        return await self.ctx.facets.get("app", lambda: options).columns(query)


async def test_trusted_code_has_sqlites_own_and_its_facet_has_not(perdure: World) -> None:
    owner = perdure.get(Owner, "a")

    assert await owner.columns(COLUMNS) == 101
    with pytest.raises(PerdureError, match="the limit `columns` is 100; the platform's owner can raise it"):
        await owner.facet(COLUMNS)


def test_the_platforms_owner_raises_what_sandboxed_code_may(perdure_isolates: Isolates) -> None:
    limits = StorageLimits(columns=200)

    with World([Owner], isolates=perdure_isolates, sandbox_limits=limits) as world:
        count = world.run(world.get(Owner, "a").facet(COLUMNS.replace("1", "1 AS a", 1)))

    assert count == 2  # columns of the same name are one


async def test_a_class_can_have_limits_of_its_own(perdure: World) -> None:
    class Careful(Owner):
        pass

    perdure.add(Careful, options=NamespaceOptions(key="careful", storage_limits=StorageLimits(columns=16)))

    with pytest.raises(PerdureError, match="the limit `columns` is 16"):
        await perdure.get(Careful, "a").columns(COLUMNS)
