"""Who may look at the index of facets from the event loop: it lies in the root object's own database.

Trusted code runs on the loop too, so nothing stands between it and us. A root object in a sandbox may be in a turn on a
thread, which has the database to itself: its gate is held first. Whoever holds a gate may take `files_aside`; whoever
has `files_aside` must not wait for a gate. Effects: tasks.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from collections.abc import Set as AbstractSet
from contextlib import asynccontextmanager

from perdure.errors import FacetError, again
from perdure.limits import FACET_TRANSACTION_WAIT_S
from perdure.objects._actor import Actor
from perdure.objects._lifecycle import State
from perdure.storage import RootStore


@asynccontextmanager
async def index_held(member: Actor) -> AsyncIterator[None]:
    """While it lasts no turn of the root object that `member` belongs to uses its database. Raises what broke it."""
    top = member.top
    if top.error is not None:
        raise again(top.error)
    if top.is_used_on_loop:
        yield
        return
    async with top.held():
        database = top.database
        before, database.deadline = database.deadline, None  # It is that of a turn which is over.
        try:
            yield
        finally:
            database.deadline = before


@asynccontextmanager
async def index_changeable(member: Actor, name: str) -> AsyncIterator[None]:
    """The same, while no transaction of the root is open either, which could undo what happens to facet `name`.

    Raises FacetError when one stays open for long: perhaps it waits for us.
    """
    top = member.top
    end_s = asyncio.get_running_loop().time() + FACET_TRANSACTION_WAIT_S
    while True:
        async with index_held(member):
            if not top.database.in_transaction:
                yield
                return
        try:
            async with asyncio.timeout_at(end_s):
                await top.input.wait_for_section_end()
        except TimeoutError:
            raise FacetError(
                f"facet `{name}` cannot be made, deleted or cloned: its root object has had a transaction() open for "
                f"{FACET_TRANSACTION_WAIT_S:g} s. Do it before, or after; a transaction must not wait for it"
            ) from None


@asynccontextmanager
async def files_held(users: Mapping[RootStore, AbstractSet[Actor]], root: RootStore) -> AsyncIterator[None]:
    """While it lasts nobody opens or moves a file of `root`, live or cold, and its index can be looked at."""
    while True:
        top = _root_object_or_none(users, root)
        if top is not None and top.state is State.BROKEN:
            await top.wait_closed()
        elif top is not None and not top.is_used_on_loop:
            async with index_held(top), root.files_aside:
                yield
                return
        else:
            async with root.files_aside:
                if _root_object_or_none(users, root) is top and (top is None or top.is_used_on_loop):
                    yield
                    return


def _root_object_or_none(users: Mapping[RootStore, AbstractSet[Actor]], root: RootStore) -> Actor | None:
    """Who has the root's own database open, or is about to."""
    return next((user for user in users.get(root, ()) if user.parent is None), None)
