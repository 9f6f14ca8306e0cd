"""A body in a sandbox: a class of a dynamic worker, with the actor's gates and database around each turn.

Effects: tasks.
"""

from __future__ import annotations

import asyncio
import dataclasses
import functools
from collections.abc import Awaitable, Callable, Mapping, Sequence
from enum import Enum, auto
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeVar

from perdure.api import (
    Budget,
    DurableObjectClass,
    EventKind,
    FacetLimits,
    FacetOptions,
    FacetUsage,
    KeptValue,
    Sent,
    Target,
    facet_name,
    numbers_of,
)
from perdure.errors import (
    BookmarkError,
    FacetError,
    GuestCrashedError,
    GuestError,
    IsolateAbortedError,
    ObjectResetError,
    PerdureError,
    UsageError,
    WorkerCodeError,
    WorkerLoadError,
)
from perdure.isolates import GuestHost, Isolate
from perdure.limits import (
    BLOCK_CONCURRENCY_DEPTH_MAX,
    BLOCK_CONCURRENCY_TIMEOUT_S,
    FACET_NAME_BYTES_MAX,
    LOG_LINE_BYTES_MAX,
    OBJECT_NAME_KEPT_BYTES_MAX,
    SECTIONS_WAITING_MAX,
)
from perdure.objects._account import Served
from perdure.objects._actor import Actor, place_of
from perdure.objects._alarm_run import AlarmRun
from perdure.objects._host_calls import ObjectHost
from perdure.objects._resets import section_overdue
from perdure.objects._root_index import index_changeable
from perdure.storage import Captured
from perdure.web import ReadableStream, Request, Response
from perdure.wire import (
    ALARM,
    START_FACET,
)
from perdure.workers import (
    FETCH,
    LOADER_KINDS,
    CheckedCode,
    DynamicClass,
    ExportCalls,
    GuestLoaders,
    GuestSession,
    KnownClass,
    LoaderScope,
    ObjectStart,
    Operation,
    Pins,
    Read,
    SectionChange,
    WorkerExports,
    WorkerRuntime,
    check_arguments,
    fetch_outside,
    send,
)

if TYPE_CHECKING:
    from perdure.objects._facets import FacetSlots


_CHANGES: Final = frozenset({"facet.abort", "facet.delete", "facet.clone"})

Result = TypeVar("Result")
Numbers = TypeVar("Numbers", FacetLimits, Budget)


class _Uncommitted(Enum):
    """What a turn may leave on its thread in place of what it committed."""

    WAITS_FOR_ROOT = auto()  # it deleted everything, its facets too: their names are in the database of the root


