"""Counters for the crash tests, one kind for each way to write; `/KIND/NAME` counts at each POST.

Every answer has `count` and, counted anew from what is stored, `rows`: they differ only when something is torn.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any

from perdure import (
    DurableObject,
    FacetOptions,
    HistoryOptions,
    ObjectResetError,
    Platform,
    Request,
    Response,
    WorkerCode,
    WorkerEntrypoint,
)

PYTHON = """
from datetime import timedelta

from workers import DurableObject, Response

VERSION = 0

class App(DurableObject):
    async def fetch(self, request):
        count = self.ctx.storage.kv.get("count", 0)
        self.ctx.storage.sql.exec("create table if not exists hit(id integer primary key)")
        if request.method == "POST":
            count += 1
            with self.ctx.storage.transaction_sync():
                self.ctx.storage.kv.put("count", count)
                self.undone()
                self.ctx.storage.sql.exec("insert into hit(id) values (?)", count)
            if await self.ctx.storage.get_alarm() is None:
                await self.ctx.storage.set_alarm(timedelta(milliseconds=30))
        rows = self.ctx.storage.sql.exec("select count(*) from hit").scalar()
        noted = self.ctx.storage.kv.get("noted", 0)
        if self.ctx.storage.kv.get("undone"):
            rows = -1
        return Response.json({"count": count, "rows": rows, "version": VERSION, "noted": noted})

    def alarm(self):
        self.ctx.storage.kv.put("noted", self.ctx.storage.kv.get("count"))

    def undone(self):
        try:
            with self.ctx.storage.transaction_sync():
                self.ctx.storage.kv.put("undone", True)
                raise ValueError
        except ValueError:
            pass

    def mark(self, generation):
        self.ctx.storage.sql.exec("create table if not exists mark(generation integer)")
        if generation:
            self.ctx.storage.sql.exec("insert into mark values (?)", generation)
        return [row["generation"] for row in self.ctx.storage.sql.exec("select generation from mark")]
"""

JAVASCRIPT = """
import { DurableObject } from "cloudflare:workers";

const VERSION = 0;

export class App extends DurableObject {
  async fetch(request) {
    const { kv, sql } = this.ctx.storage;
    sql.exec("create table if not exists hit(id integer primary key)");
    let count = kv.get("count") ?? 0;
    if (request.method === "POST") {
      count += 1;
      this.ctx.storage.transactionSync(() => {
        kv.put("count", count);
        this.undone();
        sql.exec("insert into hit(id) values (?)", count);
      });
      if ((await this.ctx.storage.getAlarm()) === null) this.ctx.storage.setAlarm(Date.now() + 30);
    }
    const rows = kv.get("undone") ? -1 : sql.exec("select count(*) as n from hit").one().n;
    return Response.json({ count, rows, version: VERSION, noted: kv.get("noted") ?? 0 });
  }

  alarm() {
    const { kv } = this.ctx.storage;
    kv.put("noted", kv.get("count"));
  }

