"""The facets of one actor: child slots by name, and the targets that stubs point at.

A facet is an actor with a parent. Its number is its file, for ever; its start callback runs whenever it is cold.
Effects: disk, tasks.
"""

from __future__ import annotations

import asyncio
import builtins
import hashlib
import inspect
import tempfile
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Generator, Sequence
from contextlib import closing
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar
from weakref import WeakValueDictionary

from perdure.api import (
    Budget,
    Copies,
    DurableObjectClass,
    FacetLimits,
    FacetOptions,
    FacetUsage,
    ObjectId,
    Ready,
    Sent,
    StartFacet,
    facet_options,
    no_start_facet,
)
from perdure.errors import FacetError, ObjectResetError, PerdureError, QuotaExceededError, again
from perdure.limits import FACET_DEPTH_MAX
from perdure.objects._actor import Actor, Keeper, leave_caller
from perdure.objects._body import Body
from perdure.objects._byte_quota import tree_bounds
from perdure.objects._facet_events import EventStream
from perdure.objects._facet_names import FacetNames
from perdure.objects._lifecycle import State
from perdure.objects._root_index import index_changeable, index_held
from perdure.objects._tree_usage import Meter
from perdure.storage import PAGE_SIZE, CloneRoom, Commit, Database, FacetCopy, ObjectKey, replace_facet
from perdure.web import Request, Response
from perdure.workers import shared_task

Result = TypeVar("Result")
_CLONED_OVER: Final = "Facet was cloned-over."

StartByName = Callable[[str], object | Awaitable[object]]
"""`start_facet` of an object: what a start callback returns, for the facet of this name."""


class FacetKeeper(Keeper, Protocol):
    """Who keeps actors, and knows how to make the body of a facet."""

    async def make_facet_body(self, actor: Actor, kind: DurableObjectClass | type) -> Body: ...
    async def visit(
        self,
        key: ObjectKey,
        path: Sequence[str],
        work: Callable[[Database], Result],
        *,
        cause: str,
        may_write: bool = False,
    ) -> Result:
        """Work of the host on one database, between the turns of whoever uses it."""
        ...

    async def rewind_facet(self, parent: Actor, name: str, to: str | int) -> str: ...


