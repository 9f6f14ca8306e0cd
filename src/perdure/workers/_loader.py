"""The loader's cache: worker id → code → isolates, with nothing kept that failed.

An id belongs to whoever asked: two objects that use the same id get two entries, so that no supervisor is ever handed
another's code or env. What nobody has used for a while goes: first the isolate, then the entry with its code, which is
asked for again when it is wanted. What keeps itself busy goes too when nobody has called it for long: its timers, or
what it has lent, must not hold a sandbox for ever. Effects: tasks, timers.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Final, Protocol

from perdure.api import (
    DurableObjectClass,
    DynamicObjectClass,
    Fetcher,
    Internet,
    KeptValue,
    Limits,
    LoadWorker,
    NamespaceCalls,
    Outbound,
    Stub,
    Target,
    WorkerCode,
)
from perdure.clock import Clock
from perdure.errors import PerdureError, WorkerCodeError
from perdure.isolates import CallHistory, Isolates, Runner
from perdure.limits import (
    BACKGROUND_WORK_S,
    FORGOTTEN_S,
    ISOLATE_IDLE_S,
    LOADER_CALLBACK_S,
    LOADER_MEMORY_BYTES_MAX,
)
from perdure.web import Request
from perdure.workers._bindings import NO_BINDINGS, Binding, LoaderScope
from perdure.workers._code import CheckedCode, check_code, check_limits, lowered
from perdure.workers._exports import WorkerExports
from perdure.workers._internet import InternetFetcher
from perdure.workers._invocations import EventLimits
from perdure.workers._session import GuestSession, check_object_class
from perdure.workers._stateless import EntrypointTarget, StatelessHooks, evaluate
from perdure.workers._tails import Tails
from perdure.workers._tasks import shared_task

_ENTRIES_MAX: Final = 10_000
_HISTORIES_MAX: Final = 10_000
_SWEEP_S: Final = 1.0
_THROWN_AWAY_AT_ONCE: Final = 8  # freeing an isolate holds the event loop a third of a millisecond
_SWEEP_ON_S: Final = 0.02  # the rest follows soon


NO_CODE_LIMITS: Final = Limits()

Load = LoadWorker | Callable[[], CheckedCode | Awaitable[CheckedCode]]
"""Gives the code of a worker, checked or not."""


class DynamicClass:
    """A class of a dynamic worker, by name: what stands behind a DurableObjectClass from the loader."""

    __slots__ = ("_limits", "entry", "export")

    def __init__(self, entry: LoaderEntry, export: str, limits: Limits = NO_CODE_LIMITS) -> None:
        self.entry = entry
        self.export = export
        self._limits = limits

    @property
    def worker(self) -> WorkerExports:
        """The worker it belongs to."""
        return self.entry

    async def code(self) -> CheckedCode:
        """The worker's code."""
        return lowered(await self.entry.code(), self._limits)

    def failed(self) -> None:
        """The code did not start: ask for it again next time."""
        self.entry.forget_code()


class KnownClass:
    """A class of code that is loaded already: what stands behind a guest's own `ctx.exports.Name`."""

    __slots__ = ("_code", "export", "worker")

    def __init__(self, code: CheckedCode, export: str, worker: WorkerExports) -> None:
        self._code = code
        self.export = export
        self.worker = worker

    async def code(self) -> CheckedCode:
        """The worker's code."""
        return self._code

    def failed(self) -> None:
        """Nothing was cached, nothing is forgotten."""


LeaveCaller = Callable[[Request | None], Awaitable[None]]
"""Waits until whoever calls an entry point may: what an object has written is durable before it is heard of."""


async def _stay(request: Request | None) -> None:
    """Callers are no objects."""