  undone() {
    try {
      this.ctx.storage.transactionSync(() => {
        this.ctx.storage.kv.put("undone", true);
        throw new RangeError();
      });
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
    }
  }
}
"""

TORN = -1
BATCH = 7
LARGE_CHARACTERS = 100_000
ACCOUNTS = 5
TOO_FAR = 1_000_000
HISTORY_BYTES = 64_000


class Plain(DurableObject):
    """A trusted counter."""

    def on_start(self) -> None:
        self.ctx.storage.sql.exec("create table if not exists hit(id integer primary key)")

    def fetch(self, request: Request) -> Response:
        count = self.ctx.storage.kv.get("count", 0)
        if request.method == "POST":
            count += 1
            self.ctx.storage.kv.put("count", count)
            self.ctx.storage.sql.exec("insert into hit(id) values (?)", count)
        rows = self.ctx.storage.sql.exec("select count(*) from hit").scalar()
        return Response.json({"count": count, "rows": rows})


class Batch(DurableObject):
    """Each count adds several rows and marks those before it as old: all or nothing."""

    def on_start(self) -> None:
        self.ctx.storage.sql.exec(
            "create table if not exists item(batch integer, item integer, is_newest integer, primary key (batch, item))"
        )

    def fetch(self, request: Request) -> Response:
        sql = self.ctx.storage.sql
        count: Any = sql.exec("select ifnull(max(batch), 0) from item").scalar()
        if request.method == "POST":
            sql.exec("update item set is_newest = 0 where batch = ?", count)
            count += 1
            for item in range(BATCH):
                sql.exec("insert into item values (?, ?, 1)", count, item)
        whole: Any = sql.exec(
            "select count(*) from (select 1 from item where batch > ?1 - 100 group by batch "
            "having count(*) = ?2 and sum(is_newest) = iif(batch = ?1, ?2, 0))",
            count,
            BATCH,
        ).scalar()
        return Response.json({"count": count, "rows": count if whole == min(count, 100) else TORN})


class Large(DurableObject):
    """Each count replaces two values of 100 KB, one of kv and one of SQL."""

    def on_start(self) -> None:
        self.ctx.storage.sql.exec("create table if not exists large(only integer primary key, data blob)")

    def fetch(self, request: Request) -> Response:
        kv, sql = self.ctx.storage.kv, self.ctx.storage.sql
        text = kv.get("text", "")
        count = int(text[:10] or 0)
        if request.method == "POST":
            count += 1
            text = f"{count:010}" * (LARGE_CHARACTERS // 10)
            kv.put("text", text)
            sql.exec("insert or replace into large values (1, ?)", text.encode())
        data = sql.exec("select data from large").all()
        expected = [{"data": text.encode()}] if count else []
        is_whole = data == expected and text == f"{count:010}" * (len(text) // 10)
        return Response.json({"count": count, "rows": count if is_whole else TORN})


class Bank(DurableObject):
    """Each count moves money between accounts, whose sum stays: batches, and transactions of which some fail.

    Some are open over awaits: a kill then leaves nothing of them. A move may be durable without its receipt.
    """

    async def fetch(self, request: Request) -> Response:
        storage = self.ctx.storage
        accounts = await storage.list(prefix="account ")
        count = await storage.get("count", default=0)
        if request.method == "POST":
            count += 1
            source, target = f"account {count % ACCOUNTS}", f"account {count * 7 % ACCOUNTS}"
            with suppress(InsufficientFundsError):
                async with storage.transaction():
                    self._move(source, -1000)
                    await asyncio.sleep(0.001)
                    raise InsufficientFundsError
            async with storage.transaction():
                self._move(source, -1)
                await asyncio.sleep(0.001)
                with suppress(InsufficientFundsError), storage.transaction_sync():
                    self._move(source, -100)
                    raise InsufficientFundsError
                self._move(target, 1)
                await storage.put("moved", count)
            await storage.put({"count": count, f"receipt {count}": count, f"receipt {count}, copy": count})
            await storage.delete([f"receipt {count - 1}", f"receipt {count - 1}, copy", "no such receipt"])
            accounts = await storage.list(prefix="account ")
        receipts = await storage.list(prefix="receipt ")
        moved = await storage.get("moved", default=0)
        is_whole = (
            sum(accounts.values()) == 0 and moved >= count and [*receipts.values()] == ([count] * 2 if count else [])
        )
        return Response.json({"count": count, "rows": count if is_whole else TORN})

    def _move(self, account: str, amount: int) -> None:
        self.ctx.storage.kv.put(account, self.ctx.storage.kv.get(account, 0) + amount)


class InsufficientFundsError(Exception):
    """A transfer is called off."""


class Emptied(DurableObject):
    """Each count forgets everything and writes it anew: in one turn, so that nobody ever finds nothing."""

    async def fetch(self, request: Request) -> Response:
        storage = self.ctx.storage
        count = await storage.get("count", default=0)
        if request.method == "POST":
            count += 1
            await storage.delete_all()
            storage.sql.exec(f"create table made_{count}(n integer primary key)")
            storage.sql.exec(f"insert into made_{count} values (?)", count)
            await storage.put({"count": count, f"made {count}": [count] * (count % 500)})
        tables = storage.sql.exec("select name from sqlite_schema where name like 'made%'").all()
        is_whole = list(await storage.list()) == (["count", f"made {count}"] if count else [])
        is_whole &= tables == ([{"name": f"made_{count}"}] if count else [])
        return Response.json({"count": count, "rows": count if is_whole else TORN})


class Alarmed(DurableObject):
    """Each count is noted by an alarm, later. One of them fails at first, and is tried again."""

    async def fetch(self, request: Request) -> Response:
        storage = self.ctx.storage
        count = await storage.get("count", default=0)
        if request.method == "POST":
            count += 1
            await storage.put("count", count)
            if await storage.get_alarm() is None:
                await storage.set_alarm(timedelta(milliseconds=30))
            return Response.json({"count": count, "rows": count})
        is_noted = not is_settled_wanted(request) or await until(lambda: storage.kv.get("noted", 0) == count)
        return Response.json({"count": count, "rows": count if is_noted else TORN})

    async def alarm(self, info: Any) -> None:
        count = await self.ctx.storage.get("count")
        await asyncio.sleep(0.01)
        if count % 40 == 0 and not info.is_retry:
            raise RuntimeError("this alarm is tried again")
        await self.ctx.storage.put("noted", await self.ctx.storage.get("count"))


def is_settled_wanted(request: Request) -> bool:
    """Whether the answer is to wait for the alarm of the last count."""
    return request.method == "GET" and request.url.endswith("?settled")


async def until(is_so: Callable[[], object]) -> bool:
    """Whether it comes to be so, in the time that an alarm may take which is tried again."""
    for _ in range(1000):
        if is_so():
            return True
        await asyncio.sleep(0.02)
    return False


class Part(DurableObject):
    """A facet that counts along, passes it on to a facet of its own, and has it noted by an alarm."""

    async def write(self, count: int, depth: int) -> None:
        """Count, here and `depth` facets further down."""
        storage = self.ctx.storage
        await storage.put({"count": count, "text": f"{count} " * (count % 3000)})
        if await storage.get_alarm() is None:
            await storage.set_alarm(timedelta(milliseconds=30))
        if depth:
            await self.below().write(count, depth - 1)

    async def read(self, depth: int) -> list[list[int]]:
        """Each facet's count, what its alarm noted, and how often its text says the count; the upper ones first."""
        storage = self.ctx.storage
        count, noted, text = storage.kv.get("count", 0), storage.kv.get("noted", 0), storage.kv.get("text", "")
        is_whole = text == f"{count} " * (count % 3000)
        return [[count, noted, is_whole], *(await self.below().read(depth - 1) if depth else [])]

    def alarm(self) -> None:
        self.ctx.storage.kv.put("noted", self.ctx.storage.kv.get("count"))

    def below(self) -> Any:
        return self.ctx.facets.get("below")

    def start_facet(self, _name: str) -> FacetOptions:
        return FacetOptions(cls=Part)


