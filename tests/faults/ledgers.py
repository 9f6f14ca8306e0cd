"""Objects whose state can be checked, a mixed load on them, and what a client of theirs may believe.

Whatever a reply has shown is durable. A write that failed may have happened or not, as a whole, and once a reply has
shown which, that is durable too.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import closing
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any

import apsw

from perdure import DurableObject, FacetOptions
from perdure.errors import ObjectResetError, OverloadedError, PerdureError, StorageFailedError
from perdure.testing import World

OBJECTS = ("a", "b")
FACETS = ("left", "right")
TORN = -1
CLEAR = (StorageFailedError, ObjectResetError, OverloadedError)
"""What a caller may be told when the disk fails."""


class Ledger(DurableObject):
    """Counts in kv and in SQL at once; its facets do the same. Two accounts always hold 100 together.

    Each count has an alarm that notes it later.
    """

    is_ringing = False

    async def read(self) -> int:
        """The count, or `TORN` when what is stored contradicts itself."""
        storage = self.ctx.storage
        if not storage.sql.exec("select 1 from sqlite_schema where name = 'entry'").all():
            return 0 if storage.kv.get("count") is None else TORN
        count: int = storage.kv.get("count", 0)
        rows: Any = storage.sql.exec("select count(*), ifnull(max(n), 0), sum(note = 'note ' || n) from entry")
        is_whole = [*rows.raw()] == [(count, count, count or None)]
        is_whole &= storage.kv.get("text", "").startswith(f"{count} " if count else "")
        is_whole &= storage.kv.get("from", 100) + storage.kv.get("to", 0) == 100
        is_whole &= self.rung() == count or await storage.get_alarm() is not None or self.is_ringing
        return count if is_whole else TORN

    def rung(self) -> int:
        """The count that the last alarm saw."""
        count: int = self.ctx.storage.kv.get("rung", 0)
        return count

    async def alarm(self) -> None:
        """What `write` asked for: note how far the count has come, in two turns."""
        self.is_ringing = True
        try:
            await asyncio.sleep(1)
            self.ctx.storage.kv.put("rung", self.ctx.storage.kv.get("count", 0))
        finally:
            self.is_ringing = False

    async def write(self, count: int, size: int) -> None:
        kv, sql = self.ctx.storage.kv, self.ctx.storage.sql
        kv.put("count", count)
        if self.is_ringing or await self.ctx.storage.get_alarm() is None:
            await self.ctx.storage.set_alarm(timedelta(seconds=5))
        sql.exec("create table if not exists entry(n integer primary key, note text)")
        sql.exec("insert into entry values (?, ?)", count, f"note {count}")
        kv.put("from", kv.get("from", 100) - 1)
        kv.put("text", f"{count} " * size)
        kv.put("to", kv.get("to", 0) + 1)

    async def read_facet(self, name: str) -> int:
        if name not in self.ctx.facets.list():
            return 0
        count: int = await self._facet(name).read()
        return count

    async def write_facet(self, name: str, count: int, size: int) -> None:
        await self._facet(name).write(count, size)

    async def delete_facet(self, name: str) -> None:
        self.ctx.facets.delete(name)

    def facet_names(self) -> list[str]:
        return self.ctx.facets.list()

    async def rung_facet(self, name: str) -> int:
        if name not in self.ctx.facets.list():
            return 0
        count: int = await self._facet(name).rung()
        return count

    def start_facet(self, _name: str) -> FacetOptions:
        return FacetOptions(cls=Ledger)

    def _facet(self, name: str) -> Any:
        return self.ctx.facets.get(name)


@dataclass
class Belief:
    """What a client knows of one count. Usually one number; more after writes whose fate is open."""

    possible: set[int] = field(default_factory=lambda: {0})

    @property
    def last(self) -> int:
        return max(self.possible)


@dataclass
class Client:
    """One client that does one thing after the other, and remembers what it was told."""

    seed: int
    beliefs: dict[tuple[str, str | None], Belief] = field(
        default_factory=lambda: {(name, facet): Belief() for name in OBJECTS for facet in (None, *FACETS)}
    )
    refusals: list[PerdureError] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.chance = Random(self.seed)

    async def work(self, world: World, steps: int) -> None:
        """`steps` random things; what is refused must be refused clearly."""
        for _ in range(steps):
            name = self.chance.choice(OBJECTS)
            facet = self.chance.choice([None, None, *FACETS])
            size = self.chance.choice([1, 1, 1000, 8000])
            act = self.chance.choices(["write", "delete", "read", "evict", "rest"], [24, 3, 4, 2, 2])[0]
            match act:
                case "write":
                    await self.write(world, name, facet, size)
                case "delete":
                    await self.delete(world, name, facet or FACETS[0])
                case "read":
                    await self.read(world, name, facet)
                case "evict":
                    await self.is_done(world.advance(25))
                case _:
                    await world.settle()

    async def write(self, world: World, name: str, facet: str | None, size: int) -> None:
        belief = self.beliefs[name, facet]
        if len(belief.possible) > 1 and not await self.read(world, name, facet):
            return
        (count,) = belief.possible
        stub = world.get(Ledger, name)
        work = stub.write(count + 1, size) if facet is None else stub.write_facet(facet, count + 1, size)
        belief.possible.add(count + 1)
        if await self.is_done(work):
            belief.possible = {count + 1}

    async def delete(self, world: World, name: str, facet: str) -> None:
        belief = self.beliefs[name, facet]
        belief.possible.add(0)
        if await self.is_done(world.get(Ledger, name).delete_facet(facet)):
            belief.possible = {0}

    async def read(self, world: World, name: str, facet: str | None) -> bool:
        """Compare what is there with what may be there; False when it cannot be read."""
        belief = self.beliefs[name, facet]
        stub = world.get(Ledger, name)
        found: list[int] = []
        work = stub.read() if facet is None else stub.read_facet(facet)
        if not await self.is_done(work, found.append):
            return False
        assert found[0] in belief.possible, f"{name}/{facet or ''} shows {found[0]}, it may be {belief.possible}"
        belief.possible = {found[0]}
        return True

    async def is_done(self, work: Awaitable[Any], take: Callable[[Any], object] = lambda _: None) -> bool:
        try:
            take(await work)
        except PerdureError as error:
            self.refused(error)
            return False
        return True

    def refused(self, error: PerdureError) -> None:
        """An error is one of those a disk may cause, and says something."""
        assert isinstance(error, CLEAR), f"{type(error).__name__}: {error}"
        assert str(error), "an error without a word"
        self.refusals.append(error)

    async def check(self, world: World) -> None:
        """On a disk that is well everything can be read, is as it was acknowledged, and can be written."""
        for name, facet in self.beliefs:
            assert await self.read(world, name, facet), f"{name}/{facet or ''} cannot be read: {self.refusals[-1]}"
        for name in OBJECTS:
            await world.get(Ledger, name).write(self.beliefs[name, None].last + 1, 1)
            self.beliefs[name, None].possible = {self.beliefs[name, None].last + 1}
            names = await world.get(Ledger, name).facet_names()
            for facet in FACETS:
                assert self.beliefs[name, facet].last == 0 or facet in names
        await world.advance("1h")  # An alarm that a failing disk held up waits for 17 minutes at most.
        for (name, facet), belief in self.beliefs.items():
            stub = world.get(Ledger, name)
            rung = await (stub.rung() if facet is None else stub.rung_facet(facet))
            assert rung == belief.last, f"{name}/{facet or ''}: no alarm since {rung} of {belief}"


async def check_past(world: World, name: str) -> None:
    """What the history lists can be read as it was: no count is skipped, and none is taken back."""
    history = world.platform.history(Ledger, name)
    commits = await history.commits()
    assert commits, f"{name} has no past"
    counts: list[Any] = []
    for commit in reversed(commits):
        async with history.as_of(commit.bookmark) as then:
            counts.append(then.kv().get("count", 0))
    assert counts == sorted(counts), f"{name}: the past goes back and forth: {counts}"
    assert set(counts) == set(range(counts[0], counts[-1] + 1)), f"{name}: the past has gaps: {counts}"


def check_files(data: Path) -> None:
    """After a clean stop: plain SQLite files that are whole, and no facet's file that no index knows."""
    files = [path for path in (data / "objects").rglob("*") if path.is_file()]
    assert {path.suffix for path in files} <= {".sqlite"}, sorted(path.name for path in files)
    for path in files:
        with closing(apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)) as connection:
            assert connection.pragma("integrity_check") == "ok", path.name
        stem, *lineage = path.name.removesuffix(".sqlite").split(".")
        assert lineage == lineage_of(path.with_name(f"{stem}.sqlite"), lineage), f"no index knows `{path.name}`"


def lineage_of(root: Path, lineage: list[str]) -> list[str]:
    """The numbers that lead to a facet, as the index in its root's database has them."""
    if not lineage:
        return []
    assert root.exists(), f"`{root.name}` is gone, but has a facet {lineage}"
    number: Any = int(lineage[-1])
    found: list[str] = []
    with closing(apsw.Connection(str(root), flags=apsw.SQLITE_OPEN_READONLY)) as connection:
        while number:
            found.insert(0, str(number))
            query = "SELECT parent FROM _cf_FACETS WHERE number = ? AND name IS NOT NULL"
            rows = connection.execute(query, (number,)).fetchall()
            if not rows:
                return []
            number = rows[0][0]
    return found
