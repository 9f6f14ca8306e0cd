"""When an object leaves memory, and when it stays (spec 1.10; cases 10 to 13)."""

from __future__ import annotations

import pytest
from tests.conformance.flavours import Subject

from perdure import NamespaceOptions
from perdure.errors import UsageError

pytestmark = pytest.mark.subject("exports")


async def test_case_11_prevent_eviction_keeps_objects_in_memory(subject: Subject) -> None:
    kept = subject.apart("Kept", NamespaceOptions(prevent_eviction=True))
    assert await kept.call("count") == 0
    assert await subject.call("count") == 0

    await subject.world.advance(11)
    assert await kept.call("count") == 1
    await subject.world.advance(300)

    assert await kept.call("count") == 2
    assert await subject.call("count") == 0
    with pytest.raises(UsageError, match="preventEviction set"):
        await kept.evict()


async def test_case_11_an_object_that_is_kept_can_be_reset(subject: Subject) -> None:
    kept = subject.apart("Kept", NamespaceOptions(prevent_eviction=True))
    await kept.call("count")

    await kept.restart()

    assert await kept.call("count") == 0


async def test_case_12_ten_seconds_begin_when_the_timer_has_fired(subject: Subject) -> None:
    await subject.call("count")
    await subject.call("pin", 15)
    subject.renew()

    await subject.world.advance(23)
    assert (await subject.world.statistics())["live"] == 1
    await subject.world.advance(4)

    assert (await subject.world.statistics())["live"] == 0
    assert await subject.call("count") == 0


async def test_case_13_an_endless_interval_keeps_nobody_awake_for_ever(guest: Subject) -> None:
    await guest.call("count")
    await guest.call("tick", 20)
    guest.renew()

    await guest.world.advance(69)
    assert (await guest.world.statistics())["live"] == 1
    await guest.world.advance(73)

    assert (await guest.world.statistics())["live"] == 0
    assert 5 <= await guest.call("read", "ticks") <= 7
    assert await guest.call("count") == 0


async def test_an_interval_goes_on_while_the_object_is_called(guest: Subject) -> None:
    await guest.call("count")
    await guest.call("tick", 20)

    for expected in range(1, 8):
        await guest.world.advance(60)
        assert await guest.call("count") == expected

    assert await guest.call("read", "ticks") >= 20


async def test_work_in_the_background_keeps_an_object_for_fifteen_minutes(subject: Subject) -> None:
    await subject.call("count")
    await subject.call("pin", 3600)
    subject.renew()

    await subject.world.advance(15 * 60 - 10)
    assert (await subject.world.statistics())["live"] == 1
    await subject.world.advance(90)

    assert (await subject.world.statistics())["live"] == 0
    assert await subject.call("count") == 0


async def test_a_call_under_way_keeps_an_object_for_as_long_as_it_takes(subject: Subject) -> None:
    napping = subject.begin("nap", 7200)
    await subject.world.advance(3600)
    await subject.call("count")
    await subject.world.advance(3700)

    assert await napping == "rested"