class Nested(DurableObject):
    """Each count goes through three facets, one below the other, and alarms of theirs note it.

    None is ahead of those above it, and none is behind what was answered.
    """

    async def fetch(self, request: Request) -> Response:
        begun = await self.ctx.storage.get("begun", default=0)
        top = self.ctx.facets.get("top")
        if request.method == "POST":
            begun += 1
            await self.ctx.storage.put("begun", begun)
            await top.write(begun, 2)
            await self.ctx.storage.put("count", begun)
        parts = await top.read(2)
        if is_settled_wanted(request):
            for _ in range(1000):
                if all(noted == count for count, noted, _ in parts):
                    break
                await asyncio.sleep(0.02)
                parts = await top.read(2)
            else:
                return Response.json({"count": begun, "rows": TORN})
        counts = [count for count, _, _ in parts]
        done = await self.ctx.storage.get("count", default=0)
        is_whole = all(part[2] for part in parts) and begun >= counts[0] and counts == sorted(counts, reverse=True)
        is_whole &= counts[-1] >= done
        return Response.json({"count": done, "rows": done if is_whole else TORN, "begun": begun})

    def start_facet(self, _name: str) -> FacetOptions:
        return FacetOptions(cls=Part)


class Cloned(DurableObject):
    """Each count is written to one tree of facets, which then becomes another: the copy is old or new, as a whole."""

    async def fetch(self, request: Request) -> Response:
        count = await self.ctx.storage.get("count", default=0)
        if request.method == "POST":
            count += 1
            await self.ctx.facets.get("draft").write(count, 1)
            await self.ctx.facets.clone("draft", "published")
            await self.ctx.storage.put("count", count)
        names = self.ctx.facets.list()
        published = await self.ctx.facets.get("published").read(1) if "published" in names else [[0, 0, True]]
        counts = {part[0] for part in published}
        is_whole = len(counts) == 1 and all(part[2] for part in published) and counts <= {count, count + 1}
        return Response.json({"count": count, "rows": count if is_whole else TORN})

    def start_facet(self, _name: str) -> FacetOptions:
        return FacetOptions(cls=Part)


