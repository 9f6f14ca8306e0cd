"""The directory: which objects are in memory, who may come in, who must go.

Locating or creating a slot is one synchronous step, so that one id never has two. Idle actors leave after ten seconds,
the least recently used ones earlier when isolates need the room. Effects: disk, tasks, timers.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Final, TypeVar
from weakref import WeakValueDictionary

from perdure.api import DurableObjectClass, Env, ObjectId, refuse_facet_stubs
from perdure.clock import Clock, Entropy
from perdure.errors import FacetError, OverloadedError, PerdureError, UsageError
from perdure.limits import (
    FORGOTTEN_S,
    GUEST_FACETS_LIVE_MAX,
    IDLE_EVICTION_S,
    ISOLATES_LIVE_MAX,
    ISOLATES_MEMORY_BYTES_MAX,
    LIVE_OBJECTS_MAX,
    MEMORY_BYTES_MIN,
    MIB,
    OUTPUT_LOCK_TIMEOUT_S,
)
from perdure.objects._actor import Actor
from perdure.objects._body import Body
from perdure.objects._facets import FacetSlots, path_of, tree_of
from perdure.objects._ids import IdFactory
from perdure.objects._lifecycle import State
from perdure.objects._metering import Metering
from perdure.objects._namespaces import ObjectCalls, ObjectNamespace
from perdure.objects._population import Census, NamespaceQuota
from perdure.objects._restores import Restore
from perdure.objects._sandboxed import SandboxedBody
from perdure.objects._travels import Travels
from perdure.objects._trusted import TrustedBody
from perdure.objects._visits import Visit, Visits
from perdure.storage import SANDBOXED, SQLITES_OWN, Database, ObjectKey, RootStore, StorageLimits, Store
from perdure.workers import DynamicClass, KnownClass, WorkerRuntime

_LOG: Final = logging.getLogger("perdure.objects")
_SWEEP_S: Final = 1.0
_SWEEP_ON_S: Final = 0.01  # the rest follows soon
_EVICTED_AT_ONCE: Final = 4  # each closes a file and unlinks another, which takes the file system up to 2 ms
_NEW_ISOLATE_BYTES: Final = 2 * MIB  # assumed of an isolate until the next sweep has measured it

Key = tuple[str, bytes]
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class TrustedClass:
    """A class of the platform's owner, with what its instances may reach."""

    kind: type
    env: Env
    exports: object
    ids: IdFactory
    prevents_eviction: bool
    storage_limits: StorageLimits | None
    quota: NamespaceQuota


@dataclass(frozen=True, slots=True)
class GuestClass:
    """A class of a worker, whose instances are root objects in sandboxes."""

    definition: DynamicClass
    ids: IdFactory
    prevents_eviction: bool
    storage_limits: StorageLimits | None
    quota: NamespaceQuota


async def _number_of_root() -> int:
    return 0


