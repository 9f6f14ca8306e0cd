"""Visits: work of the host on one object's databases, between its turns, without waking it.

A live object is visited through its gate. A cold one is visited by opening its database, under the lock that openings
take too: whoever starts it meanwhile waits. Trusted code may touch its database at any step of the event loop, so below
a live root of trusted code a visit is one step of the loop, and must be short; else it has a thread.
Effects: disk, tasks.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Final, Protocol, TypeVar

from perdure.clock import Clock
from perdure.errors import ObjectResetError, OverloadedError, UnknownObjectError
from perdure.limits import VISIT_ASIDE_S, VISIT_ON_LOOP_S
from perdure.objects._actor import Actor
from perdure.objects._facets import FacetSlots
from perdure.objects._lifecycle import State
from perdure.objects._root_index import files_held, index_changeable
from perdure.storage import Captured, Commit, Database, ObjectKey, RootStore, Store
from perdure.workers import shared_task

Result = TypeVar("Result")
_ATTEMPTS_MAX: Final = 100
_DELETED: Final = "the object was deleted by whoever runs the platform"


class Slots(Protocol):
    """What is in memory: the directory."""

    def slot_or_none(self, key: ObjectKey) -> Actor | None:
        """The slot of a root object, if it has one."""
        ...

    @property
    def users(self) -> Mapping[RootStore, AbstractSet[Actor]]:
        """Who has a database of a root open, or is about to."""
        ...

    def deleted(self, key: ObjectKey) -> None:
        """An object is being deleted; nobody uses it."""
        ...


@dataclass(frozen=True, slots=True)
class Visit:
    """What to do: `work` on the database that facet names lead to; `()` is the object's own. `cause` is for people.

    `is_unbounded`: no quota forbids what it writes.
    """

    key: ObjectKey
    path: Sequence[str]
    cause: str
    may_write: bool
    is_unbounded: bool = False


class Visits:
    """Visits and deletions from outside. Each runs to its end, even when whoever asked gives up."""

    def __init__(self, store: Store, slots: Slots, clock: Clock) -> None:
        self._store = store
        self._slots = slots
        self._clock = clock
        self._tasks: set[asyncio.Task[object]] = set()

    async def visit(self, visit: Visit, work: Callable[[Database], Result]) -> Result:
        """The result of `work`. What it wrote is durable. Raises UnknownObjectError, FacetError, what `work` raises."""
        return await self._to_its_end(self._visit(visit, work))

    def is_live(self, key: ObjectKey, path: Sequence[str]) -> bool:
        """Whether an instance is in memory."""
        member = self._member_or_none(key, path)
        return member is not None and member.state is State.RUNNING

    async def delete(self, key: ObjectKey) -> None:
        """Delete a root object with all its facets; its instance is reset first. Raises UnknownObjectError."""
        await self._to_its_end(self._delete(key))

    async def delete_facet(self, key: ObjectKey, path: Sequence[str]) -> None:
        """Delete a facet and all below it; its instance is reset first. Raises UnknownObjectError, FacetError."""
        await self._to_its_end(self._delete_facet(key, tuple(path)))

    async def finish(self) -> None:
        """Wait for what is under way."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def _to_its_end(self, work: Coroutine[object, object, Result]) -> Result:
        task = shared_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return await asyncio.shield(task)

    # ── visits ───────────────────────────────────────────────────────────────────────────────────────────────

    async def _visit(self, visit: Visit, work: Callable[[Database], Result]) -> Result:
        for _ in range(_ATTEMPTS_MAX):
            root = self._store.root(*visit.key)
            async with files_held(self._slots.users, root):
                number = _find(root, visit)
                holder = self._holder_or_none(root, number)
                if holder is None:
                    # Below a live root its code may delete this facet at any step of the loop.
                    aside = root not in self._slots.users
                    turn = self._turn(visit, work, limit_s=VISIT_ASIDE_S if aside else VISIT_ON_LOOP_S)
                    result, commit = await root.visit(number, turn, aside=aside, cause=visit.cause)
                    break
            if holder.state is State.RUNNING:
                limit_s = VISIT_ON_LOOP_S if holder.is_used_on_loop else VISIT_ASIDE_S
                return await holder.visit(self._turn(visit, work, limit_s=limit_s), cause=visit.cause)
            await _wait_until_changed(holder)
        else:
            raise _restless(visit.key)
        if commit is not None:
            await commit
        self._let_go(root)
        return result

    def _turn(
        self, visit: Visit, work: Callable[[Database], Result], *, limit_s: float
    ) -> Callable[[Database], tuple[Result, Captured | None]]:
        def turn(database: Database) -> tuple[Result, Captured | None]:
            end_s = self._clock.monotonic_s() + limit_s
            return database.host_turn(
                work,
                deadline=lambda: self._clock.monotonic_s() > end_s,
                may_write=visit.may_write,
                is_unbounded=visit.is_unbounded,
            )

        return turn

    # ── deletion ─────────────────────────────────────────────────────────────────────────────────────────────

    async def _delete(self, key: ObjectKey) -> None:
        for _ in range(_ATTEMPTS_MAX):
            slot = self._slots.slot_or_none(key)
            root = self._store.root(*key)
            if slot is not None and root.exists:
                slot.break_(ObjectResetError(_DELETED))
            for user in self._users(root):
                await user.wait_closed()
            async with root.files_aside:
                if root in self._slots.users:
                    continue  # Somebody called it meanwhile.
                if not root.exists:
                    raise unknown_object(key)
                commit = root.delete()
                self._slots.deleted(key)
            await commit
            self._let_go(root)
            return
        raise _restless(key)

    async def _delete_facet(self, key: ObjectKey, path: tuple[str, ...]) -> None:
        visit = Visit(key, path, _DELETED, may_write=True)
        for _ in range(_ATTEMPTS_MAX):
            root, top = self._store.root(*key), None
            async with files_held(self._slots.users, root):
                number = _find(root, visit)
                parent = self._member_or_none(key, path[:-1])
                if parent is None or parent.state in {State.COLD, State.BROKEN}:
                    parent = next((user for user in self._users(root) if user.state is State.BROKEN), None)
                    top = self._live_root_or_none(key)
                    if parent is None and (top is None or not top.database.in_transaction):
                        commit = _delete_below_cold_parent(top, root, number)
                        break
            if parent is None:
                assert top is not None, "only a live root has a transaction open"
                async with index_changeable(top, path[-1]):
                    continue
            if parent.state is State.RUNNING and isinstance(parent.facets, FacetSlots):
                await parent.facets.delete_in_turn(path[-1])
                return
            await _wait_until_changed(parent)
        else:
            raise _restless(key)
        await commit
        self._let_go(root)

    # ── who is there ─────────────────────────────────────────────────────────────────────────────────────────

    def _live_root_or_none(self, key: ObjectKey) -> Actor | None:
        top = self._slots.slot_or_none(key)
        return top if top is not None and top.state is State.RUNNING else None

    def _users(self, root: RootStore) -> list[Actor]:
        return list(self._slots.users.get(root, ()))

    def _holder_or_none(self, root: RootStore, number: int) -> Actor | None:
        """Who has the database open, or waits to open it."""
        return next((user for user in self._users(root) if user.number == number), None)

    def _member_or_none(self, key: ObjectKey, path: Sequence[str]) -> Actor | None:
        """The slot that facet names lead to, if all on the way have one."""
        member = self._slots.slot_or_none(key)
        for name in path:
            if member is None or not isinstance(member.facets, FacetSlots):
                return None
            member = member.facets.slot_or_none(name)
        return member

    def _let_go(self, root: RootStore) -> None:
        """A root that nobody uses is forgotten, as after an eviction."""
        if root not in self._slots.users:
            self._store.release(root)


def unknown_object(key: ObjectKey) -> UnknownObjectError:
    """The error for an object that holds nothing."""
    return UnknownObjectError(
        f"there is no object `{key.object_id.hex()}` in `{key.namespace}`: nothing is stored under it"
    )


def _find(root: RootStore, visit: Visit) -> int:
    if not root.exists:
        raise unknown_object(visit.key)
    return root.find(visit.path)


def _delete_below_cold_parent(top: Actor | None, root: RootStore, number: int) -> Commit:
    """One step of the loop: the root may be live, and the facet's parent below it cold."""
    if top is None:
        commit = root.delete_facet(number)
        root.close_database(0)
        return commit
    top.end_turn()
    commit = root.delete_facet(number)
    top.hold_until(commit)
    return commit


async def _wait_until_changed(actor: Actor) -> None:
    """Until a start has ended, or a broken one has closed its file."""
    if actor.state is State.STARTING:
        await actor.wait_started()
    else:
        await actor.wait_closed()


def _restless(key: ObjectKey) -> OverloadedError:
    return OverloadedError(
        f"object `{key.object_id.hex()}` of `{key.namespace}` is started and reset all the time: try again"
    )
