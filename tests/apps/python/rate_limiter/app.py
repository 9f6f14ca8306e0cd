"""A quote service with a rate limit for each API key. An alarm gives everybody a new allowance."""

import math
import random
from datetime import UTC, datetime, timedelta

from workers import DurableObject, Response

LIMIT = 5
WINDOW = timedelta(minutes=1)

QUOTES = [
    "Simplicity is prerequisite for reliability.",
    "Programs must be written for people to read.",
    "Premature optimization is the root of all evil.",
]


class App(DurableObject):
    async def fetch(self, request):
        if request.path == "/stats":
            return Response.json({"windows": self.ctx.storage.kv.get("windows", 0)})
        if request.path != "/quote":
            return Response.json({"error": "try /quote"}, status=404)
        if request.method != "GET":
            return Response.json({"error": "GET only"}, status=405, headers={"Allow": "GET"})

        key = request.headers.get("X-Api-Key")
        if not key:
            return Response.json({"error": "send an X-Api-Key header"}, status=401)
        used = self.ctx.storage.kv.get(f"used:{key}", 0)
        if used >= LIMIT:
            seconds = await self.seconds_left()
            body = {"error": "too many requests", "retry_after": seconds}
            return Response.json(body, status=429, headers={"Retry-After": str(seconds)})

        if await self.ctx.storage.get_alarm() is None:
            await self.ctx.storage.set_alarm(WINDOW)
        self.ctx.storage.kv.put(f"used:{key}", used + 1)
        headers = {"X-RateLimit-Limit": str(LIMIT), "X-RateLimit-Remaining": str(LIMIT - used - 1)}
        return Response.json({"quote": random.choice(QUOTES)}, headers=headers)

    async def seconds_left(self):
        due = await self.ctx.storage.get_alarm()
        if due is None:
            return 0
        return max(1, math.ceil((due - datetime.now(UTC)).total_seconds()))

    async def alarm(self, info):
        kv = self.ctx.storage.kv
        for key, _ in list(kv.list(prefix="used:")):
            kv.delete(key)
        kv.put("windows", kv.get("windows", 0) + 1)
        print("allowances were reset, as scheduled for", info.scheduled_time)
