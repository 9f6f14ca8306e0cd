"""Stubs of facets are tied to what they reached, and stay with their parent (spec 4.2, 4.4; cases 64, 74); ids."""

from __future__ import annotations

import pytest
from tests.conformance.flavours import Subject, failure, type_name

from perdure.limits import GUEST_STUBS_MAX

pytestmark = pytest.mark.subject("levers")

NOT_SERIALIZABLE = "Durable Object facets are not serializable"


async def test_case_64_a_stub_stays_with_the_instance_it_reached(subject: Subject) -> None:
    await subject.call("keep", "old", "foo")
    await subject.call("keep", "unused", "foo")
    assert await subject.call("useKept", "old") == 1

    await subject.call("abortFacet", "foo", "enough of this")
    assert await subject.call("relay", ["foo"], "count") == 1

    for _ in range(2):
        assert str(await failure(subject.call("useKept", "old"))) == "enough of this"
    assert await subject.call("useKept", "unused") == 2


async def test_case_64_a_deleted_facets_stub_says_so(subject: Subject) -> None:
    await subject.call("keep", "old", "foo")
    await subject.call("useKept", "old")

    await subject.call("deleteFacet", "foo")
    assert await subject.call("relay", ["foo"], "count") == 1

    assert str(await failure(subject.call("useKept", "old"))) == "Facet was deleted."


async def test_a_stub_survives_the_rest_of_its_facet(subject: Subject) -> None:
    await subject.call("keep", "old", "foo")
    await subject.call("useKept", "old")
    await subject.call("relay", ["foo"], "put", "n", 1)

    await subject.world.advance(25)

    assert await subject.call("relay", ["foo"], "read", "n") == 1


async def test_stubs_that_nobody_holds_are_let_go(guest: Subject) -> None:
    assert await guest.call("useAndDrop", "foo", GUEST_STUBS_MAX + 100) == GUEST_STUBS_MAX + 100


@pytest.mark.parametrize("how", ["sendStub", "sendStubWithin", "storeStub", "stubAsProps", "returnStub"])
async def test_case_74_a_facets_stub_cannot_be_sent_or_stored(subject: Subject, how: str) -> None:
    error = await failure(subject.call(how))

    assert NOT_SERIALIZABLE in str(error)
    assert type_name(error) in {"ValueNotCloneableError", "DataCloneError"}


async def test_a_facet_may_have_its_parents_id(subject: Subject) -> None:
    own = await subject.call("identity")

    assert await subject.call("inheriting", "foo") == own
    assert (await subject.call("relay", ["bar"], "identity")) != own
    assert "not both" in str(await failure(subject.call("bothIds", "baz")))