class SandboxedBody:
    """One instance of a guest's class, alone in its isolate."""

    def __init__(
        self,
        actor: Actor,
        code: CheckedCode,
        definition: DynamicClass | KnownClass,
        *,
        props: object,
        runtime: WorkerRuntime,
        facets: FacetSlots,
    ) -> None:
        self._actor = actor
        self._definition = definition
        self._facets = facets
        fields = {
            "id": {"id": str(actor.identity), "name": actor.identity.name, "j": actor.identity.jurisdiction},
        }
        self._hooks = ObjectHooks(actor, code, facets, definition.worker, forget_code=definition.failed)
        self._session = GuestSession(
            code,
            self._hooks,
            isolates=runtime.isolates,
            runner=runtime.runner,
            history=runtime.history(code),
            clock=runtime.clock,
            start=ObjectStart(definition.export, fields, KeptValue.of(props)),
            namespaces=definition.worker.namespaces,
            bindings=definition.worker.bindings,
        )
        self._hooks.session = self._session

    async def start(self) -> None:
        """Load the code and construct the instance."""
        await self._hooks.get_ready()
        try:
            await self._session.boot()
        except (WorkerLoadError, WorkerCodeError):
            self._definition.failed()
            raise
        if START_FACET in self._session.handlers:
            self._facets.start_facet = self._hooks.start_facet

    async def fetch(self, request: Request, served: Served | None) -> Response:
        """Deliver an HTTP request to the guest."""
        return await self._session.streams.fetch(request, {}, payer=served)

    async def call(self, path: Sequence[str], sent: Sent | None, served: Served | None) -> object:
        """Deliver a call to the guest, or a question for a property."""
        if sent is not None:
            check_arguments(".".join(path), sent.count)
        return await self._session.messages.call({"k": "call"}, path, sent, payer=served)

    async def alarm(self, run: AlarmRun, served: Served | None) -> None:
        """Deliver the alarm to the guest."""
        await self._session.event_between(_AlarmTurns(self._actor, self._session, run), payer=served)

    def bind(self, stream: ReadableStream) -> None:
        """A guest's streams run in its turns as they are."""

    def lend(self, value: object) -> NoReturn:
        raise AssertionError("a guest lends what it has through its session")

    def discard(self, error: PerdureError) -> None:
        """End the isolate, at the end of the turn that runs in it now."""
        self._session.end(error)
        self._hooks.forgot()

    @property
    def is_trusted(self) -> bool:
        return False

    @property
    def is_busy(self) -> bool:
        return self._session.is_busy or self._hooks.in_turn or self._hooks.has_sections

    @property
    def has_only_timers(self) -> bool:
        return self._session.has_only_timers and not self._hooks.in_turn

    @property
    def is_in_turn(self) -> bool:
        return self._hooks.in_turn

    @property
    def memory_bytes(self) -> int:
        return self._session.memory_bytes


class _AlarmTurns:
    """The turns of an alarm's event: what the guest wrote last and the end of its alarm are one commit."""

    def __init__(self, actor: Actor, session: GuestSession, run: AlarmRun) -> None:
        self._actor = actor
        self._session = session
        self._run = run

    def begin(self) -> Mapping[str, object] | None:
        row = self._actor.begin_alarm(self._run)
        if row is not None and ALARM in self._session.handlers:
            return {"k": "alarm", "n": row.retries, "at": row.scheduled_ms}
        if row is not None:
            self._run.drop()
        self._actor.end_turn()
        return None

    def settle(self, error: GuestError | None) -> None:
        if error is None:
            self._run.finish()
        else:
            self._run.fail(now_ms=self._actor.clock.now_ms())


