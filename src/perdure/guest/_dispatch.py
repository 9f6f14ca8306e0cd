"""The guest's one export: LOAD, START, EVENT and RESUME of the guest protocol.

A guest is one worker, and one object of it if the host starts one. Each call is a turn: it delivers what the host
brings, runs until everything waits for the host again, and reports. A handler that never suspends is answered within
its own turn without a round of the loop.
Effects: host calls, tasks.
"""

from __future__ import annotations

import asyncio
import contextvars
import dataclasses
import functools
import json
import sys
import types
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from perdure.api import (
    CURRENT_SECTION,
    Context,
    DurableObject,
    DurableObjectClass,
    FacetLimits,
    ObjectId,
    Section,
    Sections,
    WorkerContext,
    WorkerEntrypoint,
    alarm_handler_or_none,
    alarm_info,
    call_alarm,
    callable_at,
    facet_options,
    fetch_at,
    use_lender,
    value_at,
)
from perdure.errors import GuestError
from perdure.guest._bindings import Bindings
from perdure.guest._console import LogStream
from perdure.guest._errors import error_shape, format_traceback
from perdure.guest._exports import Exports
from perdure.guest._host_calls import Ask, GuestFacets, GuestLife, GuestStorage
from perdure.guest._importer import WorkerImporter
from perdure.guest._loaders import LoadCallbacks, LoadedClass, plain_code
from perdure.guest._loop import GuestLoop
from perdure.guest._operations import Operations
from perdure.guest._outside import OUTSIDE
from perdure.guest._references import SCOPE, GuestParcel, GuestReferences, Scope
from perdure.guest._remotes import ResultToCome, channel_target
from perdure.guest._streams import GuestStreams
from perdure.guest._worker import (
    Worker,
    as_coroutine,
    as_response,
    call_handler,
    evaluate,
    fetch_of,
    is_coroutine,
    to_json,
)
from perdure.wire import (
    ALARM,
    START_FACET,
    GuestOp,
    HostOp,
    from_expression,
    request_from_host,
    response_to_wire,
    to_expression,
)

Message = dict[str, Any]
Convert = Callable[[Any], object]
"""From what a handler returned to what the report carries."""


