"""The facets of one actor: child slots by name, and the targets that stubs point at.

A facet is an actor with a parent. Its number is its file, for ever; its start callback runs whenever it is cold.
Effects: disk, tasks.
"""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol
from weakref import WeakValueDictionary

from perdure.api import DurableObjectClass, FacetOptions, ObjectId, StartFacet, facet_options
from perdure.errors import FacetError, ObjectResetError, PerdureError
from perdure.limits import FACET_DEPTH_MAX
from perdure.objects._actor import Actor, Body, Keeper, leave_caller
from perdure.objects._lifecycle import State
from perdure.web import Request, Response


class FacetKeeper(Keeper, Protocol):
    """Who keeps actors, and knows how to make the body of a facet."""

    async def make_facet_body(self, actor: Actor, kind: DurableObjectClass | type) -> Body: ...


class FacetSlots:
    """Child slots of one actor; serves `perdure.api.Facets`."""

    def __init__(self, actor: Actor, keeper: FacetKeeper) -> None:
        self._actor = actor
        self._keeper = keeper
        self._slots: dict[str, Actor] = {}
        self._starts: dict[str, StartFacet] = {}
        self._names: frozenset[str] | None = None
        self._closing: WeakValueDictionary[str, Actor] = WeakValueDictionary()

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
            options = await _ask(self._starts[name])
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
            make_body=make_body,
            keeper=self._keeper,
            clock=parent.clock,
            forget=lambda actor: self._forget(name, actor),
            after=self._closing.get(name),
        )

    def _number(self, name: str) -> int:
        number = self._actor.root.facet_number(self._actor.number, name)
        root_of(self._actor).end_turn()  # A new number is a row in the root's own database.
        if self._names is not None:
            self._names |= {name}
        return number

    def _forget(self, name: str, actor: Actor) -> None:
        if self._slots.get(name) is actor:
            del self._slots[name]
            self._starts.pop(name, None)
        self._closing[name] = actor

    def abort(self, name: str, reason: str) -> None:
        """Reset facet `name` if it is in memory."""
        actor = self._slots.get(name)
        if actor is not None:
            actor.break_(ObjectResetError(reason))

    def delete(self, name: str) -> None:
        """Reset facet `name` and forget its data, and that of its descendants."""
        number = self._actor.root.facet_numbers(self._actor.number).get(name)
        running = tree_of(self._slots[name]) if name in self._slots else []
        self.abort(name, "Facet was deleted.")
        if number is None:
            return
        self._names = None if self._names is None else self._names - {name}
        # A turn may still run on a thread: its file is deleted when it has ended.
        still_open = len(running)

        def one_closed() -> None:
            nonlocal still_open
            still_open -= 1
            if still_open <= 0:
                self._delete(number)

        if not running:
            self._delete(number)
        for actor in running:
            actor.on_closed(one_closed)

    def _delete(self, number: int) -> None:
        root = root_of(self._actor)
        root.end_turn()
        commit = self._actor.root.delete_facet(number)
        self._actor.hold_until(commit)

    def list(self) -> list[str]:
        """Names of the facets that have data. After the first time on any thread: they are in memory then."""
        if self._names is None:
            self._names = frozenset(self._actor.root.facet_numbers(self._actor.number))
        return sorted(self._names)

    def slots(self) -> Sequence[Actor]:
        """The slots there are."""
        return list(self._slots.values())

    def any_live(self) -> bool:
        """True while some facet is in memory, or a turn of one that was reset still runs on a thread."""
        return any(actor.state is not State.COLD for actor in self._slots.values()) or bool(self.unclosed())

    def unclosed(self) -> Sequence[Actor]:
        """Those whose files are open, the reset ones too: a successor of their parent waits for them."""
        return [actor for actor in (*self._slots.values(), *self._closing.values()) if not actor.is_closed]

    def break_all(self, error: PerdureError) -> None:
        """The parent was reset: so are they."""
        for actor in list(self._slots.values()):
            actor.break_(error)


class FacetTarget:
    """What a facet's stub points at: the slot it reached first, for good."""

    __slots__ = ("_actor", "_name", "_slots", "_start")

    def __init__(self, slots: FacetSlots, name: str, start: StartFacet) -> None:
        self._slots = slots
        self._name = name
        self._start = start
        self._actor: Actor | None = None

    async def fetch(self, request: Request) -> Response:
        await leave_caller()
        return await self._reach().fetch(request)

    async def call(self, method: str, arguments: Sequence[object]) -> object:
        await leave_caller()
        return await self._reach().call(method, arguments)

    def _reach(self) -> Actor:
        actor = self._actor
        if actor is None or (actor.state is State.BROKEN and not actor.was_running):
            actor = self._actor = self._slots.slot(self._name)
        if actor.state is State.COLD:
            self._slots.offer(self._name, self._start)
        return actor


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
