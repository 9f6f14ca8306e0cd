"""Namespaces and stubs of objects: names and ids in, something to call out. Effects: none until a stub is used."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from perdure.api import DurableObjectClass, ObjectId, Stub
from perdure.clock import Entropy
from perdure.errors import ObjectIdError
from perdure.limits import OBJECT_NAME_KEPT_BYTES_MAX
from perdure.objects._actor import Actor, leave_caller
from perdure.objects._ids import IdFactory
from perdure.objects._lifecycle import State
from perdure.web import Request, Response


class Slots(Protocol):
    """Where objects are found: the directory."""

    def slot(self, namespace: str, identity: bytes, name: str | None) -> Actor: ...


class Namespace:
    """The objects of one class. Getting a stub contacts and creates nothing."""

    def __init__(self, directory: Slots, key: str, kind: type, *, entropy: Entropy) -> None:
        self.key = key
        self.durable_object_class = DurableObjectClass(kind)
        self._directory = directory
        self._kind = kind
        self._ids = IdFactory(key)
        self._entropy = entropy

    def __call__(self, *, props: object = None) -> DurableObjectClass:
        """The class with props, to run as a facet."""
        return DurableObjectClass(self._kind, props=props)

    def get_by_name(self, name: str) -> ObjectStub:
        """A stub for the object called `name`: there is exactly one."""
        key = self._ids.from_name(name)
        return self._stub(key, ObjectId(key.hex(), name=name))

    def target(self, name: str) -> ObjectTarget:
        """What a stub for `name` points at, for callers that need no stub."""
        return ObjectTarget(self._directory, self.key, self._ids.from_name(name), _kept_name(name))

    def id_from_name(self, name: str) -> ObjectId:
        """The id that belongs to `name`."""
        return ObjectId(self._ids.from_name(name).hex(), name=name)

    def id_from_string(self, text: str) -> ObjectId:
        """The id that `str(id)` printed. Raises ObjectIdError."""
        return ObjectId(self._ids.from_text(text).hex())

    def new_unique_id(self) -> ObjectId:
        """An id nobody has had."""
        return ObjectId(self._ids.unique(self._entropy).hex())

    def get(self, identity: ObjectId) -> ObjectStub:
        """A stub for the object with this id."""
        if not isinstance(identity, ObjectId):
            raise ObjectIdError(
                f"get(id) takes an ObjectId, not `{type(identity).__name__}`: use get_by_name(name) or "
                "id_from_string(text)"
            )
        return self._stub(self._ids.from_text(identity.text), identity)

    def _stub(self, key: bytes, identity: ObjectId) -> ObjectStub:
        return ObjectStub(ObjectTarget(self._directory, self.key, key, _kept_name(identity.name)), identity)

    def __repr__(self) -> str:
        return f"<Namespace {self.key}>"


def _kept_name(name: str | None) -> str | None:
    """`name`, unless it is too long to be kept beside the object."""
    if name is None or len(name) * 4 <= OBJECT_NAME_KEPT_BYTES_MAX:
        return name
    return name if len(name.encode("utf-8", "surrogatepass")) <= OBJECT_NAME_KEPT_BYTES_MAX else None


class ObjectStub(Stub):
    """A handle on one object: `fetch`, RPC by attribute, and its `id` and `name`."""

    def __init__(self, target: ObjectTarget, identity: ObjectId) -> None:
        super().__init__(target)
        self.id = identity
        self.name = identity.name


class ObjectTarget:
    """What an object's stub points at: the slot it reached first, for good."""

    __slots__ = ("_actor", "_directory", "_id", "_name", "_namespace")

    def __init__(self, directory: Slots, namespace: str, identity: bytes, name: str | None) -> None:
        self._directory = directory
        self._namespace = namespace
        self._id = identity
        self._name = name
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
            actor = self._actor = self._directory.slot(self._namespace, self._id, self._name)
        return actor