class FacetSlots:
    """Child slots of one actor; serves `perdure.api.Facets`."""

    def __init__(self, actor: Actor, keeper: FacetKeeper) -> None:
        self._actor = actor
        self._keeper = keeper
        self._slots: dict[str, Actor] = {}
        self._starts: dict[str, StartFacet] = {}
        self._changing: dict[str, asyncio.Task[None]] = {}
        self._names: FacetNames | None = None
        self._closing: WeakValueDictionary[str, Actor] = WeakValueDictionary()
        self.is_inside: Callable[[], bool] = _nowhere
        """Whether the code of the object that asks now runs inside the transaction that is open, if one is."""
        self.start_facet: StartByName | None = None
        """The object's own way to start any facet it has, if its class has one."""
        self._could_wake = False

    @property
    def can_wake(self) -> bool:
        """Whether a facet that is cold can be started by its name alone."""
        return self._could_wake or self.start_facet is not None

    def start_by_name(self, name: str) -> StartFacet:
        """What starts facet `name` when nobody gave a callback. Raises FacetError."""
        start_facet = self.start_facet
        if start_facet is None:
            raise no_start_facet(name, self._actor.label)
        return lambda: start_facet(name)

    def slot_to_wake(self, name: str) -> Actor:
        """The slot of facet `name`, to be started by its name if it is cold. Raises FacetError."""
        actor = self.slot(name)
        if actor.state is State.COLD:
            self.offer(name, self.start_by_name(name))
        return actor

    def get(self, name: str, start: StartFacet) -> FacetTarget:
        """A target for facet `name`; raises FacetError when it would be nested too deeply."""
        return self.target(name, start)

    def target(self, name: str, start: StartFacet) -> FacetTarget:
        """The same, for a name that comes from a guest."""
        if self._actor.depth >= FACET_DEPTH_MAX:
            raise FacetError(
                "Facet nesting depth limit exceeded: the maximum, including the root Durable Object is "
                f"{FACET_DEPTH_MAX}; "
                f"`{self._actor.label}` is at depth {self._actor.depth}"
            )
        return FacetTarget(self, name, start)

    def slot(self, name: str) -> Actor:
        """The slot of facet `name`: the one there is, or a new one."""
        actor = self._slots.get(name)
        if actor is None:
            actor = self._slots[name] = self._make(name)
        return actor

    def slot_or_none(self, name: str) -> Actor | None:
        """The slot of facet `name`, if it has one."""
        return self._slots.get(name)

    def offer(self, name: str, start: StartFacet) -> None:
        """Facet `name` is cold and about to be used: `start` is what it asks when it starts."""
        self._starts[name] = start

    def _make(self, name: str) -> Actor:
        parent = self._actor

        async def make_body(actor: Actor) -> Body:
            await self._unchanged(name)
            options = await _ask(self._starts.pop(name) if name in self._starts else self.start_by_name(name))
            account = actor.account
            account.limits = options.limits or FacetLimits()
            account.budget = options.budget
            async with index_held(parent):
                known = parent.root.facet_number_or_none(parent.number, name)
                if known is not None:
                    account.meter = self._meter(known)
            account.check()
            if options.inherit_id:
                actor.identity = parent.identity
            elif options.id is not None:
                actor.identity = ObjectId(options.id)
            assert isinstance(options.cls, DurableObjectClass | type), "facet_options lets nothing else pass"
            return await self._keeper.make_facet_body(actor, options.cls)

        return Actor(
            identity=facet_identity(parent.identity, name),
            label=f"{parent.label}/{name}",
            root=lambda: parent.root,
            number=lambda: self._number(name),
            parent=parent,
            name=name,
            make_body=make_body,
            keeper=self._keeper,
            clock=parent.clock,
            forget=lambda actor: self._forget(name, actor),
            after=self._closing.get(name),
        )

    async def _number(self, name: str) -> int:
        """The number of facet `name`. A new one waits until no transaction of the root is open."""
        parent, root = self._actor, self._actor.root
        async with index_held(parent):
            if root.facet_number_or_none(parent.number, name) is not None:
                return root.facet_number(parent.number, name)
        async with index_changeable(parent, name):
            return self._new_number(name)

    def _new_number(self, name: str) -> int:
        root = self._actor.root
        check_facet_count(self._actor, name)
        number = root.facet_number(self._actor.number, name)
        root_of(self._actor).end_turn()  # A new number is a row in the root's own database.
        if self._names is not None:
            self._names.add(name)
        slot = self._slots.get(name)
        if slot is not None:
            slot.account.meter = self._actor.account.tree.begin(number)
        return number

    def check_may_make(self, name: str) -> None:
        """Raise FacetError when facet `name` would be new, and the object asks inside a transaction of its own."""
        if self._actor.parent is None and self._actor.in_transaction and self.is_inside():
            self.check_exists(name)

    def check_exists(self, name: str) -> None:
        """Raise FacetError when facet `name` would be new while a transaction of the object that asks is open."""
        slot = self._slots.get(name)
        if not self._actor.in_transaction or (slot is not None and slot.state is State.RUNNING):
            return
        if self._names is not None:
            exists = name in self._names
        else:
            exists = self._actor.root.facet_number_or_none(self._actor.number, name) is not None
        if not exists:
            raise _in_transaction(name)

    def check_may_change(self, name: str) -> None:
        """The names of all facets are in the root's database: what happens to them must not be rolled back."""
        if root_of(self._actor).in_transaction:
            raise _in_transaction(name)

    def check_may_change_in_turn(self, name: str) -> None:
        """The same for a guest's turn, on its thread: what a root object that is not its own does is not seen there."""
        if self._actor.parent is None:
            self.check_may_change(name)

    def _meter(self, number: int) -> Meter:
        return self._actor.account.tree.meter(number, self._actor.root.usage_or_none)

    def _forget(self, name: str, actor: Actor) -> None:
        if self._slots.get(name) is actor:
            del self._slots[name]
            self._starts.pop(name, None)
        if actor.has_had_files:
            self._closing[name] = actor

    def abort(self, name: str, reason: str) -> None:
        """Reset facet `name` if it is in memory."""
        actor = self._slots.get(name)
        if actor is not None:
            actor.break_(ObjectResetError(reason))

    def forget_all(self) -> None:
        """Everything was deleted: reset those that run, and forget which there were."""
        for running in list(self._slots.values()):
            for actor in tree_of(running):
                self._actor.account.tree.forget(actor.number)
            running.break_(ObjectResetError("Facet was deleted."))
        if self._names is not None:
            self._names.clear()

    def clone(self, source: str, target: str) -> Awaitable[None]:
        """Reset facet `target` and make it a copy of `source`, with all below it; `source` goes on.

        It is done when it is awaited; whoever uses `target` before waits. Raises FacetError in a transaction.
        """
        self.check_may_change(target)
        return self.clone_in_turn(source, target)

    def clone_in_turn(self, source: str, target: str) -> Awaitable[None]:
        """The same, but it waits for a transaction of the root that is open."""
        running = self._users(target)
        self.abort(target, _CLONED_OVER)
        if source == target:
            return Ready(None)
        earlier = [self._changing[name] for name in (source, target) if name in self._changing]
        lock = self._actor.output.lock()  # What is said from now on must not be heard before it is durable.

        async def work() -> None:
            try:
                if earlier:
                    await asyncio.wait(earlier)
                for member in running:
                    await member.wait_closed()
                await self._clone(source, target)
            finally:
                self._actor.output.unlock(lock)

        return self._change(target, work())

    async def _clone(self, source: str, target: str) -> None:
        parent, root = self._actor, self._actor.root
        await asyncio.to_thread(root.temporary.mkdir, parents=True, exist_ok=True)
        async with index_held(parent):
            room = CloneRoom(root, parent.number, source, target, lambda: tree_bounds(parent.account))
        with closing(room), tempfile.TemporaryDirectory(dir=root.temporary) as directory:
            copies = await self._copies(source, Path(directory))
            async with index_changeable(parent, target):
                check_facet_count(parent, target, count=len(copies))
                end_turn = root_of(parent).end_turn
                await replace_facet(root, parent.number, target, copies, room=room, end_turn=end_turn)
        if self._names is not None:
            (self._names.add if copies else self._names.discard)(target)

    async def _copies(self, source: str, directory: Path) -> builtins.list[FacetCopy]:
        """Each database of a facet's tree as a file, parents first; none when the facet does not exist."""
        root, base = self._actor.root, path_of(self._actor)
        async with index_held(self._actor):
            top = root.facet_number_or_none(self._actor.number, source)
        copies: list[FacetCopy] = []
        waiting: deque[tuple[tuple[str, ...], int]] = deque([((), top)] if top is not None else [])
        while waiting:
            path, number = waiting.popleft()
            async with index_held(self._actor):
                waiting.extend(((*path, name), below) for name, below in root.facet_numbers(number).items())
            if not root.log.chain.is_born(number):
                copies.append(FacetCopy(path, None, None))
                continue
            file = directory / str(len(copies))
            place = (*base, source, *path)
            alarm_at_ms = await self._keeper.visit(root.key, place, partial(_copy, file), cause="facet cloned")
            copies.append(FacetCopy(path, file, alarm_at_ms))
        return copies

    def _change(self, name: str, work: Coroutine[object, object, None]) -> Change:
        task = self._changing[name] = shared_task(work)

        def ended(task: asyncio.Task[None]) -> None:
            if self._changing.get(name) is task:
                del self._changing[name]

        task.add_done_callback(ended)
        return Change(task)

    async def _unchanged(self, name: str) -> None:
        """Once facet `name` is what it was made into. A clone that failed has left it as it was."""
        while (changing := self._changing.get(name)) is not None:
            await asyncio.wait([changing])

    async def delete_in_turn(self, name: str) -> None:
        """The same for whoever can wait until it is durable; it waits for the turns of a root in a sandbox.

        Nobody reaches the facet from the call on, whoever awaits it.
        """
        commits: list[Commit] = []
        running, earlier = self._stop(name), self._changing.get(name)

        async def work() -> None:
            try:
                commits.extend(await self._delete_in_turn(name, running, earlier))
            except FacetError:
                await self._remember_name(name)  # It is still there.
                raise

        await self._change(name, work())
        for commit in commits:
            await commit

    async def _delete_in_turn(
        self, name: str, running: builtins.list[Actor], earlier: asyncio.Task[None] | None
    ) -> builtins.list[Commit]:
        """Delete facet `name` once no thread uses its files and the root has no transaction open."""
        if earlier is not None:
            await asyncio.wait([earlier])
            running.extend(self._stop(name))
        for member in running:
            await member.wait_closed()
        async with index_changeable(self._actor, name):
            if self._actor.error is not None:
                raise again(self._actor.error)  # Its successor may use the facet, and nobody heard that it is deleted.
            if self._names is not None:
                self._names.discard(name)  # An earlier deletion that failed may have put it back.
            number = self._actor.root.facet_number_or_none(self._actor.number, name)
            return [] if number is None else [self._delete(number)]

    def _stop(self, name: str) -> builtins.list[Actor]:
        """Reset facet `name`, which is about to be deleted; what ran in its tree, and may still have files open."""
        running = self._users(name)
        self.abort(name, "Facet was deleted.")
        if self._names is not None:
            self._names.discard(name)
        return running

    def _users(self, name: str) -> builtins.list[Actor]:
        """What runs in the tree of facet `name`, and what was reset there and may still be in a turn on a thread."""
        running = tree_of(self._slots[name]) if name in self._slots else []
        broken = self._closing.get(name)
        return running if broken is None else [*running, broken]

    def delete(self, name: str) -> None:
        """Reset facet `name` and forget its data, and that of its descendants; for code that runs on the loop.

        Nothing that is said from now on is heard before it is durable. A turn of the facet may still run on a thread:
        its files are deleted when it has ended, and when a transaction that the root has begun since has ended too.
        """
        self.check_may_change(name)
        earlier = self._changing.get(name)
        running = self._stop(name)
        if earlier is None and all(member.is_closed for member in running):
            number = self._actor.root.facet_number_or_none(self._actor.number, name)
            if number is not None:
                self._delete(number)
            return
        lock = self._actor.output.lock()

        async def work() -> None:
            try:
                for commit in await self._delete_in_turn(name, running, earlier):
                    await commit
            except Exception as error:
                # Nobody has heard of it, and nobody shall: the facet is still there.
                self._actor.break_(ObjectResetError(f"facet `{name}` could not be deleted: {error}"))
                raise
            self._actor.output.unlock(lock)

        self._change(name, work())

    def changes(self) -> Sequence[asyncio.Task[None]]:
        """What is under way that changes facets, here and below."""
        below = [actor.facets for actor in self._slots.values() if actor.facets is not None]
        return [*self._changing.values(), *(task for facets in below for task in facets.changes())]

    def _delete(self, number: int) -> Commit:
        root = root_of(self._actor)
        root.end_turn()
        commit = self._actor.root.delete_facet(number)
        self._actor.hold_until(commit)
        self._actor.account.tree.forget(number)
        return commit

    def list(self, start_after: str, limit: int) -> list[str]:
        """A page of names of the facets that exist."""
        return self._actor.root.facet_names(self._actor.number, start_after=start_after, limit=limit)

    async def remember_names(self) -> None:
        """Keep the names in memory, for `known_names`: a guest asks on its own thread, and the index is the root's."""
        async with index_held(self._actor):
            self._names = FacetNames(self._actor.root.facet_numbers(self._actor.number))

    async def _remember_name(self, name: str) -> None:
        """Facet `name` was thought to be gone: it is there if the index says so."""
        async with index_held(self._actor):
            number = self._actor.root.facet_number_or_none(self._actor.number, name)
            if number is not None and self._names is not None:
                self._names.add(name)

    @property
    def has_names(self) -> bool:
        """Whether there are facets, on any thread."""
        return bool(self._names)

    def known_names(self, start_after: str, limit: int) -> builtins.list[str]:
        """The same page, on any thread."""
        assert self._names is not None, "the names are remembered before a guest runs"
        return self._names.page(start_after, limit)

    async def rewind(self, name: str, to: str | int) -> str:
        """Bring facet `name` and all below it back to an earlier state; the bookmark that takes it back."""
        await leave_caller()
        return await self._keeper.rewind_facet(self._actor, name, to)

    async def usage(self, name: str | None) -> FacetUsage:
        """What facet `name` and all below it hold and have used; None: all facets of this object."""
        actor, root = self._actor, self._actor.root
        async with index_held(actor):
            number = actor.number if name is None else root.facet_number_or_none(actor.number, name)
            if number is None:
                raise FacetError(f"there is no facet `{name}` here: facets.list() tells which there are")
            facets = root.facet_count(number).live
            meter = actor.account.meter if name is None else self._meter(number)
        actor.account.tree.keep(number)
        slot = actor if name is None else self._slots.get(name)
        live = [] if slot is None else tree_of(slot)
        pages = root.log.ledger.total(number)
        last_used = datetime.fromtimestamp(meter.last_used_ms / 1000, UTC) if meter.last_used_ms else None
        return FacetUsage(
            database_bytes=pages * PAGE_SIZE,
            pages=pages,
            facets=facets,
            requests=meter.requests,
            cpu_ms=meter.cpu_ns / 1_000_000,
            rows_read=meter.rows_read,
            rows_written=meter.rows_written,
            memory_bytes=sum(member.memory_bytes for member in live),
            last_used=last_used,
        )

    def set_budget(self, name: str, budget: Budget | None) -> None:
        """Another budget for facet `name`, if it is in memory."""
        slot = self._slots.get(name)
        if slot is not None:
            slot.account.budget = budget

    def events(self) -> EventStream:
        """What happens in the facets below, from now on."""
        return self._actor.voice.listen()

    async def look_again(self) -> None:
        """The index was changed by the host: ask it anew which facets there are."""
        if self._names is not None:
            await self.remember_names()

    def slots(self) -> Sequence[Actor]:
        """The slots there are."""
        return list(self._slots.values())

    def any_live(self) -> bool:
        """True while some facet is in memory, or a turn of one that was reset still runs on a thread."""
        is_live = any(actor.state is not State.COLD for actor in self._slots.values())
        return is_live or bool(self.unclosed()) or bool(self._changing)

    def unclosed(self) -> Sequence[Actor]:
        """Those whose files are open, the reset ones too: a successor of their parent waits for them."""
        return [actor for actor in (*self._slots.values(), *self._closing.values()) if not actor.is_closed]

    def break_all(self, error: PerdureError) -> None:
        """The parent was reset: so are they."""
        for actor in list(self._slots.values()):
            actor.break_(error)

    def let_go(self) -> None:
        """The instance of the object is gone: nothing here keeps it in memory while a stub of a facet is held."""
        self._could_wake = self.can_wake  # Its class has not changed.
        self.is_inside, self.start_facet = _nowhere, None