class Traveller(DurableObject):
    """A counter with two facets, which others bring back in time and make copies of."""

    async def write(self, count: int) -> str:
        """Count, in three databases; where it is now."""
        self.ctx.storage.kv.put("count", count)
        self.ctx.storage.kv.put("text", f"{count} " * (count % 3000))
        await self.ctx.facets.get("part").write(count, 1)
        bookmark: str = await self.ctx.storage.get_current_bookmark()
        return bookmark

    async def read(self) -> int:
        """The count, or `TORN` when the databases do not agree."""
        count: int = self.ctx.storage.kv.get("count", 0)
        if not count:
            return TORN if self.ctx.facets.list() else 0
        parts = await self.ctx.facets.get("part").read(1)
        is_whole = self.ctx.storage.kv.get("text") == f"{count} " * (count % 3000)
        is_whole &= all(part[0] == count and part[2] for part in parts)
        return count if is_whole else TORN

    def start_facet(self, _name: str) -> FacetOptions:
        return FacetOptions(cls=Part)


class Travels(DurableObject):
    """Each count makes a traveller count on too far, brings it back, and makes another of it.

    Each step is noted here first, and again when it is done: a rewind and a fork that were not acknowledged are whole
    or not there, and those that were stay.
    """

    async def fetch(self, request: Request) -> Response:
        storage = self.ctx.storage
        count = await storage.get("count", default=0)
        if request.method == "POST":
            count += 1
            await self._travel(count)
            await storage.put("count", count)
        is_whole = await self._is_whole() and (not count or await self.traveller(count).read() == count)
        return Response.json({"count": count, "rows": count if is_whole else TORN})

    async def _travel(self, count: int) -> None:
        storage, traveller, name = self.ctx.storage, self.traveller(), str(self.ctx.id.name)
        await storage.put("step", ["writing", count])
        there = await traveller.write(count)
        await traveller.write(count + TOO_FAR)
        await storage.put("step", ["rewinding", count])
        await platform.history(Traveller, name).rewind(there)
        await storage.put("step", ["back", count])
        if not await self._is_copied(count):  # A kill may have come between a fork and its receipt.
            await platform.history(Traveller, name).fork(f"{name} at {count}")

    async def _is_whole(self) -> bool:
        """Whether the traveller and its newest copy are where the step says that they may be."""
        step: str
        count: int
        step, count = await self.ctx.storage.get("step", default=["back", 0])
        if await self._is_copied(count) and await self.traveller(count).read() != count:
            return False
        there: int = await self.traveller().read()
        return step == "writing" or there == count or (step == "rewinding" and there == count + TOO_FAR)

    async def _is_copied(self, count: int) -> bool:
        return bool(await platform.history(Traveller, f"{self.ctx.id.name} at {count}").commits(limit=1))

    def traveller(self, count: int | None = None) -> Any:
        """The one that travels, or the copy of it when it was at `count`."""
        name = str(self.ctx.id.name)
        return self.ctx.exports.Traveller.get_by_name(name if count is None else f"{name} at {count}")


