"""How a test module chooses what it asks its questions of: one line, and two files with the same class."""

from __future__ import annotations

import pytest
from tests.conformance.flavours import FLAVOURS, Subject

pytestmark = pytest.mark.subject("example")


async def test_a_topic_has_a_subject_of_its_own_in_every_flavour(subject: Subject) -> None:
    assert await subject.call("add", 2) == 2
    await subject.evict()
    assert await subject.call("add", 3) == 5

    assert subject.flavour in FLAVOURS
    assert subject.topic.name == "example"


async def test_a_subjects_time_is_its_worlds(subject: Subject) -> None:
    before = await subject.call("now")

    await subject.world.advance(60)

    assert await subject.call("now") - before == 60_000