class ObjectHooks:
    """Around each turn of a guest's object: its input gate, its database, its output gate."""

    def __init__(
        self,
        actor: Actor,
        code: CheckedCode,
        facets: FacetSlots,
        worker: WorkerExports,
        *,
        forget_code: Callable[[], None],
    ) -> None:
        self.session: GuestSession | None = None
        self._forget_code = forget_code
        self.in_turn = False
        self._actor = actor
        self._code = code
        self._facets = facets
        self._worker = worker
        self._pins: Pins[Target] = Pins()
        self._exports = ExportCalls(worker, self._pins)
        scope = LoaderScope(place_of(actor), actor.label, code.fetcher)
        self._loaders = GuestLoaders(worker, scope=scope, ask=self._ask, read=self._read)
        self._host: ObjectHost | None = None
        self._sections: dict[int, asyncio.TimerHandle | None] = {}
        self._announced: dict[int, int] = {}  # operations that replies wait for, and their locks at the output gate
        self._inside: set[int] = set()  # operations of turns that ended in a transaction
        self._served: Served | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def get_ready(self) -> None:
        """On the event loop, before the first turn: guests ask for their facets' names on other threads."""
        await self._facets.remember_names()
        self._loop = asyncio.get_running_loop()

    def host_for(self, code: CheckedCode, isolate: Isolate) -> GuestHost:
        self._host = ObjectHost(
            code,
            self._actor,
            language=code.language,
            facet_names=self._facets.known_names,
            check_facet_change=self._facets.check_may_change_in_turn,
            tell=self._tell_soon,
            exports=self._exports,
            loaders=self._loaders,
        )
        self._host.request_id = self._served.request_id if self._served is not None else 0
        return self._host

    def _tell_soon(self, kind: EventKind, **fields: Any) -> None:  # noqa: ANN401  # those of FacetEvent
        """From the thread that runs the guest."""
        assert self._loop is not None, "a guest runs after `get_ready`"
        self._loop.call_soon_threadsafe(functools.partial(self._actor.voice.tell, kind, **fields))

    def try_enter(self, *, inside: bool) -> bool:
        entered = self._actor.input.try_enter(inside=inside)
        self.in_turn = self.in_turn or entered
        return entered

    async def enter(self, *, inside: bool) -> None:
        await self._actor.input.enter(inside=inside)
        self.in_turn = True

    def leave(self) -> None:
        self.in_turn = False
        if self._actor.error is None:
            self._actor.input.leave()
        else:
            self._actor.turn_abandoned()

    @property
    def may_be_inline(self) -> bool:
        # A broken one raises when its turn begins, where it is told.
        return self._actor.error is not None or not self._actor.database.may_take_long

    def begin(self, *, is_overdue: Callable[[], bool], is_inline: bool) -> None:
        self._actor.database.begin_turn(is_overdue=is_overdue, must_be_short=is_inline)
        if self._host is not None:
            self._host.begin_turn()

    def cpu_ms(self, cpu_ms: int) -> int:
        return self._actor.account.cpu_ms_left(cpu_ms)

    def serving(self, payer: object) -> None:
        self._served = payer if isinstance(payer, Served) else None
        if self._host is not None:
            self._host.request_id = self._served.request_id if self._served is not None else 0

    def spent(self, cpu_ns: int) -> None:
        self._actor.charge(cpu_ns, served=self._served)

    def commit(self) -> object:
        database = self._actor.database
        try:
            if database.has_deleted_all and self._actor.parent is not None:
                if self._facets.has_names:
                    return _Uncommitted.WAITS_FOR_ROOT
                database.take_deleted_all()  # There are no facets to go with the rest.
            return database.commit()
        finally:
            database.end_turn()  # What the host asks afterwards is nobody's CPU time.

    def is_ready(self, captured: object) -> bool:
        top = self._actor.top
        return captured is not _Uncommitted.WAITS_FOR_ROOT or (top.is_used_on_loop and not top.in_transaction)

    async def when_ready(self, finish: Callable[[], Result]) -> Result:
        async with index_changeable(self._actor, self._actor.name):
            return finish()

    def committed(self, captured: object) -> int:
        if captured is _Uncommitted.WAITS_FOR_ROOT:
            captured = self._actor.database.commit()
        assert captured is None or isinstance(captured, Captured)
        return self._actor.submit(captured)

    def rollback(self) -> None:
        if self._actor.error is None:
            self._actor.database.rollback()
            self._actor.database.end_turn()

    def is_clear(self, mark: int) -> bool:
        return self._actor.output.gate.is_clear(mark)

    async def confirmed(self, mark: int) -> None:
        await self._actor.output.wait(mark)

    def announced(self, operation: Operation, mark: int) -> int:
        """What changes facets is done after the turn: nothing the turn says is heard before it is done, and durable."""
        if not operation.kind.startswith("facet."):
            return mark
        if self._actor.parent is None and self._actor.in_transaction:
            self._inside.add(operation.operation_id)
        if operation.kind not in _CHANGES:
            return mark
        self._announced[operation.operation_id] = lock = self._actor.output.lock()
        return lock

    def _performed(self, operation: Operation) -> None:
        self._inside.discard(operation.operation_id)
        lock = self._announced.pop(operation.operation_id, None)
        if lock is not None:
            self._actor.output.unlock(lock)

    def section(self, change: SectionChange) -> None:
        sections, section_id = self._sections, change.section_id
        if change.kind in {"want", "begin"} and section_id not in sections:
            if len(sections) >= SECTIONS_WAITING_MAX + BLOCK_CONCURRENCY_DEPTH_MAX:
                raise GuestCrashedError("the guest's runtime asked for too many sections: its isolate has ended")
            sections[section_id] = None
            self._actor.input.open_section()
        if change.kind == "begin":
            if sections[section_id] is not None:
                raise GuestCrashedError("the guest's runtime began a critical section twice: its isolate has ended")
            sections[section_id] = asyncio.get_running_loop().call_later(
                BLOCK_CONCURRENCY_TIMEOUT_S, self._actor.break_, section_overdue()
            )
        elif change.kind == "end" and section_id in sections:
            _cancel(sections.pop(section_id))
            self._actor.input.close_section()

    @property
    def has_sections(self) -> bool:
        """Whether critical sections are open or wanted."""
        return bool(self._sections)

    def released(self, stubs: Sequence[int]) -> None:
        self._pins.release(self._loaders.release(stubs))

    def forgot(self) -> None:
        self._pins.clear()
        self._loaders.clear()
        self._inside.clear()
        while self._announced:
            self._actor.output.unlock(self._announced.popitem()[1])
        while self._sections:
            _cancel(self._sections.popitem()[1])
            self._actor.input.close_section()

    def ended(self, error: PerdureError) -> None:
        if isinstance(error, IsolateAbortedError):
            self._forget_code()
        self._actor.break_(error)

    async def perform(self, operation: Operation, mark: int) -> object:
        """What a guest's object may ask: that its writes are durable, its own facets, and its worker's exports."""
        assert self.session is not None
        if operation.kind == "sync":
            await self._actor.output.wait_for_all(mark)
            return None
        if operation.kind == "bookmark":
            return await self._actor.bookmark(_text(operation.payload, "a"), operation.payload.get("v"))
        if operation.kind.startswith("facet."):
            try:
                return await self._perform_on_facet(operation)
            except Exception as error:
                if operation.kind == "facet.delete":  # Nobody has heard that it is deleted, and nobody shall.
                    name = str(operation.payload.get("f"))[:FACET_NAME_BYTES_MAX]
                    self._actor.break_(ObjectResetError(f"facet `{name}` could not be deleted: {error}"))
                raise
            finally:
                self._performed(operation)
        if operation.kind.startswith(LOADER_KINDS):
            return await self._loaders.perform(operation, self.session.messages)
        if operation.kind == FETCH:
            return await fetch_outside(self._code.fetcher, operation, self.session.messages)
        return await self._exports.perform(operation, self.session.messages)

    async def serve(self, event: str, deliver: Callable[[object], Awaitable[Result]]) -> Result:
        return await self._actor.serve(event, lambda body, served: deliver(served))

    def channel(self, what: object, fields: object, read: Read) -> Target:
        return self._exports.channel(what, fields, read)

    async def _perform_on_facet(self, operation: Operation) -> object:
        assert self.session is not None
        payload = operation.payload
        if operation.kind == "facet.usage" and payload.get("f") is None:
            return _usage_shape(await self._facets.usage(None))
        name = facet_name(payload.get("f"))
        if operation.operation_id in self._inside:
            self._check_inside(name, operation)
        match operation.kind:
            case "facet.fetch" | "facet.call" | "facet.get":
                return await send(self._target(name, payload, operation.operation_id), operation, self.session.messages)
            case "facet.clone":
                await self._facets.clone_in_turn(name, facet_name(payload.get("to")))
            case "facet.usage":
                return _usage_shape(await self._facets.usage(name))
            case "facet.rewind":
                return await self._facets.rewind(name, _moment(payload.get("to")))
            case "facet.budget":
                self._facets.set_budget(name, _numbers(Budget, payload.get("budget")))
            case "facet.abort":
                self._facets.abort(name, _text(payload, "reason")[:LOG_LINE_BYTES_MAX])
            case "facet.delete":
                await self._facets.delete_in_turn(name)
            case _:
                raise UsageError(f"a guest asked for `{operation.kind[:40]}`, which no guest may")
        return None

    def _check_inside(self, name: str, operation: Operation) -> None:
        """Raise FacetError for what a transaction of its own could undo, if that is still open."""
        if operation.kind in {"facet.fetch", "facet.call", "facet.get"}:
            self._facets.check_exists(name)
        elif operation.kind in {"facet.delete", "facet.clone"}:
            self._facets.check_may_change(name)

    def _target(self, name: str, payload: Mapping[str, object], operation_id: int) -> Target:
        callback, stub = _number(payload, "cb"), _number(payload, "n")

        async def start() -> FacetOptions:
            return await self._ask_start({"k": "facet", "cb": callback, "o": operation_id}, inside=True)

        return self._pins.target(stub, lambda: self._facets.target(name, start))

    async def start_facet(self, name: str) -> FacetOptions:
        """What the guest's own class says of a facet to be started by its name."""
        return await self._ask_start({"k": "start_facet", "f": name})

    async def _ask(self, event: Mapping[str, object]) -> object:
        assert self.session is not None
        return await self.session.convert(self._read, await self.session.event(event, inside=True))

    def _read(self, tree: object) -> object:
        assert self.session is not None
        return self.session.messages.read_kept(tree)

    async def _ask_start(self, event: Mapping[str, object], *, inside: bool = False) -> FacetOptions:
        """What a guest's start callback returned: a class of its own worker, or of one that it has loaded."""
        assert self.session is not None
        answer = await self.session.event(event, inside=inside)
        if not isinstance(answer, dict) or not isinstance(answer.get("export"), str):
            raise FacetError("the start callback of a facet must return a class from ctx.exports, or a loaded one")
        identity, inherit_id = answer.get("id"), answer.get("inherit") is True
        if identity is not None and (not isinstance(identity, str) or len(identity) > OBJECT_NAME_KEPT_BYTES_MAX):
            raise FacetError(f"the id of a facet is a text of at most {OBJECT_NAME_KEPT_BYTES_MAX} characters")
        return FacetOptions(
            cls=self._class_of(
                answer, await self.session.messages.convert(self._read, answer.get("props")), event.get("o")
            ),
            id=identity,
            inherit_id=inherit_id,
            limits=_numbers(FacetLimits, answer.get("limits")),
            budget=_numbers(Budget, answer.get("budget")),
        )

    def _class_of(self, answer: Mapping[str, object], props: object, operation: object) -> DurableObjectClass:
        name = _text(answer, "export")
        if answer.get("w") is not None:
            operation_id = operation if isinstance(operation, int) else 0
            return self._loaders.object_class(answer["w"], name, props, operation_id=operation_id)
        bound = self._exports.bound_class(name)
        if bound is not None:
            return bound(props=props)
        return DurableObjectClass(KnownClass(self._code, name, self._worker), props=props)


def _numbers(kind: type[Numbers], tree: object) -> Numbers | None:
    return None if tree is None else numbers_of(kind, tree, "limits and budget")


def _usage_shape(usage: FacetUsage) -> dict[str, object]:
    shape = dataclasses.asdict(usage)
    shape["last_used"] = None if usage.last_used is None else round(usage.last_used.timestamp() * 1000)
    return shape


def _cancel(timer: asyncio.TimerHandle | None) -> None:
    if timer is not None:
        timer.cancel()


def _number(payload: Mapping[str, object], key: str) -> int:
    number = payload.get(key)
    if isinstance(number, bool) or not isinstance(number, int):
        raise UsageError(f"`{key}` of an operation is no number")
    return number


def _text(payload: Mapping[str, object], key: str) -> str:
    text = payload.get(key, "")
    if not isinstance(text, str):
        raise UsageError(f"`{key}` of an operation is no text")
    return text


def _moment(value: object) -> str | int:
    """A bookmark or a time, as a guest gave it."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise BookmarkError("a moment is a bookmark, or milliseconds since 1970")
    return value
