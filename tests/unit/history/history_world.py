"""A store that keeps history, random work on a root and its facets, and a note of what they were at each commit."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from random import Random

from perdure.clock import SystemClock, SystemEntropy
from perdure.history import HistoryOptions, Past, SegmentArchive
from perdure.storage import Layout, ObjectKey, RootStore, Store, StoreOptions

NAMESPACE = "Counter"
OBJECT_ID = bytes(32)


class SteppingClock(SystemClock):
    """Wall time that the test moves; each look at it takes a millisecond."""

    def __init__(self) -> None:
        self.ms = 1_700_000_000_000

    def now_ms(self) -> int:
        self.ms += 1
        return self.ms


class HistoryWorld:
    """One data directory."""

    def __init__(self, directory: Path, *, max_bytes: int = 1 << 40, max_age: timedelta = timedelta(days=30)) -> None:
        self.directory = directory
        self.clock = SteppingClock()
        self.options = HistoryOptions(max_age, max_bytes)
        self.archive: SegmentArchive | None = None
        self.keeps_history = True

    def opened(self) -> Store:
        def make(layout: Layout, disk: object, clock: SteppingClock) -> SegmentArchive:
            self.archive = SegmentArchive(layout, disk, clock, self.options)  # type: ignore[arg-type]
            return self.archive

        options = StoreOptions(make_archive=make if self.keeps_history else None)  # type: ignore[arg-type]
        self.archive = None
        return Store.open(self.directory, clock=self.clock, entropy=SystemEntropy(), options=options)

    @asynccontextmanager
    async def store(self) -> AsyncIterator[Store]:
        store = self.opened()
        try:
            yield store
        finally:
            await store.close()

    def past(self, root: RootStore) -> Past:
        return Past(root, self.archive, layout=Layout(self.directory), clock=self.clock)

    @property
    def files(self) -> list[Path]:
        """Those of the object's history, by name."""
        return sorted(Layout(self.directory).history(ObjectKey(NAMESPACE, OBJECT_ID)).glob("*"))


class Tree:
    """Random commits to a root object and two levels of facets, and what every database was after each record."""

    def __init__(self, chance: Random) -> None:
        self.chance = chance
        self.states: dict[int, dict[tuple[str, ...], bytes]] = {0: {}}
        self.times: dict[int, int] = {}

    async def work(self, root: RootStore, steps: int) -> None:
        for _ in range(steps):
            await self.step(root)

    async def step(self, root: RootStore) -> None:
        chance = self.chance
        act = chance.choices(["write", "sql", "delete", "compact", "archive"], [12, 3, 1, 2, 1])[0]
        if act == "compact":
            await root.compact()
        elif act == "archive":
            await root.archive()
        elif act == "delete":
            numbers = root.facet_numbers(0)
            if numbers:
                await root.delete_facet(chance.choice(list(numbers.values())))
        else:
            await self.write(root, await self.facet(root, chance.randrange(4)), with_sql=act == "sql")
        self.note(root)

    async def write(self, root: RootStore, number: int, *, with_sql: bool) -> None:
        chance, database = self.chance, root.open_database(number)
        if with_sql:
            database.sql_exec(f"CREATE TABLE IF NOT EXISTS t{chance.randrange(3)}(a, b)")
            database.sql_exec(f"DROP TABLE IF EXISTS t{chance.randrange(3)}")
        for _ in range(chance.randrange(1, 15)):
            key = f"{chance.randrange(30)}"
            if chance.random() < 0.6:
                database.kv_put(key, f"{chance.random()}" * chance.randrange(1, 300))
            else:
                database.kv_delete(key)
        captured = database.commit()
        if captured is not None:
            await root.log.submit(captured, cause=f"write {number}")

    async def facet(self, root: RootStore, which: int) -> int:
        number = 0
        for name in ((), ("app",), ("other",), ("app", "deep"))[which]:
            number = root.facet_number(number, name)
            captured = root.open_database(0).commit()
            if captured is not None:
                await root.log.submit(captured)
                self.note(root)
        return number

    def note(self, root: RootStore) -> None:
        state = {}
        for lineage in root.log.chain.live_lineages():
            database = root.open_database(lineage[-1] if lineage else 0)
            state[self.path(root, lineage)] = database._connection.serialize("main")
        self.states[root.log.chain.known] = state

    def path(self, root: RootStore, lineage: tuple[int, ...]) -> tuple[str, ...]:
        names = {}
        for parent in (0, *lineage):
            names.update({number: name for name, number in root.facet_numbers(parent).items()})
        return tuple(names[number] for number in lineage)