class Guest:
    """One sandbox's worker and everything under way in it."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self._output = {level: LogStream(level, ask) for level in ("log", "error")}
        sections = Sections()
        self._loop = GuestLoop(sections=sections, on_lost_error=self._log_lost)  # type: ignore[abstract]  # asyncio's base is not, at run time
        self._importer = WorkerImporter(ask)
        self._operations = Operations(self._loop)
        self._callbacks = LoadCallbacks()
        self._of_facets: dict[object, DurableObjectClass] = {}
        self._life = GuestLife(
            ask, self._loop, sections, self._importer, functools.partial(self._log_lost, "background work failed")
        )
        self._streams = self._operations.streams = GuestStreams(self._operations.start, self._life.wait_until)
        self._references = GuestReferences(self._operations, in_background=self._life.wait_until)
        self._operations.make_pipeline = functools.partial(ResultToCome, self._references)
        self._references.channel = functools.partial(channel_target, self._references)
        self._facets = GuestFacets(ask, self._references, lambda: self._instance)
        self._bindings = Bindings(ask, self._references, self._callbacks)
        self._worker = Worker(types.ModuleType("worker"), set())
        self._instance: object = None
        self._waiting: dict[int, asyncio.Task[object]] = {}
        self._parcels: dict[int, GuestParcel] = {}  # of the arguments of events under way
        self._done: list[list[object]] = []
        self._handlers: list[str] = []  # to be reported once

    def install(self) -> None:
        """Take over the standard streams and the import system of this interpreter."""
        sys.stdout, sys.stderr = self._output["log"], self._output["error"]
        sys.meta_path.insert(0, self._importer)
        OUTSIDE.connect(self._ask, self._operations)
        use_lender(self._references.own)

    def call(self, op: int, payload: str) -> str:
        """One turn."""
        message: Message = json.loads(payload)
        self._loop.begin_turn(message.get("now", 0))
        self._life.open_next()
        try:
            if "rel" in message:
                self._references.give_back(message["rel"])
            match op:
                case GuestOp.EVENT if "o" in message:  # One of the guest's own operations caused it.
                    self._loop.call_soon(self._deliver, message, context=self._operations.context(message["o"]))
                case GuestOp.EVENT:
                    self._deliver(message)
                case GuestOp.RESUME:
                    for operation_id, is_ok, result in message["c"]:
                        self._operations.settle(operation_id, is_ok, result)
                case GuestOp.START:
                    self._start(message)
                case _:
                    return self._load(message)
            self._loop.run_ready()
        finally:
            self._loop.end_turn()
            for stream in self._output.values():
                stream.flush_line()
        return self._report()

    def _report(self) -> str:
        done, self._done = self._done, []
        report: Message = {"d": done} if done else {}
        if self._handlers:
            report["h"], self._handlers = self._handlers, []
        if started := self._operations.take_started():
            report["o"] = started
        if released := self._operations.take_released():
            report["x"] = released
        if returned := self._references.borrowed.take_returned():
            report["c"] = returned
        if sections := self._life.take_sections():
            report["s"] = sections
        if self._life.wants_turn:
            report["n"] = 1
        if (delay_ms := self._loop.delay_ms()) is not None:
            report["t"] = delay_ms
        if pending := len(self._waiting) + self._life.pending:
            report["p"] = pending
        return to_json(report)

    # ── LOAD and START ───────────────────────────────────────────────────────────────────────────────────────

    def _load(self, message: Message) -> str:
        try:
            module = self._importer.load_main(message["main"])
            self._loop.run_ready()
        except BaseException as error:  # noqa: BLE001  # the worker's own; the host decides what it means
            return to_json({"error": self._shape(error)})
        self._worker = Worker(module, self._importer.own_modules, message.get("namespaces", ()))
        self._bindings.bind(message.get("bindings", {}), message.get("env"))
        return to_json({"ok": {"exports": self._worker.kinds()}})

    def _start(self, message: Message) -> None:
        section = self._life.begin_section()
        inside = contextvars.copy_context()
        inside.run(CURRENT_SECTION.set, section)
        try:
            outcome = inside.run(self._construct, message)
            if is_coroutine(outcome):
                task = inside.run(self._loop.start, as_coroutine(outcome))
                task.add_done_callback(functools.partial(self._started, section), context=inside)
                return
        except BaseException as error:  # noqa: BLE001  # the worker's own; the host resets the object
            self._life.fail_section(section, self._survivable(error))
            return
        self._life.end_section(section)

    def _construct(self, message: Message) -> object:
        """Make the object; what its `on_start` returned."""
        identity = message.get("id") or {}
        ctx = Context(
            id=ObjectId(identity.get("id") or "", name=identity.get("name"), jurisdiction=identity.get("j")),
            props=self._references.read(message.get("props", {})),
            exports=Exports(self._worker, self._ask, self._references),
            storage=GuestStorage(self._ask, self._references, self._life, lambda: self._instance),
            facets=self._facets,
            calls=self._life,
        )
        self._instance = self._worker.export(message["export"])(ctx, self._bindings.env(message.get("env")))
        self._handlers = [name for name in (ALARM, START_FACET) if callable(getattr(self._instance, name, None))]
        on_start = getattr(self._instance, "on_start", None)
        return on_start() if on_start is not None else None

    def _started(self, section: Section, task: asyncio.Task[object]) -> None:
        error = asyncio.CancelledError() if task.cancelled() else task.exception()
        if error is None:
            self._life.end_section(section)
        else:
            self._life.fail_section(section, self._survivable(error))

    # ── EVENT ────────────────────────────────────────────────────────────────────────────────────────────────

    def _deliver(self, message: Message) -> None:
        if "x" in message:  # Each event of a stateless entry point is a scope of its own.
            contextvars.copy_context().run(self._deliver_in, Scope(), message)
        elif message["k"] == "rpc":  # What was lent runs in the scope that lent it.
            contextvars.copy_context().run(self._deliver_in, None, message)
        else:
            self._deliver_in(None, message)

    def _deliver_in(self, scope: Scope | None, message: Message) -> None:
        event_id: int = message["e"]
        if scope is not None:
            SCOPE.set(scope)
        try:
            outcome, convert = self._begin(message)
            if is_coroutine(outcome):
                task = self._loop.start(
                    as_coroutine(outcome) if not isinstance(outcome, types.CoroutineType) else outcome
                )
                if not task.done():
                    self._waiting[event_id] = task
                    task.add_done_callback(functools.partial(self._settle, event_id, convert, scope))
                    return
                outcome = task.result()
            self._done.append([event_id, 1, convert(outcome)])
        except BaseException as error:  # noqa: BLE001  # the worker's own; it is the event's result
            self._done.append([event_id, 0, self._shape(self._survivable(error))])
        self._event_over(event_id, scope)

    def _settle(self, event_id: int, convert: Convert, scope: Scope | None, task: asyncio.Task[object]) -> None:
        del self._waiting[event_id]
        try:
            self._done.append([event_id, 1, convert(task.result())])
        except BaseException as error:  # noqa: BLE001  # as in `_deliver`
            self._done.append([event_id, 0, self._shape(self._survivable(error))])
        self._event_over(event_id, scope)

    def _event_over(self, event_id: int, scope: Scope | None) -> None:
        """What came in the arguments is closed; what else belongs to a stateless event goes with its last work."""
        parcel = self._parcels.pop(event_id, None)
        if parcel is not None:
            parcel.close_received()
        if scope is not None:
            scope.release()

    def _begin(self, message: Message) -> tuple[object, Convert]:
        """Call the handler of an event: what it returned, and how that is to be reported."""
        match message["k"]:
            case "fetch":
                request = request_from_host(message["r"], self._streams.receive)
                return self._fetch(message, request), self._response
            case "stream":
                return self._streams.act(message), _as_it_is
            case "call":
                return self._call(message), self._references.write_result
            case "rpc":
                return self._call_lent(message)
            case "alarm":
                return self._alarm(message), _nothing
            case "start_facet":
                return self._facets.start_facet(message["f"]), functools.partial(self._facet, message["f"])
            case "facet":
                return self._facets.start_callback(message["cb"])(), functools.partial(self._facet, message["cb"])
            case "load":
                return self._callbacks.callback(message["cb"])(), self._code
            case "eval":
                variables = {name: from_expression(value) for name, value in message.get("a", {}).items()}
                return evaluate(message["s"], variables, own_files=self._importer.own_files), to_expression
            case kind:
                raise GuestError(f"a guest knows no event `{kind}`")

    def _call(self, message: Message) -> object:
        """Call a method of the object or entry point, or read a property."""
        receiver = self._receiver(message)
        path = message["path"] if "path" in message else (message["m"],)
        base = WorkerEntrypoint if isinstance(receiver, WorkerEntrypoint) else DurableObject
        if "a" not in message:
            return value_at(receiver, path, base=base)
        return callable_at(receiver, path, base=base)(*self._arguments(message))

    def _call_lent(self, message: Message) -> tuple[object, Convert]:
        """The same with what this guest has lent."""
        own = self._references.find(message["n"])
        SCOPE.set(own.scope)
        if "r" in message:
            return fetch_at(own.value)(request_from_host(message["r"], self._streams.receive)), self._response
        if "a" not in message:
            return value_at(own.value, message["path"], base=None), self._references.write_result
        function = callable_at(own.value, message["path"], base=None)
        return function(*self._arguments(message)), self._references.write_result

    def _arguments(self, message: Message) -> Sequence[object]:
        values, parcel = self._references.read_arguments(message["a"])
        if parcel is not None:
            self._parcels[message["e"]] = parcel
        return values

    def _alarm(self, message: Message) -> object:
        handler = alarm_handler_or_none(self._instance)
        if handler is None:
            raise GuestError("the object has lost its alarm() handler")
        return call_alarm(handler, alarm_info(retries=message["n"], scheduled_ms=message["at"]))

    def _fetch(self, message: Message, request: Any) -> object:  # noqa: ANN401  # a Request
        if "x" in message:
            export = self._worker.export(message["x"])
            if isinstance(export, types.FunctionType):
                return call_handler(
                    export, request, self._bindings.env(message.get("env")), self._worker_context(message)
                )
        return fetch_of(self._receiver(message))(request)

    def _receiver(self, message: Message) -> object:
        """The object, or a fresh instance of a stateless entry point."""
        if "x" not in message:
            return self._instance
        return self._worker.export(message["x"])(self._worker_context(message), self._bindings.env(message.get("env")))

    def _worker_context(self, message: Message) -> WorkerContext:
        return WorkerContext(
            props=self._references.read(message.get("p", {})),
            exports=Exports(self._worker, self._ask, self._references),
            wait_until=functools.partial(self._wait_until, SCOPE.get()),
        )

    def _response(self, value: object) -> object:
        return response_to_wire(as_response(value), self._streams.lend)

    def _wait_until(self, scope: Scope | None, work: Awaitable[object]) -> None:
        task = asyncio.ensure_future(work, loop=self._loop)
        if scope is not None:
            scope.hold()
            task.add_done_callback(scope.release)
        self._life.wait_until(task)

    def _code(self, value: object) -> object:
        """What a callback of a loader returned; the host checks it."""
        return self._references.write_kept(plain_code(value))[0]

    def _facet(self, facet: object, answer: object) -> object:
        """What the start callback of a facet returned. `facet`: its name, or its callback's number."""
        options = facet_options(answer)
        kind = options.cls
        chosen: dict[str, object] = {"id": options.id}
        if options.inherit_id:
            chosen["inherit"] = True
        if options.limits is not None and options.limits != FacetLimits():
            chosen["limits"] = dataclasses.asdict(options.limits)
        if options.budget is not None:
            chosen["budget"] = dataclasses.asdict(options.budget)
        if isinstance(kind, DurableObjectClass) and isinstance(kind.definition, LoadedClass):
            self._of_facets[facet] = kind  # It is there until the facet is started anew: the host is about to ask.
            return {**kind.definition.fields(), "props": self._references.write_kept(kind.props)[0], **chosen}
        if isinstance(kind, DurableObjectClass):
            return {"export": str(kind.definition), "props": self._references.write_kept(kind.props)[0], **chosen}
        return {"export": self._worker.name_of(kind), "props": {}, **chosen}

    # ── errors ───────────────────────────────────────────────────────────────────────────────────────────────

    def _shape(self, error: BaseException) -> dict[str, object]:
        return error_shape(error, self._importer.owns, modules=self._importer.names)

    def _survivable(self, error: BaseException) -> BaseException:
        """`error`, unless it says that memory is used up: then the host ends this sandbox."""
        if isinstance(error, MemoryError):
            self._ask(HostOp.EXHAUSTED, "memory", "")
        return error

    def _log_lost(self, what: str, error: BaseException | None = None) -> None:
        """Log an error that nobody waits for."""
        text = what if error is None else f"{what}: {format_traceback(error, self._importer.owns)}"
        for line in text.splitlines():
            self._ask(HostOp.LOG, "error", line)


def _nothing(value: object) -> None:
    """Nobody hears what an alarm's handler returns."""


def _as_it_is(value: object) -> object:
    return value
