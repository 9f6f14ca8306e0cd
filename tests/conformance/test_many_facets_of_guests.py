"""A guest lists a hundred thousand facets in a small part of its CPU time."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.conformance.test_many_facets import MANY, fill

from perdure import NamespaceOptions, Worker, WorkerCode
from perdure.isolates import Isolates
from perdure.storage import ObjectKey
from perdure.testing import World

JAVASCRIPT = """
import { DurableObject } from "cloudflare:workers";
export class First extends DurableObject {
  begin() { this.ctx.storage.kv.put("n", 1); }
}
export class Lister extends DurableObject {
  async begin() { await this.ctx.facets.get("first", () => ({ class: this.ctx.exports.First })).begin(); }
  count() { return this.ctx.facets.list().length; }
}
export default {};
"""
PYTHON = """
from workers import DurableObject, FacetOptions
class First(DurableObject):
    def begin(self):
        self.ctx.storage.kv.put("n", 1)
class Lister(DurableObject):
    async def begin(self):
        await self.ctx.facets.get("first", lambda: FacetOptions(cls=self.ctx.exports.First)).begin()
    def count(self):
        return len(self.ctx.facets.list())
"""
CODES = {
    "javascript": WorkerCode(main_module="main.js", modules={"main.js": JAVASCRIPT}),
    "python": WorkerCode.python(PYTHON),
}


@pytest.fixture(params=CODES)
def world(request: pytest.FixtureRequest, perdure_isolates: Isolates) -> Iterator[World]:
    worker = Worker("crowd", CODES[request.param], classes={"Lister": NamespaceOptions()})
    with World([], workers=[worker], isolates=perdure_isolates) as world:
        yield world


async def test_a_guest_lists_all_of_them(world: World) -> None:
    lister = world.get("crowd-Lister", "crowd")
    await lister.begin()
    identity = world.platform.namespace("crowd-Lister").id_from_name("crowd")
    await fill(world, ObjectKey("crowd-Lister", bytes.fromhex(str(identity))))

    assert await lister.count() == MANY
