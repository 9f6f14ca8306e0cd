"""`ctx.exports` of a worker, the host's half: its own namespaces and entry points, and nothing of anybody else's.

Everything here was written by a guest. Ids are made and checked by the host: no guest knows the key of a namespace.
Effects: none (targets do the work).
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final, Protocol, TypeVar

from perdure.api import JURISDICTIONS, DurableObjectClass, NamespaceCalls, ObjectId, Target, checked_path
from perdure.errors import ObjectIdError, UsageError
from perdure.limits import OBJECT_NAME_KEPT_BYTES_MAX
from perdure.wire import read_json
from perdure.workers._bindings import ENV_PREFIX, Binding, BoundNamespace, BoundService
from perdure.workers._pins import Pins
from perdure.workers._references import Read
from perdure.workers._reports import Operation
from perdure.workers._streams import SessionStreams

T = TypeVar("T")
V = TypeVar("V")
_COMPACT: Final = json.JSONEncoder(separators=(",", ":")).encode
_FIELDS_MAX: Final = 16


class Messages(Protocol):
    """The session whose guest asks: it reads and writes what goes to and fro."""

    @property
    def streams(self) -> SessionStreams:
        """Those that messages take along."""
        ...

    def convert(self, convert: Callable[[V], T], value: V, /) -> Awaitable[T]:
        """`convert(value)`, beside the event loop when that takes long."""
        ...

    def read_kept(self, tree: object) -> object:
        """`env` or `props` that the guest wrote, or code, with the services in it."""
        ...

    def write(self, operation: Operation, value: object) -> Awaitable[object]:
        """The result of an operation for the guest, as JSON tree."""
        ...


class WorkerExports(Protocol):
    """The worker that an isolate's code belongs to."""

    @property
    def namespaces(self) -> Mapping[str, NamespaceCalls]:
        """Those of its Durable Object classes that have one, by the class's name."""
        ...

    @property
    def bindings(self) -> Mapping[str, Binding]:
        """What its env has beside plain values, by name."""
        ...

    def entrypoint(self, name: str | None, props: object) -> Target: ...


