"""Namespaces as the host serves them: names and ids in, something to call out. Effects: none until it is called."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from perdure.api import Copies, DurableObjectClass, Namespace, ObjectId, Sent
from perdure.clock import Entropy
from perdure.limits import OBJECT_NAME_KEPT_BYTES_MAX
from perdure.objects._actor import Actor, leave_caller
from perdure.objects._ids import IdFactory
from perdure.objects._lifecycle import State
from perdure.objects._population import NamespaceQuota
from perdure.storage import StorageLimits
from perdure.web import Request, Response


class Slots(Protocol):
    """Where objects are found: the directory."""

    def slot(self, namespace: str, identity: bytes, name: str | None) -> Actor: ...


@dataclass(frozen=True, slots=True)
class NamespaceOptions:
    """What can be said about the objects of one class.

    `key`: names them on disk and in their ids, so it must never change; by default it is made from the class's name.
    `prevent_eviction`: once in memory they stay, with their facets, until they are reset or the platform stops.
    `storage_limits`: how large what their SQL and kv handle may be. Their facets have those of their own code.
    `quota`: how many there may be, and how large.
    """

    key: str | None = None
    prevent_eviction: bool = False
    storage_limits: StorageLimits | None = None
    quota: NamespaceQuota = field(default_factory=NamespaceQuota)


class ObjectCalls:
    """`NamespaceCalls` for the host: it knows the key, so it makes the ids."""

    def __init__(self, directory: Slots, key: str, *, entropy: Entropy) -> None:
        self.key = key
        self.ids = IdFactory(key)
        self._directory = directory
        self._entropy = entropy

    def id_from_name(self, name: str, jurisdiction: str | None = None) -> ObjectId:
        return ObjectId(self.ids.from_name(name, jurisdiction).hex(), name=name, jurisdiction=jurisdiction)

    def id_from_text(self, text: str) -> ObjectId:
        identity = self.ids.from_text(text)
        return ObjectId(identity.hex(), jurisdiction=self.ids.jurisdiction_of(identity))

    def unique_id(self, jurisdiction: str | None) -> ObjectId:
        return ObjectId(self.ids.unique(self._entropy, jurisdiction).hex(), jurisdiction=jurisdiction)

    def target(self, identity: ObjectId) -> ObjectTarget:
        return ObjectTarget(self._directory, self.key, bytes.fromhex(identity.text), _kept_name(identity.name))

    def named(self, name: str) -> ObjectTarget:
        """The object called `name`, for callers that need no stub."""
        return ObjectTarget(self._directory, self.key, self.ids.from_name(name), _kept_name(name))


class ObjectNamespace(Namespace):
    """A namespace as the host holds it: with its key, and the way to an object without a stub."""

    __slots__ = ("calls", "key", "target")

    def __init__(self, calls: ObjectCalls, durable_object_class: DurableObjectClass) -> None:
        super().__init__(calls, durable_object_class)
        self.calls = calls
        self.key = calls.key
        self.target = calls.named

    def __repr__(self) -> str:
        return f"<Namespace {self.key}>"


def _kept_name(name: str | None) -> str | None:
    """`name`, unless it is too long to be kept beside the object."""
    if name is None or len(name) * 4 <= OBJECT_NAME_KEPT_BYTES_MAX:
        return name
    return name if len(name.encode("utf-8", "surrogatepass")) <= OBJECT_NAME_KEPT_BYTES_MAX else None


class ObjectTarget:
    """What an object's stub points at: the slot it reached first, for good."""

    __slots__ = ("_actor", "_directory", "_id", "_name", "_namespace")

    def __init__(self, directory: Slots, namespace: str, identity: bytes, name: str | None) -> None:
        self._directory = directory
        self._namespace = namespace
        self._id = identity
        self._name = name
        self._actor: Actor | None = None

    def again(self) -> ObjectTarget:
        """The same object, whatever has become of the instance that was reached first."""
        return ObjectTarget(self._directory, self._namespace, self._id, self._name)

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
        actor = self._actor
        if actor is None or (actor.state is State.BROKEN and not actor.was_running):
            actor = self._actor = self._directory.slot(self._namespace, self._id, self._name)
        return actor