class Directory:
    """Every slot of a platform."""

    def __init__(
        self,
        *,
        store: Store,
        runtime: WorkerRuntime,
        clock: Clock,
        entropy: Entropy,
        sandbox_limits: StorageLimits = SANDBOXED,
    ) -> None:
        self._sandbox_limits = sandbox_limits
        self._store = store
        self._runtime = runtime
        self._clock = clock
        self._entropy = entropy
        self._classes: dict[str, TrustedClass | GuestClass] = {}
        self._slots: WeakValueDictionary[Key, Actor] = WeakValueDictionary()
        self._closing: WeakValueDictionary[Key, Actor] = WeakValueDictionary()
        self._live: OrderedDict[Actor, None] = OrderedDict()
        self._open: dict[RootStore, set[Actor]] = {}
        self._compacting: dict[RootStore, asyncio.Future[None]] = {}
        self._compacting_idle: asyncio.Future[None] | None = None
        self._sweeper: asyncio.TimerHandle | None = None
        self._isolate_bytes = 0
        self._census = Census(store.count_objects, clock.monotonic_s)
        self._newcomers: dict[Actor, tuple[Key, RootStore]] = {}
        self._visits = Visits(store, self, clock)
        self._metering = Metering(self._write_usage, clock=clock, wake=self._sweep_later)
        self.travels: Final = Travels(store, self, clock)
        """The past of objects, and ways back to it."""
        self._is_closed = False

    # ── classes and slots ───────────────────────────────────────────────────────────────────────────────────

    def define(
        self,
        key: str,
        kind: type,
        *,
        env: Env,
        exports: object,
        prevents_eviction: bool = False,
        storage_limits: StorageLimits | None = None,
        quota: NamespaceQuota | None = None,
    ) -> ObjectNamespace:
        """A namespace for `kind`; `key` names its objects on disk and in their ids."""
        calls = ObjectCalls(self, key, entropy=self._entropy)
        self._classes[key] = TrustedClass(
            kind, env, exports, calls.ids, prevents_eviction, storage_limits, quota or NamespaceQuota()
        )
        return ObjectNamespace(calls, DurableObjectClass(kind))

    def define_guest(
        self,
        key: str,
        definition: DynamicClass,
        *,
        prevents_eviction: bool = False,
        storage_limits: StorageLimits | None = None,
        quota: NamespaceQuota | None = None,
    ) -> ObjectNamespace:
        """A namespace for a class of a worker; its code is loaded when the first object is called."""
        calls = ObjectCalls(self, key, entropy=self._entropy)
        self._classes[key] = GuestClass(
            definition, calls.ids, prevents_eviction, storage_limits, quota or NamespaceQuota()
        )
        return ObjectNamespace(calls, DurableObjectClass(definition))

    def defines(self, namespace: str) -> bool:
        """Whether a class of this key is defined."""
        return namespace in self._classes

    def slot(self, namespace: str, identity: bytes, name: str | None) -> Actor:
        """The slot of one object; makes an empty one when there is none."""
        self._check_open()
        key = (namespace, identity)
        actor = self._slots.get(key)
        if actor is None:
            actor = self._slots[key] = self._make(key, name)
        elif name is not None and actor.identity.name is None:
            actor.identity.name = name
        return actor

    def _check_open(self) -> None:
        if self._is_closed:
            raise UsageError("the platform has been stopped")

    def _make(self, key: Key, name: str | None) -> Actor:
        namespace, identity = key
        kind = self._classes[namespace]
        known = ObjectId(identity.hex(), name=name, jurisdiction=kind.ids.jurisdiction_of(identity))

        async def make_body(actor: Actor) -> Body:
            self._admit(actor, key, kind.quota)
            if isinstance(kind, GuestClass):
                body = await self._guest_body(actor, kind.definition, {}, kind.storage_limits)
                self._admit(actor, key, kind.quota)  # It may have been deleted while its code was loaded.
                return body
            return self._trusted_body(actor, kind.kind, kind, {}, kind.storage_limits)

        return Actor(
            identity=known,
            label=f"{namespace}/{name or identity.hex()[:12]}",
            root=lambda: self._store.root(*key, name=known.name),
            number=_number_of_root,
            parent=None,
            make_body=make_body,
            keeper=self,
            clock=self._clock,
            forget=lambda actor: self._forget(key, actor),
            after=self._closing.get(key),
            prevents_eviction=kind.prevents_eviction,
            tree=self._metering.tree(ObjectKey(*key)),
        )

    def _admit(self, actor: Actor, key: Key, quota: NamespaceQuota) -> None:
        """Let an object start. Raises QuotaExceededError when it would be one too many."""
        actor.account.limits = quota.limits
        root = self._store.root(*key)
        if root.exists or actor in self._newcomers:
            return
        self._census.arrive(key, quota)
        self._newcomers[actor] = (key, root)

    def _settle(self, actor: Actor) -> None:
        """A newcomer is closed, or never came to be: it counts if it stored something."""
        newcomer = self._newcomers.pop(actor, None)
        if newcomer is not None:
            self._census.settle(newcomer[0], exists=newcomer[1].exists)

    @contextmanager
    def admitted(self, root: RootStore) -> Iterator[None]:
        """Meanwhile an object is made of files: it counts from now on, if it comes to be. Raises QuotaExceededError."""
        kind = self._classes.get(root.key.namespace)
        if kind is None or root.exists:
            yield
            return
        self._census.arrive(root.key, kind.quota)
        exists = False
        try:
            yield
            exists = True
        finally:
            self._census.settle(root.key, exists=exists or root.exists)

    def _forget(self, key: Key, actor: Actor) -> None:
        if self._slots.get(key) is actor:
            del self._slots[key]
        if actor.has_had_files:
            self._closing[key] = actor

    # ── bodies ──────────────────────────────────────────────────────────────────────────────────────────────

    async def make_facet_body(self, actor: Actor, kind: DurableObjectClass | type) -> Body:
        """What runs in a facet: a guest's class, or a trusted one of this platform."""
        props: object = {}
        if isinstance(kind, DurableObjectClass):
            definition, props = kind.definition, kind.props
        else:
            definition = kind
        if isinstance(definition, DynamicClass | KnownClass):
            return await self._guest_body(actor, definition, props)
        if isinstance(definition, type):
            refuse_facet_stubs(props)
            return self._trusted_body(actor, definition, self._trusted_class(definition), props)
        raise FacetError(f"`{definition!r}` is no class that can run as a facet")

    def _trusted_class(self, kind: type) -> TrustedClass:
        trusted = [known for known in self._classes.values() if isinstance(known, TrustedClass)]
        return next((known for known in trusted if known.kind is kind), trusted[0])

    def _trusted_body(
        self,
        actor: Actor,
        kind: type,
        trusted: TrustedClass,
        props: object,
        storage_limits: StorageLimits | None = None,
    ) -> TrustedBody:
        actor.storage_limits = storage_limits or SQLITES_OWN
        facets = actor.facets = FacetSlots(actor, self)
        body = TrustedBody(actor, kind, env=trusted.env, exports=trusted.exports, props=props, facets=facets)
        facets.is_inside = lambda: body.sections.is_current
        facets.start_facet = body.start_facet if body.can_start_facets else None
        return body

    async def _guest_body(
        self,
        actor: Actor,
        definition: DynamicClass | KnownClass,
        props: object,
        storage_limits: StorageLimits | None = None,
    ) -> SandboxedBody:
        code = await definition.code()
        self._check_room(actor)
        actor.storage_limits = storage_limits or self._sandbox_limits
        actor.facets = FacetSlots(actor, self)
        memory_mb = actor.account.memory_mb()
        if memory_mb is not None:
            memory_bytes = max(MEMORY_BYTES_MIN, min(code.memory_bytes, memory_mb * MIB))
            code = replace(code, memory_bytes=memory_bytes)
        return SandboxedBody(actor, code, definition, props=props, runtime=self._runtime, facets=actor.facets)

    def _check_room(self, actor: Actor) -> None:
        """Make room for the isolate of `actor`. Raises OverloadedError when there is none."""
        is_started_by_guest = actor.parent is not None and actor.parent.memory_bytes > 0
        if is_started_by_guest and len(self._open.get(actor.root, ())) >= GUEST_FACETS_LIVE_MAX:
            raise OverloadedError(
                f"this object has {GUEST_FACETS_LIVE_MAX} facets in memory, the limit for sandboxed code: wait until "
                "some are idle, or keep their data in one facet"
            )
        self._isolate_bytes += _NEW_ISOLATE_BYTES
        if self._isolate_bytes > ISOLATES_MEMORY_BYTES_MAX:
            self._make_room(wanted_bytes=_NEW_ISOLATE_BYTES)
            self._isolate_bytes += _NEW_ISOLATE_BYTES
            if self._isolate_bytes > ISOLATES_MEMORY_BYTES_MAX:
                raise OverloadedError("every sandbox there is room for is in use: try again in a moment")

    # ── the past ────────────────────────────────────────────────────────────────────────────────────────────

    async def rewind_facet(self, parent: Actor, name: str, to: str | int) -> str:
        """Bring a facet back to an earlier state; for the code of its parent."""
        return await self.travels.rewind(parent.root.key, to, path=(*path_of(parent), name))

    async def bookmark(self, actor: Actor, act: str, argument: object) -> str:
        """What an object's own code may ask about its past."""
        return await self.travels.bookmark(actor, act, argument)

    async def restore(self, actor: Actor, wanted: Restore) -> None:
        """Bring an object that is about to start back to where its code wanted it. It has no database open."""
        await self.travels.restore(actor, wanted)

    # ── Keeper ──────────────────────────────────────────────────────────────────────────────────────────────

    def started(self, actor: Actor) -> None:
        """It is in memory now."""
        self._live[actor] = None
        if len(self._live) > LIVE_OBJECTS_MAX:
            self._evict_oldest(len(self._live) - LIVE_OBJECTS_MAX)
        self._sweep_later()

    def used(self, actor: Actor) -> None:
        """A call to it has ended."""
        actor.touch()
        if actor in self._live:
            self._live.move_to_end(actor)

    def stopped(self, actor: Actor) -> None:
        """It is out of memory: evicted or broken."""
        self._settle(actor)
        self._live.pop(actor, None)

    def opened(self, actor: Actor, root: RootStore) -> None:
        """A database of this root is open."""
        self._open.setdefault(root, set()).add(actor)

    def closed(self, actor: Actor, root: RootStore) -> None:
        """One database fewer is open; without any, the root's files are let go."""
        self._settle(actor)
        self._open[root].discard(actor)
        if not self._open[root]:
            del self._open[root]
            self._store.release(root)

    # ── visits ──────────────────────────────────────────────────────────────────────────────────────────────

    async def visit(
        self,
        key: ObjectKey,
        path: Sequence[str],
        work: Callable[[Database], Result],
        *,
        cause: str,
        may_write: bool = False,
    ) -> Result:
        """Work of the host on the database that facet names lead to, between turns; a cold object stays cold.

        What is written is durable on return. Raises UnknownObjectError, FacetError, SqlInterruptedError, and what
        `work` raises.
        """
        self._check_open()
        return await self._visits.visit(Visit(key, path, cause, may_write), work)

    async def delete(self, key: ObjectKey) -> None:
        """Reset an object and delete it with all its facets. Raises UnknownObjectError."""
        self._check_open()
        kind = self._classes.get(key.namespace)
        if kind is not None:
            self._census.population(key.namespace, kind.quota)  # Counted before, so that `deleted` is no guess.
        await self._visits.delete(key)

    async def delete_facet(self, key: ObjectKey, path: Sequence[str]) -> None:
        """Reset a facet and delete it with all below it. Raises UnknownObjectError, FacetError."""
        self._check_open()
        await self._visits.delete_facet(key, path)

    def is_live(self, key: ObjectKey, path: Sequence[str] = ()) -> bool:
        """Whether an object, or the facet that names lead to, is in memory."""
        return self._visits.is_live(key, path)

    def slot_or_none(self, key: ObjectKey) -> Actor | None:
        """The slot of a root object, if it has one."""
        return self._slots.get(key)

    @property
    def users(self) -> Mapping[RootStore, AbstractSet[Actor]]:
        """Who has a database of a root open, or is about to."""
        return self._open

    def deleted(self, key: ObjectKey) -> None:
        """An object is deleted: it counts no longer, and what its facets used is of no use to one made anew."""
        self._census.died(key)
        self._metering.forget(key)

    async def _write_usage(self, key: ObjectKey, work: Callable[[Database], None]) -> None:
        visit = Visit(key, (), "usage written down", may_write=True, is_unbounded=True)
        await self._visits.visit(visit, work)

    # ── compaction ──────────────────────────────────────────────────────────────────────────────────────────

    def log_grew(self, root: RootStore) -> None:
        """Make the root's files durable, so that its journal can be forgotten."""
        if root not in self._compacting and not self._is_closed:
            self._compacting[root] = asyncio.ensure_future(self._compact(root))

    async def _compact(self, root: RootStore) -> None:
        try:
            for actor in list(self._open.get(root, ())):
                await actor.checkpoint()
            await root.make_durable()
        except PerdureError as error:
            _LOG.warning("an object's files could not be made durable, its journal is kept: %s", error)
            if root.is_broken:  # Whatever runs on it could neither commit nor open another facet.
                for actor in list(self._open.get(root, ())):
                    actor.break_(error)
        finally:
            del self._compacting[root]

    async def _compact_idle(self) -> None:
        try:
            await self._store.compact_idle()
        except PerdureError as error:
            _LOG.warning("the journal could not be shortened: %s", error)
        finally:
            self._compacting_idle = None

    # ── eviction ────────────────────────────────────────────────────────────────────────────────────────────

    def _sweep_later(self) -> None:
        if self._sweeper is None and not self._is_closed:
            self._sweeper = asyncio.get_running_loop().call_later(_SWEEP_S, self._sweep)

    def _sweep(self) -> None:
        self._sweeper = None
        now_s = self._clock.monotonic_s()
        self._metering.look(now_s)
        evicted = self._evict_idle(now_s)
        if evicted < _EVICTED_AT_ONCE:
            self._evict_forgotten(now_s)
            self._reset_stuck(now_s)
            self._make_room()
            if self._store.is_compaction_due and self._compacting_idle is None:
                self._compacting_idle = asyncio.ensure_future(self._compact_idle())
        if (self._live or self._store.is_compaction_due or self._metering.is_waiting) and not self._is_closed:
            delay_s = _SWEEP_S if evicted < _EVICTED_AT_ONCE else _SWEEP_ON_S
            self._sweeper = asyncio.get_running_loop().call_later(delay_s, self._sweep)

    def _evict_idle(self, now_s: float) -> int:
        """Evict what has been idle for long, but not so much at once that the loop stands still; how many it was."""
        due: list[Actor] = []
        for actor in self._live:  # least recently used first
            if now_s - actor.last_used_s < IDLE_EVICTION_S or len(due) == _EVICTED_AT_ONCE:
                break
            if actor.is_active:
                actor.last_active_s = now_s  # Its ten seconds begin when the last thing that it did has ended.
            elif actor.is_idle and not actor.prevents_eviction and now_s - actor.last_active_s >= IDLE_EVICTION_S:
                due.append(actor)
        for actor in due:
            if actor.is_idle:
                actor.evict()
        return len(due)

    def _evict_forgotten(self, now_s: float) -> None:
        """Evict what only its own timers or background work have kept awake for too long."""
        forgotten: list[Actor] = []
        for actor in self._live:  # least recently used first
            if now_s - actor.last_used_s <= FORGOTTEN_S:
                break
            if actor.is_forgotten:
                forgotten.append(actor)
        for actor in forgotten:
            if actor.is_forgotten:
                actor.evict()

    def _reset_stuck(self, now_s: float) -> None:
        """Reset objects whose writes the journal has not acknowledged for `OUTPUT_LOCK_TIMEOUT_S`."""
        for actor in list(self._live):
            held_since = actor.output.gate.oldest_lock_at()
            if held_since is not None and now_s - held_since > OUTPUT_LOCK_TIMEOUT_S:
                actor.break_(
                    OverloadedError("Durable Object storage operation exceeded timeout which caused object to be reset")
                )

    def _make_room(self, *, wanted_bytes: int = 0) -> None:
        """Keep isolates under their ceilings: idle ones go first, then those nobody waits for, oldest use first."""
        bytes_max = ISOLATES_MEMORY_BYTES_MAX - wanted_bytes
        everybody = [actor for actor in self._live if actor.memory_bytes]
        self._isolate_bytes = sum(actor.memory_bytes for actor in everybody)
        excess = len(everybody) - ISOLATES_LIVE_MAX
        holders = [actor for actor in everybody if not actor.prevents_eviction]
        for may_be_busy in (False, True):
            for actor in holders:
                if self._isolate_bytes <= bytes_max and excess <= 0:
                    return
                held_bytes = actor.memory_bytes
                if held_bytes and (actor.is_idle or (may_be_busy and not actor.in_flight)):
                    self._isolate_bytes -= held_bytes
                    excess -= 1
                    self._put_out(actor)

    def _put_out(self, actor: Actor) -> None:
        if actor.is_idle:
            actor.evict()
        else:
            actor.break_(
                OverloadedError("the object was reset: its timers or background work held a sandbox that others needed")
            )

    def evict(self, namespace: str, identity: ObjectId) -> None:
        """Evict one object with its facets now. Raises UsageError when it is not in memory, in use, or kept there."""
        actor = self._slots.get((namespace, bytes.fromhex(identity.text)))
        if actor is None or actor.state is not State.RUNNING:
            raise UsageError(
                f"cannot evict `{namespace}/{identity.name or identity}`: it is not currently running; call it first"
            )
        if actor.prevents_eviction:
            raise UsageError(f"cannot evict `{actor.label}`: preventEviction set for its namespace keeps it in memory")
        for member in reversed(tree_of(actor)):
            if member.state is State.RUNNING and not member.is_idle:
                raise UsageError(f"cannot evict `{member.label}`: it is in use; await what is under way in it first")
            if member.state is State.RUNNING:
                member.evict()

    def _evict_oldest(self, count: int) -> None:
        for actor in list(self._live)[: count * 2]:
            if count > 0 and actor.is_idle and not actor.prevents_eviction:
                actor.evict()
                count -= 1

    def statistics(self) -> Mapping[str, int]:
        """Counts for people: objects in memory, isolates, bytes in isolates."""
        holders = [actor.memory_bytes for actor in self._live if actor.memory_bytes]
        return {"live": len(self._live), "isolates": len(holders), "isolate_bytes": sum(holders)}

    async def close(self) -> None:
        """Stop everything: what is under way fails, what was written is confirmed or not, as the journal says."""
        self._is_closed = True
        if self._sweeper is not None:
            self._sweeper.cancel()
        await self._visits.finish()
        await self.travels.finish()
        actors = [*self._live, *(actor for actor in self._slots.values() if actor.state is State.STARTING)]
        for actor in sorted(actors, key=lambda actor: -actor.depth):
            if actor.is_idle:
                actor.evict()
        for actor in actors:
            if actor.state is not State.COLD:
                actor.break_(OverloadedError("the platform is stopping; try again in a moment"))
        for actor in actors:
            await actor.wait_closed()
        await self._metering.finish()
        under_way = [*self._compacting.values(), *([self._compacting_idle] if self._compacting_idle else [])]
        await asyncio.gather(*under_way)
