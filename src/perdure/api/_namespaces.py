"""Namespaces: the objects of one class, by name or id. Getting a stub contacts and creates nothing.

Effects: none (it asks `NamespaceCalls`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from perdure.api._object_id import ObjectId
from perdure.api._stubs import Stub
from perdure.errors import ObjectIdError, UsageError

if TYPE_CHECKING:
    from perdure.api._facets import DurableObjectClass
    from perdure.api._host_calls import NamespaceCalls
    from perdure.api._targets import Target

JURISDICTIONS: Final = ("eu", "fedramp", "fedramp-high", "us")
"""The reference system's. They keep ids apart; where an object lives is for whoever runs the platform."""

ROUTING_MODES: Final = ("primary-only",)


class ObjectStub(Stub):
    """A handle on one object: `fetch`, RPC by attribute, and its `id` and `name`. Attributes you set are yours."""

    def __init__(self, target: Target, identity: ObjectId) -> None:
        super().__init__(target)
        self.id = identity
        self.name = identity.name


class Namespace:
    """The objects of one class: a stub by name, or by an id that this namespace made."""

    __slots__ = ("_calls", "_jurisdiction", "durable_object_class")

    def __init__(
        self, calls: NamespaceCalls, durable_object_class: DurableObjectClass, *, jurisdiction: str | None = None
    ) -> None:
        self._calls = calls
        self._jurisdiction = jurisdiction
        self.durable_object_class = durable_object_class

    def __call__(self, *, props: object = None) -> DurableObjectClass:
        """The class with props, to run as a facet."""
        return self.durable_object_class(props=props)

    def get_by_name(
        self, name: str, *, location_hint: str | None = None, routing_mode: str | None = None
    ) -> ObjectStub:
        """A stub for the object called `name`: there is exactly one. `location_hint` is accepted and not needed."""
        _check_routing_mode(routing_mode)
        identity = self._calls.id_from_name(name, self._jurisdiction)
        return ObjectStub(self._calls.target(identity), identity)

    def get(
        self, identity: ObjectId, *, location_hint: str | None = None, routing_mode: str | None = None
    ) -> ObjectStub:
        """A stub for the object with this id. Raises ObjectIdError for an id of another namespace or jurisdiction."""
        _check_routing_mode(routing_mode)
        if not isinstance(identity, ObjectId):
            raise ObjectIdError(
                f"get(id) takes an ObjectId, not `{type(identity).__name__}`: use get_by_name(name) or "
                "id_from_string(text)"
            )
        self._check_jurisdiction(self._calls.id_from_text(identity.text))
        return ObjectStub(self._calls.target(identity), identity)

    def id_from_name(self, name: str) -> ObjectId:
        """The id that belongs to `name`: always the same."""
        return self._calls.id_from_name(name, self._jurisdiction)

    def id_from_string(self, text: str) -> ObjectId:
        """The id that `str(id)` printed. Raises ObjectIdError."""
        return self._check_jurisdiction(self._calls.id_from_text(text))

    def new_unique_id(self, *, jurisdiction: str | None = None) -> ObjectId:
        """An id nobody has had."""
        return self._calls.unique_id(_check_known(jurisdiction) or self._jurisdiction)

    def jurisdiction(self, name: str | None) -> Namespace:
        """The part of this namespace whose ids say that they belong to jurisdiction `name`; None is all of it."""
        return Namespace(self._calls, self.durable_object_class, jurisdiction=_check_known(name))

    def _check_jurisdiction(self, identity: ObjectId) -> ObjectId:
        if self._jurisdiction is not None and identity.jurisdiction != self._jurisdiction:
            raise ObjectIdError(
                f"get called on jurisdictional subnamespace `{self._jurisdiction}` with an ID from a different "
                f"jurisdiction (`{identity.jurisdiction}`): use an id that it made"
            )
        return identity


def _check_known(jurisdiction: str | None) -> str | None:
    if jurisdiction is not None and jurisdiction not in JURISDICTIONS:
        raise ObjectIdError(f"there is no jurisdiction `{jurisdiction}`: it is one of {', '.join(JURISDICTIONS)}")
    return jurisdiction


def _check_routing_mode(mode: str | None) -> None:
    if mode is not None and mode not in ROUTING_MODES:
        raise UsageError(f"unknown routingMode `{mode}`: the only one is `primary-only`")