class FacetTarget:
    """What a facet's stub points at: the slot it reached first, for good."""

    __slots__ = ("_actor", "_name", "_slots", "_start")

    def __init__(self, slots: FacetSlots, name: str, start: StartFacet) -> None:
        self._slots = slots
        self._name = name
        self._start = start
        self._actor: Actor | None = None

    async def fetch(self, request: Request) -> Response:
        await leave_caller(request)
        return await self._reach().fetch(request)

    def call(self, path: Sequence[str], arguments: Sequence[object] | Copies) -> Awaitable[Any]:
        return self._call(path, Sent.of(arguments))

    async def get(self, path: Sequence[str]) -> object:
        await leave_caller()
        return await self._reach().call(path, None)

    async def _call(self, path: Sequence[str], sent: Sent) -> object:
        with sent:
            await leave_caller()
            return await self._reach().call(path, sent)

    def _reach(self) -> Actor:
        self._slots.check_may_make(self._name)
        actor = self._actor
        if actor is None or (actor.state is State.BROKEN and not actor.was_running):
            actor = self._actor = self._slots.slot(self._name)
        if actor.state is State.COLD:
            self._slots.offer(self._name, self._start)
        return actor


class Change:
    """A change under way; it goes on when nobody awaits it."""

    __slots__ = ("_task",)

    def __init__(self, task: asyncio.Task[None]) -> None:
        self._task = task

    def __await__(self) -> Generator[Any, Any, None]:
        return asyncio.shield(self._task).__await__()