class WorkerRuntime:
    """What all loaders of a platform share: isolates, threads, and what is known about how long code runs."""

    def __init__(
        self, *, isolates: Isolates, runner: Runner, clock: Clock, leave_caller: LeaveCaller | None = None
    ) -> None:
        self.isolates = isolates
        self.runner = runner
        self.clock = clock
        self.leave_caller = leave_caller or _stay
        self.tails = Tails()
        self._histories: OrderedDict[str, CallHistory] = OrderedDict()

    def history(self, code: CheckedCode) -> CallHistory:
        """How long calls of this very code have run, whoever runs it."""
        history = self._histories.get(code.digest)
        if history is None:
            history = self._histories[code.digest] = CallHistory()
            if len(self._histories) > _HISTORIES_MAX:
                self._histories.popitem(last=False)
        self._histories.move_to_end(code.digest)
        return history


class EntryOwner(Protocol):
    """Who keeps an entry: told when it starts to hold an isolate, and when it failed."""

    def booted(self, entry: LoaderEntry) -> None: ...
    def failed(self, entry: LoaderEntry) -> None: ...


class LoaderEntry:
    """One dynamic worker: its code once asked for, and the isolate that answers its entry points."""

    def __init__(
        self,
        runtime: WorkerRuntime,
        *,
        label: str,
        load: Load,
        owner: EntryOwner,
        namespaces: Mapping[str, NamespaceCalls] | None = None,
        bindings: Mapping[str, Binding] = NO_BINDINGS,
        inherited: Fetcher | None = None,
    ) -> None:
        self.label = label
        self._inherited = inherited
        self.namespaces = {} if namespaces is None else namespaces
        self.bindings = bindings
        self._runtime = runtime
        self._load = load
        self._owner = owner
        self._code: CheckedCode | None = None
        self._loading: asyncio.Task[CheckedCode] | None = None
        self._session: GuestSession | None = None
        self._hooks: StatelessHooks | None = None
        self._booting: asyncio.Task[GuestSession] | None = None
        self._in_flight = 0
        self._hangs = False
        self.last_used_s = 0.0
        self._last_called_s = 0.0
        self.touch()

    # ── LoadedWorker, as `perdure.api` sees it ──────────────────────────────────────────────────────────────

    def entrypoint(self, name: str | None, props: object, limits: object = None) -> Target:
        """A target for one entry point; nothing runs yet."""
        given = check_limits(limits)
        if given.memory_mb is not None:
            raise WorkerCodeError(
                "limits.memory_mb is the isolate's, which entry points share: give it in the code of the worker"
            )
        return EntrypointTarget(self, name, props, EventLimits(given.cpu_ms, given.wall_ms, given.subrequests))

    def durable_object_class(self, name: str, props: object, limits: object = None) -> DurableObjectClass:
        """A handle on one class; nothing runs yet."""
        if not isinstance(name, str) or not name:
            raise WorkerCodeError('get_durable_object_class(name) needs the name of a class, such as "App"')
        given = check_limits(limits)
        if given.wall_ms is not None or given.subrequests is not None:
            raise WorkerCodeError("limits of a class are cpu_ms and memory_mb: the others count for entry points")
        kept = KeptValue.of({} if props is None else props)
        return DynamicObjectClass(DynamicClass(self, name, given), props=kept.value())

    async def leave_caller(self, request: Request | None = None) -> None:
        """Before an event is delivered for whoever calls now."""
        await self._runtime.leave_caller(request)

    async def check(self, classes: Sequence[str]) -> None:
        """Load the code and look for these classes."""
        with self.in_use():
            session = await self.session()
            for name in classes:
                check_object_class(name, session.exports)

    async def exports(self) -> Mapping[str, str]:
        """Load the code; what it exports, and what each of it is."""
        with self.in_use():
            return (await self.session()).exports

    async def evaluate(self, source: str, names: Mapping[str, object]) -> object:
        """Run `source` once in a sandbox that is thrown away afterwards."""
        await self.leave_caller()
        try:
            with self.in_use():
                return await evaluate(await self.session(), source, names)
        finally:
            self.close()

    # ── the host's side ─────────────────────────────────────────────────────────────────────────────────────

    async def code(self) -> CheckedCode:
        """The checked code; asks for it when it is not there. A failure is not kept."""
        self.touch()
        if self._code is not None:
            return self._code
        if self._loading is None:
            self._loading = shared_task(self._ask())
        return await asyncio.shield(self._loading)

    def renew(self, load: Load) -> None:
        """Ask `load` from now on: whoever asked with an earlier one may be gone."""
        self._load = load

    def forget_code(self) -> None:
        """The code failed to start: the next use asks for it again."""
        self._code = None
        self._owner.failed(self)

    async def _ask(self) -> CheckedCode:
        try:
            answer: object = self._load()
            if inspect.isawaitable(answer):
                answer = await _in_time(answer)
            code = answer if isinstance(answer, CheckedCode) else check_code(answer)
            self._code = replace(code, fetcher=self._way_out(code.outbound))
        except BaseException:
            self._owner.failed(self)
            raise
        finally:
            self._loading = None
        return self._code

    def _way_out(self, given: Outbound) -> Fetcher | None:
        if isinstance(given, str):  # "inherit"
            return self._inherited
        return InternetFetcher(given) if isinstance(given, Internet) else given

    async def session(self) -> GuestSession:
        """The isolate of the entry points, started if it is not there; for use within `in_use`."""
        if self._session is not None and self._hooks is not None and self._hooks.error is None:
            return self._session
        if self._booting is None:
            self._booting = shared_task(self._boot())
        return await asyncio.shield(self._booting)

    async def _boot(self) -> GuestSession:
        try:
            code = await self.code()
            hooks = StatelessHooks(
                label=self.label,
                clock=self._runtime.clock,
                worker=self,
                forget_code=self.forget_code,
                in_use=self.in_use,
                outbound=code.fetcher,
            )
            session = hooks.session = self.new_session(code, hooks)
            await session.boot()
            self._session, self._hooks = session, hooks
            self._owner.booted(self)
        except BaseException:
            self.forget_code()
            raise
        finally:
            self._booting = None
        return session

    def new_session(self, code: CheckedCode, hooks: StatelessHooks) -> GuestSession:
        """A session for entry points."""
        runtime = self._runtime
        return GuestSession(
            code,
            hooks,
            isolates=runtime.isolates,
            runner=runtime.runner,
            history=runtime.history(code),
            clock=runtime.clock,
            namespaces=self.namespaces,
            bindings=self.bindings,
        )

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """While it lasts, the isolate is not thrown away for being idle."""
        self._in_flight += 1
        try:
            yield
        finally:
            self._in_flight -= 1
            self.touch()
            self._last_called_s = self.last_used_s
            if self._hangs and not self._in_flight:
                self._hangs = False
                self.close()

    def now_ms(self) -> int:
        """Wall time."""
        return self._runtime.clock.now_ms()

    def tell(self, tails: Sequence[Stub], item: Mapping[str, object]) -> None:
        """Tell these tails of an event, beside everything else."""
        self._runtime.tails.tell(tails, item)

    def hangs(self) -> None:
        """An event did not end in time, and never may: the isolate goes when the others have ended."""
        self._hangs = True

    def touch(self) -> None:
        """Note that somebody wants it."""
        self.last_used_s = self._runtime.clock.monotonic_s()

    @property
    def is_live(self) -> bool:
        """True while there is an isolate, or one is being started."""
        return self._session is not None or self._booting is not None

    @property
    def is_busy(self) -> bool:
        """True while something is under way here."""
        return bool(self._in_flight or self._loading or (self._session is not None and self._session.is_busy))

    @property
    def is_awaited(self) -> bool:
        """True while somebody waits for what it does."""
        return bool(self._in_flight or self._loading or self._booting)

    @property
    def has_only_timers(self) -> bool:
        """True when nothing but its own timers is under way here, if there are any."""
        return not self.is_awaited and (self._session is None or self._session.has_only_own_turns)

    @property
    def is_forgotten(self) -> bool:
        """True when nobody has called for long, and its own timers, work or what it has lent keep it busy."""
        uncalled_s = self._runtime.clock.monotonic_s() - self._last_called_s
        return not self.is_awaited and uncalled_s > (FORGOTTEN_S if self.has_only_timers else BACKGROUND_WORK_S)

    @property
    def memory_bytes(self) -> int:
        """What its isolate holds."""
        return 0 if self._session is None else self._session.memory_bytes

    def close(self) -> None:
        """Throw the isolate away; the next use starts a new one."""
        session, self._session, self._hooks = self._session, None, None
        if session is not None:
            session.end(PerdureError("the worker was unloaded"))


