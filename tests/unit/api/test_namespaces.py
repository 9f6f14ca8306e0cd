"""Namespaces as user code sees them (spec 1.2, 1.3)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from perdure.api import DurableObjectClass, Namespace, ObjectId, ObjectStub, Target
from perdure.errors import ObjectIdError, UsageError
from perdure.web import Request, Response


class Silent:
    """A target that nobody may reach."""

    async def fetch(self, request: Request) -> Response:
        raise AssertionError("getting a stub contacted its object")

    async def call(self, path: Sequence[str], arguments: object) -> object:
        raise AssertionError("getting a stub contacted its object")

    async def get(self, path: Sequence[str]) -> object:
        raise AssertionError("getting a stub contacted its object")


class Ids:
    """`NamespaceCalls` whose ids can be read: `<jurisdiction>/<name>`."""

    def id_from_name(self, name: str, jurisdiction: str | None) -> ObjectId:
        return ObjectId(f"{jurisdiction}/{name}", name=name, jurisdiction=jurisdiction)

    def id_from_text(self, text: str) -> ObjectId:
        jurisdiction = text.partition("/")[0]
        return ObjectId(text, jurisdiction=None if jurisdiction == "None" else jurisdiction)

    def unique_id(self, jurisdiction: str | None) -> ObjectId:
        return ObjectId(f"{jurisdiction}/unique", jurisdiction=jurisdiction)

    def target(self, identity: ObjectId) -> Target:
        return Silent()


NAMESPACE = Namespace(Ids(), DurableObjectClass("App"))


def test_a_stub_has_an_id_and_a_name_and_what_you_give_it() -> None:
    stub: Any = NAMESPACE.get_by_name("a", location_hint="weur", routing_mode="primary-only")

    assert vars(stub) == {"id": ObjectId("None/a"), "name": "a"}
    stub.mine = [1]
    assert stub.mine == [1]
    assert set(vars(stub)) == {"id", "name", "mine"}


def test_a_stub_by_id_has_the_ids_name() -> None:
    named = NAMESPACE.get(NAMESPACE.id_from_name("a"))
    unnamed = NAMESPACE.get(NAMESPACE.id_from_string("None/a"))

    assert isinstance(named, ObjectStub)
    assert (named.name, unnamed.name) == ("a", None)
    assert named.id.equals(unnamed.id)


@pytest.mark.parametrize("what", ["None/a", b"x", None])
def test_get_takes_an_id(what: Any) -> None:
    with pytest.raises(ObjectIdError, match="use get_by_name"):
        NAMESPACE.get(what)


def test_a_jurisdiction_keeps_its_ids_apart() -> None:
    europe, america = NAMESPACE.jurisdiction("eu"), NAMESPACE.jurisdiction("us")
    identity = europe.id_from_name("a")

    assert europe.get(identity).id.jurisdiction == "eu"
    assert NAMESPACE.get(identity).id.jurisdiction == "eu"
    assert europe.new_unique_id().jurisdiction == "eu"
    assert NAMESPACE.new_unique_id(jurisdiction="us").jurisdiction == "us"
    for act in (lambda: america.get(identity), lambda: america.id_from_string(str(identity))):
        with pytest.raises(ObjectIdError, match="jurisdictional subnamespace `us` with an ID from a different jurisd"):
            act()


def test_no_jurisdiction_is_all_of_them() -> None:
    whole = NAMESPACE.jurisdiction("eu").jurisdiction(None)

    assert whole.new_unique_id(jurisdiction=None).jurisdiction is None


def test_jurisdictions_and_routing_modes_are_known_ones() -> None:
    with pytest.raises(ObjectIdError, match="no jurisdiction `moon`: it is one of eu, fedramp, fedramp-high, us"):
        NAMESPACE.jurisdiction("moon")
    with pytest.raises(ObjectIdError, match="no jurisdiction `moon`"):
        NAMESPACE.new_unique_id(jurisdiction="moon")
    with pytest.raises(UsageError, match="unknown routingMode `nearest`"):
        NAMESPACE.get_by_name("a", routing_mode="nearest")


def test_a_namespace_is_a_class_too() -> None:
    assert NAMESPACE.durable_object_class.definition == "App"
    assert NAMESPACE(props={"a": 1}).props == {"a": 1}
