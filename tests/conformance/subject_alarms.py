"""What the cases of alarms ask of an object: each run of its handler is noted, then it does what its mode says."""

# mypy: ignore-errors
# ruff: noqa: ANN001, ANN002, ANN201, ANN204, BLE001

import asyncio
import time
from datetime import timedelta

from perdure import DurableObject, FacetOptions


def now():
    return int(time.time() * 1000)


def milliseconds(when):
    return None if when is None else round(when.timestamp() * 1000)


class Subject(DurableObject):
    def __init__(self, ctx, env):
        super().__init__(ctx, env)
        self.storage = ctx.storage
        self.kv = ctx.storage.kv
        if self.kv.get("fail_until", 0) > now():
            raise ValueError("the constructor failed")

    async def alarm(self, info):
        inside = milliseconds(await self.storage.get_alarm())
        run = {
            "at": now(),
            "scheduled": milliseconds(info.scheduled_time),
            "retries": info.retry_count,
            "is_retry": info.is_retry,
            "inside": inside,
            "name": self.ctx.id.name,
        }
        self.kv.put("runs", [*self.kv.get("runs", []), run])
        await getattr(self, "run_" + self.kv.get("mode", "plain"))()

    def runs(self):
        return self.kv.get("runs", [])

    def ran_at(self):
        return [run["at"] for run in self.runs()]

    def set_mode(self, mode):
        self.kv.put("mode", mode)

    async def set_in(self, span_ms):
        at = now() + span_ms
        await self.storage.set_alarm(at)
        return at

    def set_at(self, at):
        self.storage.set_alarm(at)

    async def set_bad(self, which):
        bad = {"nan": float("nan"), "text": "soon", "zero": 0, "negative": -1, "late": 253_402_300_800_000}
        await self.storage.set_alarm(bad[which])

    async def get(self):
        return milliseconds(await self.storage.get_alarm())

    async def clear(self):
        await self.storage.delete_alarm()

    async def set_and_abort(self, span_ms):
        await self.storage.set_alarm(now() + span_ms)
        self.ctx.abort("dropped")

    async def set_unconfirmed(self, span_ms):
        await self.storage.set_alarm(now() + span_ms, allow_unconfirmed=True)

    def undo(self, span_ms):
        try:
            with self.storage.transaction_sync():
                self.storage.set_alarm(now() + span_ms)
                raise ValueError("undone")
        except ValueError:
            return

    async def undo_later(self, span_ms):
        try:
            async with self.storage.transaction() as txn:
                await txn.set_alarm(now() + span_ms)
                await asyncio.sleep(1)
                raise ValueError("undone")
        except ValueError:
            return

    async def keep_later(self, span_ms):
        at = now() + span_ms
        async with self.storage.transaction() as txn:
            await txn.set_alarm(at)
            await asyncio.sleep(1)
        return at

    async def set_twice(self, first_ms, second_ms):
        start = now()
        await self.storage.set_alarm(start + first_ms)
        await self.storage.set_alarm(start + second_ms)

    def fail_constructor(self, span_ms):
        self.kv.put("fail_until", now() + span_ms)

    def own_name(self):
        return self.ctx.id.name

    def get_now(self):
        return now()

    # What the handler does, by mode.

    async def run_plain(self):
        pass

    async def run_fail(self):
        raise ValueError("this alarm fails")

    async def run_fail_and_clear(self):
        await self.storage.delete_alarm()
        raise ValueError("this alarm fails")

    async def run_clear(self):
        await self.storage.delete_alarm()

    async def run_set_and_clear(self):
        await self.storage.set_alarm(now() + 5_000)
        await self.storage.delete_alarm()

    async def run_again(self):
        if len(self.runs()) < 3:
            await self.storage.set_alarm(now() + 10_000)

    async def run_set_and_fail(self):
        if len(self.runs()) == 1:
            await self.storage.set_alarm(now() + 100_000)
            raise ValueError("this alarm fails")

    async def run_abort(self):
        if len(self.runs()) == 1:
            await asyncio.sleep(1)
            self.ctx.abort("enough")

    async def run_abort_for_good(self):
        await asyncio.sleep(1)
        self.ctx.abort("enough", retry_alarm=False)

    async def run_set_and_abort_for_good(self):
        if len(self.runs()) == 1:
            await self.storage.set_alarm(now() + 50_000)
            await asyncio.sleep(1)
            self.ctx.abort("enough", retry_alarm=False)

    async def run_break_commit(self):
        if not self.kv.get("is_mended"):
            self.storage.sql.exec("CREATE TABLE IF NOT EXISTS parent(id INTEGER PRIMARY KEY)")
            self.storage.sql.exec("CREATE TABLE IF NOT EXISTS child(p INTEGER REFERENCES parent(id))")
            self.storage.sql.exec("PRAGMA defer_foreign_keys = ON")
            self.storage.sql.exec("INSERT INTO child VALUES (42)")

    def mend(self):
        self.kv.put("is_mended", True)

    async def run_sleep_long(self):
        await asyncio.sleep(1_000)

    async def run_write_late(self):
        await asyncio.sleep(5)
        self.kv.put("late", 1)

    def late(self):
        return self.kv.get("late")

    # Facets

    def start_facet(self, name):
        kind = "Handless" if name == "handless" else "Subject"
        return FacetOptions(cls=getattr(self.ctx.exports, kind))

    async def clone(self, source, target):
        await self.ctx.facets.clone(source, target)

    async def relay(self, path, method, *arguments):
        facet = self.ctx.facets.get(path[0])
        if len(path) > 1:
            return await facet.relay(path[1:], method, *arguments)
        return await getattr(facet, method)(*arguments)

    async def below_dull_parent(self):
        facet = self.ctx.facets.get("dull", lambda: FacetOptions(cls=self.ctx.exports.Dull))
        return await facet.child_alarm()

    async def span(self):
        await self.storage.set_alarm(timedelta(seconds=7))
        return await self.get() - now()


class Handless(DurableObject):
    """It has no alarm handler."""

    def __init__(self, ctx, env):
        super().__init__(ctx, env)
        if ctx.storage.kv.get("sets_in_constructor"):
            ctx.storage.set_alarm(now() + 1_000)

    async def set_in(self, span_ms):
        await self.ctx.storage.set_alarm(now() + span_ms)

    def let_constructor_set(self):
        self.ctx.storage.kv.put("sets_in_constructor", True)

    async def get(self):
        return milliseconds(await self.ctx.storage.get_alarm())


class Dull(DurableObject):
    """It does not say how to start its facets, and has an alarm of its own."""

    async def child_alarm(self):
        own = now() + 60_000
        await self.ctx.storage.set_alarm(own)
        try:
            await self.ctx.facets.get("child", lambda: FacetOptions(cls=self.ctx.exports.Subject)).set_in(1_000)
        except Exception as error:
            return [str(error), milliseconds(await self.ctx.storage.get_alarm()) == own]
        return ["no error", True]

    def alarm(self):
        pass