def check_facet_count(parent: Actor, name: str, *, count: int = 1) -> None:
    """Raise QuotaExceededError when one more facet of `parent` is more than it, or something above it, may have."""
    above: Actor | None = parent
    while above is not None:
        limits = above.account.limits
        if limits.facets is not None or limits.facets_ever is not None:
            there = above.root.facet_count(above.number)
            for quota, used, bound in (
                ("facets", there.live, limits.facets),
                ("facets_ever", there.ever, limits.facets_ever),
            ):
                if bound is not None and used + count > bound:
                    what = "at once" if quota == "facets" else "ever made"
                    raise QuotaExceededError(
                        f"facet `{name[:32]}` cannot be made: `{above.label}` may have {bound} facets {what} "
                        f"(`{quota}`), it has {used}: use one that exists, or raise the quota",
                        quota=quota,
                        scope=above.label,
                        used=used,
                        bound=bound,
                    )
        above = above.parent


def _nowhere() -> bool:
    return False


def _in_transaction(name: str) -> FacetError:
    return FacetError(
        f"facet `{name}` cannot be made, deleted or cloned while its root object has a transaction() open: "
        "do it before, or after"
    )


def path_of(actor: Actor) -> tuple[str, ...]:
    """The names that lead from the root object to `actor`."""
    return () if actor.parent is None else (*path_of(actor.parent), actor.name)


def _copy(file: Path, database: Database) -> int | None:
    """Copy a database; when its alarm wants to ring."""
    database.copy_to(file)
    alarm = database.alarm.row_or_none()
    return None if alarm is None else alarm.attempt_ms


def root_of(actor: Actor) -> Actor:
    """The root object that `actor` is, or belongs to."""
    while actor.parent is not None:
        actor = actor.parent
    return actor


def facet_identity(parent: ObjectId, name: str) -> ObjectId:
    """The id a facet has when its start callback names none: its own, derived from its parent's and its name."""
    path = f"{parent}\0{name}".encode("utf-8", "surrogatepass")
    return ObjectId(hashlib.blake2b(path, digest_size=32, person=b"perdure-facet").hexdigest(), name=name)


async def _ask(start: Callable[[], object | Awaitable[object]]) -> FacetOptions:
    answer = start()
    if inspect.isawaitable(answer):
        answer = await answer
    return facet_options(answer)


def tree_of(actor: Actor) -> list[Actor]:
    """A facet's slot and those of its descendants."""
    below = actor.facets.slots() if actor.facets is not None else []
    return [actor, *(deeper for child in below for deeper in tree_of(child))]
