"""An actor: the slot of one object or facet, and the instance that lives in it from time to time.

It drives the life cycle and both gates, and owns the instance's database. What runs in it is a body: trusted code in
this process, or a guest in an isolate. Invariants: one live instance per slot, one slot per id; nothing leaves before
what was written earlier is acknowledged by the journal; a broken slot stays broken. Effects: disk, tasks.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, suppress
from contextvars import ContextVar
from itertools import count
from typing import Final, Protocol, TypeVar

from perdure.api import Capability, ObjectId, Sent
from perdure.clock import Clock
from perdure.errors import ObjectResetError, OverloadedError, PerdureError, UsageError, again
from perdure.limits import BACKGROUND_WORK_S, FORGOTTEN_S
from perdure.objects._account import Account, Served
from perdure.objects._alarm_run import AlarmRun
from perdure.objects._body import Body
from perdure.objects._body_source import Apart
from perdure.objects._byte_quota import byte_quota_or_none
from perdure.objects._causes import cause_of
from perdure.objects._gate_drivers import InputDriver, OutputDriver
from perdure.objects._lifecycle import Event, State, after
from perdure.objects._resets import as_perdure_error
from perdure.objects._restores import Restore, forget, remembered
from perdure.objects._tree_usage import TreeUsage
from perdure.objects._voice import Voice
from perdure.storage import (
    SANDBOXED,
    AlarmRow,
    Captured,
    Commit,
    Database,
    HostTurn,
    Lineage,
    RootStore,
)
from perdure.web import ReadableStream, Request, Response
from perdure.workers import shared_task

Result = TypeVar("Result")
_LOG: Final = logging.getLogger("perdure.objects")
_STEPS_OF_A_UNIT: Final = 10
_REQUEST_IDS: Final = count(1)

CURRENT: Final[ContextVar[Actor | None]] = ContextVar("perdure_current_actor", default=None)
"""The actor whose trusted code is running: what it sends waits for its own output gate."""


class Children(Protocol):
    """The facets of an actor, as the actor sees them."""

    @property
    def can_wake(self) -> bool:
        """Whether one that is cold can be started by its name alone."""
        ...

    def slots(self) -> Sequence[Actor]: ...
    def any_live(self) -> bool: ...
    def unclosed(self) -> Sequence[Actor]: ...
    def changes(self) -> Sequence[asyncio.Task[None]]:
        """Deletions and clones that are under way, here and below."""
        ...

    def break_all(self, error: PerdureError) -> None: ...
    def forget_all(self) -> None:
        """Everything was deleted, and they are too."""
        ...

    def let_go(self) -> None:
        """The instance whose facets they are is gone: keep nothing of it in memory."""
        ...


class Keeper(Protocol):
    """Who keeps actors in memory: told what becomes of them."""

    def started(self, actor: Actor) -> None: ...
    def used(self, actor: Actor) -> None: ...
    def stopped(self, actor: Actor) -> None: ...
    def opened(self, actor: Actor, root: RootStore) -> None:
        """A database of this root is open."""
        ...

    def closed(self, actor: Actor, root: RootStore) -> None:
        """One database fewer is open."""
        ...

    async def bookmark(self, actor: Actor, act: str, argument: object) -> str:
        """What its code asks about its past."""
        ...

    async def restore(self, actor: Actor, wanted: Restore) -> None:
        """Bring its databases back to an earlier state; none of them is open."""
        ...

    def log_grew(self, root: RootStore) -> None:
        """Its journal holds so much that its files should be made durable."""
        ...


class Actor:
    """One slot. `number` is the facet's number, 0 for a root; `parent` is None for a root."""

    def __init__(
        self,
        *,
        identity: ObjectId,
        label: str,
        root: Callable[[], RootStore],
        number: Callable[[], Awaitable[int]],
        parent: Actor | None,
        make_body: Callable[[Actor], Awaitable[Body]],
        keeper: Keeper,
        clock: Clock,
        forget: Callable[[Actor], None],
        after: Actor | None = None,
        prevents_eviction: bool = False,
        name: str = "",
        tree: TreeUsage | None = None,
    ) -> None:
        self.identity = identity
        self.name = name
        self.label = label
        self.parent = parent
        self.prevents_eviction: bool = prevents_eviction if parent is None else parent.prevents_eviction
        self.storage_limits = SANDBOXED  # whoever makes its body says what it may
        self.depth: int = 1 if parent is None else parent.depth + 1
        self.clock = clock
        self.input = InputDriver()
        self.output = OutputDriver(clock)
        self.state = State.COLD
        self.error: PerdureError | None = None
        self.was_running = False
        self._delivered: str | Request = "start"
        self.in_flight = 0
        self.last_used_s = clock.monotonic_s()
        self.last_active_s = self.last_used_s
        self.facets: Children | None = None
        self.voice: Voice = Voice(name, above=None if parent is None else parent.voice, clock=clock)
        self.account: Account = Account(
            label, above=None if parent is None else parent.account, tree=tree, stop=self.break_
        )
        self.number = -1
        self._root = root
        self._number = number
        self._make_body = make_body
        self._keeper = keeper
        self._forget = forget
        self._after = after
        self._body: Body | None = None
        self._database: Database | None = None
        self._root_store: RootStore | None = None
        self._rows_paid = (0, 0)
        self._is_held_by_host = False
        self._starting: asyncio.Task[Body] | None = None
        self._closed: asyncio.Event = asyncio.Event()
        self._closed.set()

    # ── being called ────────────────────────────────────────────────────────────────────────────────────────

    async def fetch(self, request: Request) -> Response:
        """Deliver an HTTP request; starts the object when it is cold."""
        return await self.serve(request, lambda body, served: body.fetch(request, served))

    async def call(self, path: Sequence[str], sent: Sent | None) -> object:
        """Deliver a call, or a question for a property; starts the object when it is cold."""
        return await self.serve(".".join(path), lambda body, served: body.call(path, sent, served))

    @property
    def body_or_none(self) -> Body | None:
        """What runs here now, if anything does."""
        return self._body

    async def alarm(self, run: AlarmRun) -> None:
        """Run the handler of its alarm, if one is due, until what it wrote is durable; starts a cold object."""

        async def deliver(body: Body, served: Served | None) -> None:
            await body.alarm(run, served)
            if not self.output.gate.is_open:
                await self.output.wait()

        await self.serve("alarm", deliver)

    async def serve(self, event: str | Request, deliver: Callable[[Body, Served | None], Awaitable[Result]]) -> Result:
        """Deliver one event. Those of a facet are counted, paid for and told of."""
        served = None if self.parent is None else self._begin_serving(event)
        error: BaseException | None = None
        self.in_flight += 1
        try:
            body = await self._ready_body()
            if served is not None:
                self.account.admit(now_ms=self.clock.now_ms())
            self._delivered = event
            return await deliver(body, served)
        except BaseException as caught:
            error = caught
            raise
        finally:
            self.in_flight -= 1
            self._keeper.used(self)
            if served is not None:
                self._end_serving(served, error)

    def _begin_serving(self, event: str | Request) -> Served:
        method = event if isinstance(event, str) else f"{event.method} {event.url}"
        served = Served(next(_REQUEST_IDS), method, self.clock.monotonic_s())
        self.account.requests.add(served)
        if self.voice.is_heard:
            self.voice.tell("request_started", request_id=served.request_id, method=method)
        return served

    def _end_serving(self, served: Served, error: BaseException | None) -> None:
        self.account.requests.discard(served)
        if self.voice.is_heard:
            self.voice.tell_end(served, error)

    async def _ready_body(self) -> Body:
        """The running body, once the journal has room for what it may write."""
        body = self._body if self.state is State.RUNNING else await self.start()
        assert body is not None
        root = self._root_store
        if root is not None and not root.log.has_room:
            await root.log.wait_for_room()
        return body

    def charge(self, cpu_ns: int, *, served: Served | None) -> None:
        """A turn has ended that used so much. A facet pays for it, and what has overdrawn its budget is stopped."""
        if self.parent is None:
            return
        rows_read = rows_written = 0
        if self._database is not None:
            paid, self._rows_paid = self._rows_paid, (self._database.rows_read, self._database.rows_written)
            rows_read, rows_written = self._rows_paid[0] - paid[0], self._rows_paid[1] - paid[1]
        self.account.charge(cpu_ns=cpu_ns, rows_read=rows_read, rows_written=rows_written, served=served)

    # ── its life ────────────────────────────────────────────────────────────────────────────────────────────

    async def start(self) -> Body:
        """The running body; starts it if need be. However many first calls race, one start serves them all."""
        if self.state is State.BROKEN:
            assert self.error is not None
            raise again(self.error)
        if self._body is not None and self.state is State.RUNNING:
            return self._body
        if self._starting is None:
            self.state = after(self.state, Event.CALLED)
            self._starting = shared_task(self._start())
        starting = self._starting
        try:
            return await asyncio.shield(starting)
        except asyncio.CancelledError:
            if starting.cancelled() and self.error is not None:  # It was reset before its start had taken a step.
                raise again(self.error) from None
            raise

    async def _start(self) -> Body:
        try:
            if self._after is not None:  # A broken predecessor may still be using the file.
                await self._after.wait_closed()
                self._after = None
            body = await self._make_body(self)
            self._check_not_broken()
            await self._open_database()
            await self._restore()
            self._body = body
            await body.start()
            self._check_not_broken()
        except BaseException as error:
            reason = self.error or as_perdure_error(error)
            self.break_(reason)
            if isinstance(error, Exception):
                raise
            raise reason from error
        finally:
            self._starting = None
        self.state = after(self.state, Event.STARTED)
        self.was_running = True
        self._keeper.started(self)
        if self.voice.is_heard:
            self.voice.tell("started")
        return body

    async def _restore(self) -> None:
        """Go back to an earlier state first, if the code asked for that when it ran last."""
        wanted = remembered(self.database)
        if wanted is None:
            return
        self._close_database()
        try:
            await self._keeper.restore(self, wanted)
        except UsageError as error:  # What it wanted cannot be had any more: it starts as it is.
            _LOG.warning("`%s` was to be brought back to bookmark %s: %s", self.label, wanted.to, error)
            self._check_not_broken()
            await self._open_database()
            forget(self.database)
            self.end_turn()
            return
        self._check_not_broken()
        await self._open_database()

    async def bookmark(self, act: str, argument: object) -> str:
        """What its code asks about its past: of what was written until now, which is durable then."""
        await self.output.wait_for_all(self.output.gate.mark)
        return await self._keeper.bookmark(self, act, argument)

    def _check_not_broken(self) -> None:
        if self.error is not None:
            raise again(self.error)

    async def _open_database(self) -> None:
        self.number = self.account.number = await self._number()
        root = self._root_store = self._root()
        self._closed.clear()
        self._keeper.opened(self, root)
        opening = root.open_database_aside(self.number)
        try:
            self._database = await asyncio.shield(opening)
            self._rows_paid = (0, 0)
            if self.parent is None:
                self.account.meter = self.account.tree.meter(0, root.usage_or_none)
            self._database.quota = byte_quota_or_none(self.account, root)
            self._database.limits = self.storage_limits
        except BaseException:  # It was reset meanwhile, or the file cannot be opened.
            opening.add_done_callback(lambda _: self._close_database())
            raise

    def evict(self) -> None:
        """Go cold: memory is forgotten, data stays. Only for an actor that `is_idle`, or `is_forgotten`."""
        assert self.is_idle or self.is_forgotten, "an actor was evicted while it was in use"
        if self.voice.is_heard:
            self.voice.tell("stopped", outcome="idle")
        self.voice.end_listening()
        body, self._body = self._body, None
        self.state = after(self.state, Event.EVICTED)
        if body is not None:
            body.discard(ObjectResetError("the object was evicted from memory; try again", retryable=True))
        if self.facets is not None:
            self.facets.let_go()
        self._close_database()
        self._keeper.stopped(self)

    def break_(self, error: PerdureError) -> None:
        """Reset: everything under way fails with `error`, and so does every later use of this slot."""
        if self.state is State.BROKEN:
            return
        self.state = after(self.state, Event.FAILED)
        self.error = error
        if self.was_running and self.voice.is_heard:
            self.voice.tell("stopped", outcome="reset", text=str(error), type_name=type(error).__name__)
        self.voice.end_listening()
        self.input.break_(error)
        self.output.break_(error)
        if self.facets is not None:
            self.facets.break_all(error)
            self.facets.let_go()
        body, self._body = self._body, None
        if body is not None:
            body.discard(error)
        if body is None and self._starting is not None and self._starting is not asyncio.current_task():
            self._starting.cancel()  # Whoever waits hears now, however long the start callback would take.
        self._forget(self)
        self._keeper.stopped(self)
        if not self._is_held_by_host and (body is None or not body.is_in_turn):
            self.turn_abandoned()

    def turn_abandoned(self) -> None:
        """The last turn of a broken actor is over, here or on its thread: the file can be closed."""
        if self._database is not None and self.state is State.BROKEN:
            self._database.rollback()
            self._close_database()

    def _close_database(self) -> None:
        self._database = None
        root, self._root_store = self._root_store, None
        if root is not None:
            root.close_database(self.number)
            self._keeper.closed(self, root)
        self._closed.set()

    async def wait_closed(self) -> None:
        """Until no connection of this slot, of the one before it, or of a facet below it, is open."""
        if self._after is not None:
            await self._after.wait_closed()
        await self._closed.wait()
        if self.facets is not None:
            for facet in self.facets.unclosed():
                await facet.wait_closed()

    @property
    def is_closed(self) -> bool:
        """True while no connection is open of this slot, of the one before it, or of a facet below it."""
        if not self._closed.is_set() or (self._after is not None and not self._after.is_closed):
            return False
        return self.facets is None or not self.facets.unclosed()

    @property
    def has_had_files(self) -> bool:
        """False while it waits for those of the slot before it, which its own successor has to wait for, then."""
        return self._after is None

    async def checkpoint(self) -> None:
        """Between two turns, move what was committed into the database file. Raises what broke the object."""
        async with self._turn_of_the_host(inside=True):
            if self._root_store is not None and self._database is not None:
                await self._root_store.checkpoint(self.number, on_loop=self.is_used_on_loop)

    async def visit(self, turn: HostTurn[Result], *, cause: str, inside: bool = False) -> Result:
        """Run `turn` on the open database, between two turns, and outside of critical sections unless `inside`.

        Must not be cancelled. Raises what `turn` raises, and what breaks the object meanwhile.
        """
        async with self._turn_of_the_host(inside=inside):
            database, root = self.database, self.root
            await _until_unit_ends(database, self.label)
            try:
                result, captured = turn(database) if self.is_used_on_loop else await root.turn_aside(turn, database)
            except PerdureError as error:
                if database.is_broken:
                    self.break_(error)
                raise
            self._check_not_broken()
            commit = None if captured is None else root.log.submit(captured, cause=cause)
            if commit is not None:
                self._track(commit)
        if commit is not None:
            await commit
        return result

    def held(self) -> AbstractAsyncContextManager[None]:
        """While it lasts no turn of its code runs, whatever section that is in."""
        return self._turn_of_the_host(inside=True)

    @asynccontextmanager
    async def _turn_of_the_host(self, *, inside: bool) -> AsyncIterator[None]:
        """While it lasts no turn runs; whoever breaks the object leaves the file to us until it ends."""
        self.in_flight += 1
        try:
            await self.input.enter(inside=inside)
            self._is_held_by_host = True
            try:
                yield
            finally:
                self._is_held_by_host = False
                if self.error is None:
                    self.input.leave()
                else:
                    self.turn_abandoned()
        finally:
            self.in_flight -= 1

    @property
    def is_used_on_loop(self) -> bool:
        """True when its code may touch the database between any two steps of the loop, whoever holds the gate."""
        return self._body is None or self._body.is_trusted

    async def wait_started(self) -> None:
        """Until a start that is under way has ended, well or not."""
        if self._starting is not None:
            await asyncio.wait([self._starting])

    @property
    def is_active(self) -> bool:
        """True while something runs, waits or is unconfirmed here."""
        return bool(
            self.in_flight
            or not self.output.gate.is_open
            or not self.output.gate.is_settled
            or (self._body is not None and self._body.is_busy)
        )

    @property
    def is_idle(self) -> bool:
        """True when nothing is under way here, or in a facet."""
        return self.state is State.RUNNING and not self.is_active and not self._has_live_facets

    @property
    def is_forgotten(self) -> bool:
        """True when nobody has called for long, and only its own timers or background work keep it awake."""
        if self.state is not State.RUNNING or self.prevents_eviction or self._body is None or self._body.is_in_turn:
            return False
        unused_s = self.clock.monotonic_s() - self.last_used_s
        allowed_s = FORGOTTEN_S if self._body.has_only_timers else BACKGROUND_WORK_S
        is_safe = not self.in_flight and self.output.gate.is_open and self.output.gate.is_settled
        return is_safe and unused_s > allowed_s and not self._has_live_facets

    @property
    def _has_live_facets(self) -> bool:
        return self.facets is not None and self.facets.any_live()

    @property
    def memory_bytes(self) -> int:
        """What its isolate holds; 0 for trusted code."""
        return 0 if self._body is None else self._body.memory_bytes

    # ── its writes ──────────────────────────────────────────────────────────────────────────────────────────

    @property
    def database(self) -> Database:
        """The open database. Raises what broke the object."""
        self._check_not_broken()
        if self._database is None:
            raise ObjectResetError(
                "storage is no longer accessible: this object has been evicted or reset; use a new stub"
            )
        return self._database

    @property
    def root(self) -> RootStore:
        """The store of the root object that this actor belongs to."""
        return self._root_store or self._root()

    def end_turn(self) -> None:
        """Commit what trusted code has written since the turn began. A failure breaks the object."""
        database = self._database
        if database is None:
            return
        try:
            gone = self._facets_deleted() if self.parent is None else []
            captured = database.commit()
        except PerdureError as error:
            self.break_(error)
            raise
        if gone and captured is not None:
            self._track(self.root.delete_below(gone, [captured]))
        else:
            self.submit(captured)

    def submit(self, captured: Captured | None) -> int:
        """Hand a committed unit to the journal; the mark that what is said from now on waits for."""
        gone = self._facets_deleted()
        if gone:
            of_root = self.root.open_database(0).commit()
            both = [each for each in (captured, of_root) if each is not None]
            self._track(self.root.delete_below(gone, both))
        elif captured is not None:
            commit = self.root.log.submit(
                captured, cause=cause_of(self._delivered, facet=None if self.parent is None else self.name)
            )
            self._track(commit, is_confirmed=captured.is_confirmed)
        return self.output.gate.mark

    async def wait_for_changes(self) -> None:
        """Until no facet is being deleted or cloned, here and below: all that waits until no transaction is open."""
        while self.facets is not None and (changes := self.facets.changes()):
            await asyncio.wait(changes)

    def end_deletions(self) -> None:
        """Commit what trusted code, here and below, has deleted with its facets: the root begins a transaction."""
        if self.is_used_on_loop and self._database is not None and self._database.has_deleted_all:
            with suppress(PerdureError):  # A failure has broken this object, and is nothing to who begins.
                self.end_turn()
        for facet in self.facets.slots() if self.facets is not None else ():
            facet.end_deletions()

    def check_may_delete_all(self) -> None:
        """Raise UsageError while the root, where the names of facets are, has a transaction open. For any thread."""
        top = self.top
        if top is not self and top.database.in_transaction:
            raise UsageError(
                "Cannot call deleteAll() within a transaction: the root object of this facet has one open, "
                "try again when it has ended"
            )

    def _facets_deleted(self) -> list[Lineage]:
        """Those that go because everything was deleted, out of memory and out of the root's index."""
        if self._database is None or not self._database.take_deleted_all():
            return []
        if self.facets is not None:
            self.facets.forget_all()
        top = self.top
        if top is not self:
            # `check_may_delete_all`, `end_deletions` and the hooks of a guest's turns see to it.
            assert not top.is_in_turn_aside, "facets are deleted between the turns of their root"
            assert not top.in_transaction, "facets are deleted between the transactions of their root"
            top.end_turn()
        return self.root.forget_below(self.number)

    def _track(self, commit: Commit, *, is_confirmed: bool = True) -> None:
        number = self.output.lock(is_confirmed=is_confirmed)

        def settled(commit: Commit) -> None:
            if commit.error is None:
                self.output.unlock(number)
                root = self._root_store
                if root is not None and root.is_compaction_due:
                    self._keeper.log_grew(root)
                return
            error = as_perdure_error(commit.error)
            self.output.fail(number, error)
            self._break_tree(error)

        commit.add_callback(settled)

    def _break_tree(self, error: PerdureError) -> None:
        """Reset the whole root object: it has one log, and nothing is committed any more after an append failed."""
        self.top.break_(error)
        self.break_(error)

    @property
    def is_in_turn_aside(self) -> bool:
        """Whether a guest's turn may be using the database now, perhaps on another thread."""
        return self._body is not None and not self._body.is_trusted and self._body.is_in_turn

    @property
    def in_transaction(self) -> bool:
        """Whether its code has a `transaction()` open."""
        return self._database is not None and self._database.in_transaction

    @property
    def top(self) -> Actor:
        """The root object that this is, or belongs to."""
        actor = self
        while actor.parent is not None:
            actor = actor.parent
        return actor

    def hold_until(self, commit: Commit) -> None:
        """Let nothing out before `commit`, which the host made on this object's behalf."""
        if self.state is not State.BROKEN:
            self._track(commit)

    def begin_alarm(self, run: AlarmRun) -> AlarmRow | None:
        """Within a turn: the alarm that is to run now, if there is one."""
        return run.begin(self.database.alarm, now_ms=self.clock.now_ms(), reset=self.break_)

    def lend(self, value: object) -> Capability:
        """The capability of a function or target of the trusted code that runs here."""
        if self._body is None:
            raise again(self.error or ObjectResetError("the object has gone, and its functions with it"))
        return self._body.lend(value)

    def touch(self) -> None:
        """Note that it is in use."""
        self.last_used_s = self.clock.monotonic_s()

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """While it lasts it is not idle."""
        self.in_flight += 1
        try:
            yield
        finally:
            self.in_flight -= 1
            self._keeper.used(self)

    def bind(self, stream: ReadableStream) -> None:
        """Let the source of a body that this object's trusted code has made run in turns of this object."""
        if self._body is not None:
            self._body.bind(stream)


def place_of(actor: Actor) -> str:
    """Which object or facet it is, of all there are: the root object's id, and the names of the facets down to it."""
    names = []
    while actor.parent is not None:
        names.append(actor.name)
        actor = actor.parent
    return json.dumps([str(actor.identity), *reversed(names)])


async def leave_caller(request: Request | None = None) -> None:
    """Before trusted code sends anything: its turn ends, and what it wrote becomes durable.

    The body of a request that it streams goes on in turns of the caller, whoever reads it.
    """
    caller = CURRENT.get()
    if request is not None and isinstance(request.body, ReadableStream):
        if caller is None:
            request.body.bind(Apart)
        else:
            caller.bind(request.body)
    if caller is None:
        return
    caller.end_turn()
    if not caller.output.gate.is_open:
        await caller.output.wait()


async def _until_unit_ends(database: Database, label: str) -> None:
    """What trusted code writes outside of a delivery ends with the loop's next step; a transaction may last."""
    for _ in range(_STEPS_OF_A_UNIT):
        if not database.in_unit:
            return
        await asyncio.sleep(0)
    raise OverloadedError(f"`{label}` has a transaction open: try again when it has ended")
