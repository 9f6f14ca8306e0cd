"""Getting ready before the first event (spec 1.5, 1.8; case 24)."""

from __future__ import annotations

import asyncio

import pytest
from tests.conformance.flavours import Subject, failure

pytestmark = pytest.mark.subject("start")


async def test_the_first_event_waits_until_the_object_is_ready(subject: Subject) -> None:
    assert await asyncio.gather(*[subject.call("count") for _ in range(3)]) == [[0, True], [1, True], [2, True]]


async def test_case_24_a_section_that_fails_in_the_constructor_fails_the_first_calls(subject: Subject) -> None:
    await subject.call("failFor", 60_000)
    await subject.evict()

    first, second = [subject.begin("count") for _ in range(2)]

    assert "getting ready failed" in str(await failure(first))
    assert "getting ready failed" in str(await failure(second))
    subject.renew()
    assert "getting ready failed" in str(await failure(subject.call("count")))
    await subject.world.advance(61)
    subject.renew()
    assert await subject.call("count") == [0, True]
