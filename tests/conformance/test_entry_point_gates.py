"""The gate between an object and the stateless workers that it asks (spec 2.2, the case of calls to the outside)."""

from __future__ import annotations

import asyncio
import logging

import pytest

from perdure import DurableObject, Request, WorkerCode
from perdure.testing import World

ANSWERS = """
from workers import Response, WorkerEntrypoint

class Default(WorkerEntrypoint):
    def fetch(self, request):
        print("the worker was asked")
        return Response("answer")

    def ask(self):
        print("the worker was asked")
        return "answer"
"""


class Asking(DurableObject):
    """Writes, and asks a worker in the same breath."""

    async def ask(self, how: str) -> str:
        self.ctx.storage.kv.put("asked", how)
        loader = self.env.LOADER
        if how == "evaluate":
            return str(await loader.evaluate("print('the worker was asked')\n'answer'", {}))
        entry = loader.get("answers", lambda: WorkerCode.python(ANSWERS)).get_entrypoint()
        if how == "fetch":
            answer = await entry.fetch(Request("http://worker/"))
            return str(await answer.text())
        return str(await entry.ask())


@pytest.mark.parametrize("how", ["fetch", "call", "evaluate"])
async def test_a_worker_is_asked_when_what_its_caller_wrote_is_durable(
    perdure: World, caplog: pytest.LogCaptureFixture, how: str
) -> None:
    caplog.set_level(logging.INFO, logger="perdure.guest")
    stub = perdure.get(Asking, "a")

    with perdure.journal_held():
        asked = asyncio.ensure_future(stub.ask(how))
        await perdure.settle()
        assert "the worker was asked" not in caplog.text

    assert await asked == "answer"
    assert "the worker was asked" in caplog.text