class ExportCalls:
    """What one isolate asks of its worker's exports."""

    def __init__(self, worker: WorkerExports, pins: Pins[Target]) -> None:
        self._worker = worker
        self._pins = pins

    def object_id(self, export: str, payload: str) -> str:
        """The answer to the host call OBJECT_ID. Raises ObjectIdError, UsageError."""
        calls = self._namespace(export)
        fields = _fields(payload)
        jurisdiction = fields.get("j")
        if jurisdiction is not None and jurisdiction not in JURISDICTIONS:
            raise ObjectIdError(f"there is no jurisdiction `{str(jurisdiction)[:40]}`")
        if "n" in fields:
            identity = calls.id_from_name(_text(fields, "n"), jurisdiction)
        elif "t" in fields:
            identity = calls.id_from_text(_text(fields, "t"))
        else:
            identity = calls.unique_id(jurisdiction)
        return _COMPACT({"i": identity.text, "j": identity.jurisdiction})

    async def perform(self, operation: Operation, session: Messages) -> object:
        """Do a `stub.…` or `export.…` operation; the result as JSON tree. Raises UsageError for any other."""
        payload = operation.payload
        match operation.kind:
            case "stub.fetch" | "stub.call" | "stub.get":
                target = self._object(payload)
            case "export.fetch" | "export.call" | "export.get":
                target = self._entrypoint(_text(payload, "x"), payload.get("p"), session.read_kept)
            case _:
                raise UsageError(f"a guest asked for `{operation.kind[:40]}`, which no guest may")
        return await send(target, operation, session)

    def channel(self, what: object, fields: object, read: Read) -> Target:
        """What a stub of the guest's own worker points at, which it has sent or stored. Raises UsageError."""
        if not isinstance(fields, dict):
            raise UsageError("a stub was sent without saying what it points at")
        if what == "stub":
            return self._reach(fields)
        if what == "export":
            return self._entrypoint(_text(fields, "x"), fields.get("p"), read)
        raise UsageError(f"a stub of an unknown kind, `{str(what)[:40]}`, was sent")

    def _object(self, payload: Mapping[str, object]) -> Target:
        """What a guest's stub points at."""
        number = payload.get("n")
        if isinstance(number, bool) or not isinstance(number, int):
            raise UsageError("a stub has no number")
        return self._pins.target(number, lambda: self._reach(payload))

    def _reach(self, payload: Mapping[str, object]) -> Target:
        calls = self._namespace(_text(payload, "x"))
        return calls.target(_named(calls, calls.id_from_text(_text(payload, "i")), payload.get("name")))

    def _entrypoint(self, export: str, props: object, read: Read) -> Target:
        """An entry point of its own worker, or a service of its env: that has the props of whoever bound it."""
        if not export.startswith(ENV_PREFIX):
            return self._worker.entrypoint(export, read(props))
        binding = self._bound(export)
        if not isinstance(binding, BoundService):
            raise UsageError(f"`{export[:80]}` is no service")
        return binding.target

    def bound_class(self, export: str) -> DurableObjectClass | None:
        """The class of a namespace in env, to run as a facet; None for what is no such binding."""
        binding = self._bound(export)
        return binding.object_class if isinstance(binding, BoundNamespace) else None

    def _bound(self, export: str) -> Binding | None:
        return self._worker.bindings.get(export.removeprefix(ENV_PREFIX)) if export.startswith(ENV_PREFIX) else None

    def _namespace(self, export: str) -> NamespaceCalls:
        binding = self._bound(export)
        if isinstance(binding, BoundNamespace):
            return binding.calls
        calls = self._worker.namespaces.get(export)
        if calls is None:
            there = ", ".join(f"`{name}`" for name in sorted(self._worker.namespaces)) or "none"
            raise UsageError(f"this worker has no namespace `{export[:80]}`; it has: {there}")
        return calls


async def send(target: Target, operation: Operation, session: Messages) -> object:
    """Send a guest's request, call or question for a property to `target`: `….fetch`, `….call`, `….get`."""
    payload = operation.payload
    if operation.kind.endswith(".fetch"):
        request = await session.streams.request(payload.get("r"), operation.operation_id)
        return session.streams.response(await target.fetch(request))
    path = path_of(payload)
    if operation.kind.endswith(".get"):
        return await session.write(operation, await target.get(path))
    if operation.sent is None:
        raise UsageError("a method is called with a list of arguments")
    return await session.write(operation, await target.call(path, operation.sent))


def path_of(payload: Mapping[str, object]) -> Sequence[str]:
    """What a guest calls or reads: `m`, or `path`. Raises UsageError."""
    path = payload.get("path")
    if path is None:
        return (_text(payload, "m"),)
    if not isinstance(path, list) or not all(isinstance(step, str) for step in path):
        raise UsageError("a path is a list of names")
    return checked_path(path)


def _named(calls: NamespaceCalls, identity: ObjectId, name: object) -> ObjectId:
    """The id with the name that the guest says it has, if that is so: an object is told who it is by its callers."""
    if not isinstance(name, str) or len(name) > OBJECT_NAME_KEPT_BYTES_MAX:
        return identity
    named = calls.id_from_name(name, identity.jurisdiction)
    if not named.equals(identity):
        raise ObjectIdError(f"Durable Object ID `{identity}` is not the id of the name that came with it")
    return named


def _fields(payload: str) -> Mapping[str, object]:
    try:
        fields = read_json(payload, values_max=_FIELDS_MAX)
    except (ValueError, RecursionError):
        fields = None
    if not isinstance(fields, dict):
        raise UsageError("an id is asked for with an object: a name, a text, or neither")
    return fields


def _text(payload: Mapping[str, object], key: str) -> str:
    text = payload.get(key)
    if not isinstance(text, str):
        raise UsageError(f"`{key}` of an operation is no text")
    return text
