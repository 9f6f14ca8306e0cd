"""What the behaviour cases ask of an object that gets ready before its first event."""

# mypy: ignore-errors
# ruff: noqa: ANN001, ANN201, ANN204

import asyncio
import time

from perdure import DurableObject


class Subject(DurableObject):
    def __init__(self, ctx, env):
        super().__init__(ctx, env)
        self.memory = 0
        self.is_ready = False

    async def on_start(self):
        await asyncio.sleep(1)
        if time.time() * 1000 < self.ctx.storage.kv.get("fail_until", 0):
            raise ValueError("getting ready failed")
        self.is_ready = True

    def count(self):
        self.memory += 1
        return [self.memory - 1, self.is_ready]

    def fail_for(self, milliseconds):
        self.ctx.storage.kv.put("fail_until", time.time() * 1000 + milliseconds)
