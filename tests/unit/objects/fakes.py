"""An actor with trusted code over a database of dicts and a log that acknowledges when it is told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, cast

from perdure.api import (
    Budget,
    Context,
    DurableObject,
    Env,
    FacetEvent,
    FacetUsage,
    ObjectId,
    Sent,
    StartFacet,
    Target,
)
from perdure.errors import PerdureError, StorageFailedError
from perdure.objects import Actor
from perdure.objects._body import Body
from perdure.objects._trusted import TrustedBody
from perdure.storage import Commit, RootStore
from perdure.testing import VirtualClock
from perdure.wire import KvRange


class Unit(dict[str, str]):
    """What one turn wrote."""

    is_confirmed = True


class FakeDatabase:
    """What is `kept` has been committed; `unit` is what the turn has written so far."""

    def __init__(self, kept: dict[str, str]) -> None:
        self.kept = kept
        self.unit = Unit()
        self.commit_error: PerdureError | None = None
        self.is_closed = False
        self.in_transaction = False

    @property
    def in_unit(self) -> bool:
        return bool(self.unit)

    def kv_get(self, key: str) -> str | None:
        return self.unit.get(key, self.kept.get(key))

    def kv_put(self, key: str, value: str) -> None:
        assert not self.is_closed, "a closed database was written"
        self.unit[key] = value

    def kv_list(self, wanted: KvRange) -> list[tuple[str, str]]:
        return sorted({**self.kept, **self.unit}.items())

    def commit(self) -> object:
        if self.commit_error is not None:
            raise self.commit_error
        unit, self.unit = self.unit, Unit()
        self.kept.update(unit)
        return unit or None

    def take_deleted_all(self) -> bool:
        return False

    def rollback(self) -> None:
        self.unit = Unit()

    def host_exec(self, query: str, bindings: object = ()) -> list[tuple[object, ...]]:
        return []


class FakeRoot:
    """A root store with one database, whose log acknowledges at once unless it `holds`."""

    def __init__(self) -> None:
        self.kept: dict[str, str] = {}
        self.database = FakeDatabase(self.kept)
        self.units: list[object] = []
        self.unsettled: list[Commit] = []
        self.holds = False
        self.has_room = True
        self.is_compaction_due = False

    @property
    def log(self) -> FakeRoot:
        return self

    def open_database_aside(self, number: int) -> asyncio.Future[FakeDatabase]:
        self.database = FakeDatabase(self.kept)
        opening: asyncio.Future[FakeDatabase] = asyncio.get_running_loop().create_future()
        opening.set_result(self.database)
        return opening

    def close_database(self, number: int) -> None:
        self.database.is_closed = True

    def usage_or_none(self, number: int) -> None:
        return None

    def submit(self, captured: object, *, cause: str = "") -> Commit:
        commit = Commit()
        self.units.append(captured)
        self.unsettled.append(commit)
        if not self.holds:
            asyncio.get_running_loop().call_soon(self.acknowledge)
        return commit

    def acknowledge(self, error: StorageFailedError | None = None) -> None:
        commits, self.unsettled = self.unsettled, []
        for commit in commits:
            commit.settle(error)


class NoFacets:
    def start_by_name(self, name: str) -> StartFacet:
        raise AssertionError("no facets here")

    def get(self, name: str, start: StartFacet) -> Target:
        raise AssertionError("no facets here")

    def abort(self, name: str, reason: str) -> None: ...
    def delete(self, name: str) -> None: ...
    async def clone(self, source: str, target: str) -> None:
        raise AssertionError("no facets here")

    def list(self, start_after: str, limit: int) -> list[str]:
        return []

    async def rewind(self, name: str, to: str | int) -> str:
        raise AssertionError("no facets here")

    async def usage(self, name: str | None) -> FacetUsage:
        raise AssertionError("no facets here")

    def set_budget(self, name: str, budget: Budget | None) -> None: ...
    def events(self) -> AsyncIterator[FacetEvent]:
        raise AssertionError("no facets here")


class NoKeeper:
    def started(self, actor: Actor) -> None: ...
    def used(self, actor: Actor) -> None: ...
    def stopped(self, actor: Actor) -> None: ...
    def opened(self, actor: Actor, root: RootStore) -> None: ...
    def closed(self, actor: Actor, root: RootStore) -> None: ...
    def log_grew(self, root: RootStore) -> None: ...
    async def bookmark(self, actor: Actor, act: str, argument: object) -> str:
        raise AssertionError("no history here")

    async def restore(self, actor: Actor, wanted: object) -> None:
        raise AssertionError("no history here")


async def _zero() -> int:
    return 0


class Seat:
    """One slot for an object of `kind`."""

    def __init__(self, kind: type[DurableObject]) -> None:
        self.root = FakeRoot()

        async def make_body(actor: Actor) -> Body:
            return TrustedBody(actor, kind, env=Env({}), exports=None, props={}, facets=NoFacets())

        self.actor = Actor(
            identity=ObjectId("00" * 32, name="seat"),
            label="seat",
            root=lambda: cast("RootStore", self.root),
            number=_zero,
            parent=None,
            make_body=make_body,
            keeper=NoKeeper(),
            clock=VirtualClock(asyncio.get_running_loop()),
            forget=lambda actor: None,
        )

    async def call(self, method: str, *arguments: object) -> Any:
        return await self.actor.call((method,), Sent.of(arguments))

    def spawn(self, method: str, *arguments: object) -> asyncio.Task[Any]:
        """A call under way."""
        return asyncio.get_running_loop().create_task(self.call(method, *arguments))


class App(DurableObject):
    """What the tests' objects extend; `trace` is what ran, in order."""

    def __init__(self, ctx: Context, env: Any) -> None:
        super().__init__(ctx, env)
        self.kv = ctx.storage.kv
        self.trace: list[str] = []

    def hello(self) -> str:
        return "hello"


async def steps(count: int = 10) -> None:
    """Let whatever is ready run."""
    for _ in range(count):
        await asyncio.sleep(0)