async def _in_time(answer: Awaitable[object]) -> object:
    timeout = asyncio.timeout(LOADER_CALLBACK_S)
    try:
        async with timeout:
            return await answer
    except TimeoutError:
        if not timeout.expired():  # It is the callback's own.
            raise
        raise WorkerCodeError(
            f"the function given to LOADER.get() has not returned the code of the worker in {LOADER_CALLBACK_S:.0f} s"
        ) from None


async def _code_for_all(load: LoadWorker) -> CheckedCode:
    """Code that is shared. Whatever stands in its env by reference is of one supervisor, and nobody else's."""
    answer: object = load()
    code = check_code(await answer if inspect.isawaitable(answer) else answer)
    if code.services:
        raise WorkerCodeError(
            "env of a worker that is shared holds no stubs: give them in the props of the entry point or class, or "
            "load the worker with LOADER.get(), whose ids are your own"
        )
    return code


class LoaderCache:
    """The entries of one loader binding; serves `perdure.api.Loader`.

    `scope` tells who is asking: ids of different scopes never meet.
    """

    def __init__(self, runtime: WorkerRuntime, *, scope: Callable[[], LoaderScope]) -> None:
        self._runtime = runtime
        self._scope = scope
        self._entries: OrderedDict[tuple[str, str], LoaderEntry] = OrderedDict()
        self._keys: dict[LoaderEntry, tuple[str, str]] = {}
        self._live: dict[LoaderEntry, None] = {}
        self._live_bytes = 0  # at least: what has gone since they were counted is still in it
        self._sweeper: asyncio.TimerHandle | None = None

    def get(self, worker_id: str | None, load: Load, *, scope: LoaderScope | None = None) -> LoaderEntry:
        """The entry of `worker_id`; None makes one that nobody else can reach. `scope`: who asks, if not the caller."""
        if not callable(load):
            raise WorkerCodeError("LOADER.get(id, load): load is a function that returns the WorkerCode")
        scope = scope or self._scope()
        if worker_id is None:
            return self._entry(scope, load)
        if not isinstance(worker_id, str):
            raise WorkerCodeError(f"a worker's id is a string or None, not `{type(worker_id).__name__}`")
        key = (scope.key, worker_id)
        entry = self._entries.get(key)
        if entry is None:
            entry = self._entries[key] = self._entry(scope, load)
            self._keys[entry] = key
            if len(self._entries) > _ENTRIES_MAX:
                self.failed(next(iter(self._entries.values())))
            self._sweep_later()
        else:
            entry.renew(load)
        entry.touch()
        self._entries.move_to_end(key)
        return entry

    def load(self, code: WorkerCode | Mapping[str, object]) -> LoaderEntry:
        """An entry for code given directly, checked at once."""
        checked = check_code(code)  # Now, with a copy of every byte: what it was made of may change afterwards.
        return self._entry(self._scope(), lambda: checked)

    def _entry(self, scope: LoaderScope, load: Load) -> LoaderEntry:
        return LoaderEntry(self._runtime, label=scope.label, load=load, owner=self, inherited=scope.outbound)

    def shared(self, name: str) -> SharedLoader:
        """The loader of all who ask for this name."""
        return SharedLoader(self, self._scope()._replace(key=f"shared {name}", label=f"shared {name}"))

    def keep(
        self,
        label: str,
        load: LoadWorker,
        namespaces: Mapping[str, NamespaceCalls],
        bindings: Mapping[str, Binding] = NO_BINDINGS,
    ) -> LoaderEntry:
        """An entry that belongs to the platform itself: nobody's id finds it, and its code is never forgotten."""
        return LoaderEntry(
            self._runtime,
            label=label,
            load=load,
            owner=self,
            namespaces=namespaces,
            bindings=bindings,
            inherited=InternetFetcher(Internet()),
        )

    def booted(self, entry: LoaderEntry) -> None:
        """An entry holds an isolate now: sweep it away when it has been idle, or others to make room for it."""
        self._live[entry] = None
        self._live_bytes += entry.memory_bytes
        if self._live_bytes > LOADER_MEMORY_BYTES_MAX:  # Counted anew only then: there may be thousands.
            self._make_room()
        self._sweep_later()

    def failed(self, entry: LoaderEntry) -> None:
        """Forget an entry, so that the next `get` with its id asks for code again."""
        key = self._keys.pop(entry, None)
        if key is not None:
            del self._entries[key]

    def close(self) -> None:
        """Throw every isolate away."""
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None
        self._runtime.tails.close()
        for entry in self._live:
            entry.close()
        self._live.clear()
        self._entries.clear()
        self._keys.clear()

    def _sweep_later(self, delay_s: float = _SWEEP_S) -> None:
        if self._sweeper is None:
            self._sweeper = asyncio.get_running_loop().call_later(delay_s, self._sweep)

    def _sweep(self) -> None:
        self._sweeper = None
        idle_since_s = self._runtime.clock.monotonic_s() - ISOLATE_IDLE_S
        thrown_away = 0
        for entry in self._live:
            if entry.is_busy and not entry.is_forgotten:
                entry.touch()
            elif (entry.is_busy or entry.last_used_s < idle_since_s) and thrown_away < _THROWN_AWAY_AT_ONCE:
                entry.close()
                thrown_away += 1
        self._live = {entry: None for entry in self._live if entry.is_live}
        self._forget_idle(idle_since_s)
        if self._live or self._entries:
            self._sweep_later(_SWEEP_S if thrown_away < _THROWN_AWAY_AT_ONCE else _SWEEP_ON_S)

    def _forget_idle(self, idle_since_s: float) -> None:
        """Forget entries without an isolate that nobody asked for lately: their code may be large, and they many."""
        idle = [entry for entry in self._keys if entry.last_used_s < idle_since_s]
        for entry in idle:
            if not entry.is_live and not entry.is_busy:
                self.failed(entry)

    def _make_room(self) -> None:
        """Keep isolates under their ceiling: idle ones go first, then those nobody waits for, oldest use first."""
        self._live_bytes = sum(entry.memory_bytes for entry in self._live)
        excess_bytes = self._live_bytes - LOADER_MEMORY_BYTES_MAX
        oldest_first = sorted(self._live, key=lambda entry: entry.last_used_s)
        for may_go in (_is_idle, _has_only_timers, _is_unawaited):
            for entry in oldest_first:
                if excess_bytes <= 0:
                    return
                if entry in self._live and may_go(entry):
                    excess_bytes -= entry.memory_bytes
                    entry.close()
                    del self._live[entry]


def _is_idle(entry: LoaderEntry) -> bool:
    return not entry.is_busy


def _has_only_timers(entry: LoaderEntry) -> bool:
    return entry.has_only_timers


def _is_unawaited(entry: LoaderEntry) -> bool:
    return not entry.is_awaited


class SharedLoader:
    """A loader whose ids are those of everybody who knows its name."""

    def __init__(self, cache: LoaderCache, scope: LoaderScope) -> None:
        self._cache = cache
        self._scope = scope

    def get(self, worker_id: str | None, load: LoadWorker) -> LoaderEntry:
        if worker_id is not None and callable(load):
            return self._cache.get(worker_id, functools.partial(_code_for_all, load), scope=self._scope)
        return self._cache.get(worker_id, load, scope=self._scope)

    def load(self, code: WorkerCode | Mapping[str, object]) -> LoaderEntry:
        return self._cache.load(code)