class Runner(DurableObject):
    """Runs a guest's counter as a facet."""

    async def fetch(self, request: Request) -> Response:
        facet = self.ctx.facets.get("app")
        response: Response = await facet.fetch(request)
        if not is_settled_wanted(request):
            return response
        found = await response.json()
        for _ in range(1000):
            if found["noted"] == found["count"]:
                return Response.json(found)
            await asyncio.sleep(0.02)
            found = await (await facet.fetch("http://app/")).json()
        return Response.json(found | {"rows": TORN})

    def start_facet(self, _name: str) -> FacetOptions:
        language = str(self.ctx.id.name).split("-")[0]
        worker = self.env.LOADER.get(language, lambda: code_of(language, 0))
        return FacetOptions(cls=worker.get_durable_object_class("App"))


class Renewed(DurableObject):
    """Each count deletes the facet and marks a new one, which must not know of the marks before."""

    async def fetch(self, request: Request) -> Response:
        begun = self.ctx.storage.kv.get("begun", 0)
        if request.method == "POST":
            begun += 1
            self.ctx.storage.kv.put("begun", begun)
            self.ctx.facets.delete("app")
            marks = await self.facet().mark(begun)
        else:
            marks = await self.facet().mark(0)
        count = marks[-1] if marks else 0
        return Response.json({"count": count, "rows": count if len(marks) <= 1 else TORN, "begun": begun})

    def facet(self) -> Any:
        worker = self.env.LOADER.get("python", lambda: code_of("python", 0))
        return self.ctx.facets.get("app", lambda: FacetOptions(cls=worker.get_durable_object_class("App")))


class Recoded(DurableObject):
    """A counter whose code `/code/NAME` replaces while `/recoded/NAME` counts; languages take turns."""

    async def fetch(self, request: Request) -> Response:
        version = self.ctx.storage.kv.get("version", 0)
        if request.path.startswith("/recoded/"):
            try:
                response: Response = await self.facet().fetch(request)
            except ObjectResetError:
                return Response("new code arrived", 409)
            return response
        if request.method == "POST":
            version += 1
            self.ctx.storage.kv.put("version", version)
            self.ctx.facets.abort("app", "new code")
        answer = await (await self.facet().fetch("http://app/")).json()
        is_whole = answer["count"] == answer["rows"]
        return Response.json({"count": version, "rows": answer["version"] if is_whole else TORN})

    def facet(self) -> Any:
        return self.ctx.facets.get("app")

    def start_facet(self, _name: str) -> FacetOptions:
        version = self.ctx.storage.kv.get("version", 0)
        language = ("python", "javascript")[version % 2]
        worker = self.env.LOADER.get(f"version {version}", lambda: code_of(language, version))
        return FacetOptions(cls=worker.get_durable_object_class("App"))


def code_of(language: str, version: int) -> WorkerCode:
    """The guest's counter, which tells its version."""
    if language == "python":
        return WorkerCode.python(PYTHON.replace("VERSION = 0", f"VERSION = {version}"))
    return WorkerCode.javascript(JAVASCRIPT.replace("VERSION = 0", f"VERSION = {version}"))


class Default(WorkerEntrypoint):
    """Sends `/KIND/NAME` to the object of that name."""

    async def fetch(self, request: Request) -> Response:
        kind, name = request.path.strip("/").split("/")
        exports = self.ctx.exports
        if kind in {"recoded", "code"}:
            return await self.fetch_from(exports.Recoded, name, request)
        kinds = {own.__name__.lower(): getattr(exports, own.__name__) for own in OWN_KINDS}
        return await self.fetch_from(kinds.get(kind, exports.Runner), f"{kind}-{name}", request)

    async def fetch_from(self, namespace: Any, name: str, request: Request) -> Response:
        response: Response = await namespace.get_by_name(name).fetch(request)
        return response


OWN_KINDS = [Plain, Batch, Large, Bank, Emptied, Alarmed, Renewed, Nested, Cloned, Travels]
platform = Platform(
    [*OWN_KINDS, Part, Traveller, Runner, Recoded],
    fetch=Default,
    history=HistoryOptions(max_bytes=HISTORY_BYTES),  # So little that files of it are made and dropped all the time.
)
