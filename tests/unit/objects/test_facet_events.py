"""The queue between facets and whoever listens to them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime

import pytest

from perdure.api import FacetEvent
from perdure.errors import (
    BudgetExceededError,
    GuestError,
    LimitExceededError,
    ObjectResetError,
    QuotaExceededError,
    UsageError,
)
from perdure.limits import FACET_EVENTS_WAITING_MAX
from perdure.objects._facet_events import EventStream, outcome_of, told_of_error


def event(number: int) -> FacetEvent:
    return FacetEvent("log", ("app",), datetime(2026, 1, 1, tzinfo=UTC), text=str(number))


def run(work: Callable[[], Coroutine[object, object, None]]) -> None:
    asyncio.run(work())


def test_events_come_in_order() -> None:
    async def work() -> None:
        stream = EventStream()
        for number in range(3):
            stream.put(event(number))
        stream.close()

        assert [heard.text async for heard in stream] == ["0", "1", "2"]

    run(work)


def test_who_waits_is_woken() -> None:
    async def work() -> None:
        stream = EventStream()
        waiting = asyncio.ensure_future(anext(stream))
        await asyncio.sleep(0)

        stream.put(event(7))

        assert (await waiting).text == "7"

    run(work)


def test_each_event_goes_to_one_of_several_who_wait() -> None:
    async def work() -> None:
        stream = EventStream()
        first, gone, third, last = (asyncio.ensure_future(anext(stream)) for _ in range(4))
        await asyncio.sleep(0)

        gone.cancel()
        stream.put(event(1))
        stream.put(event(2))
        assert [heard.text for heard in await asyncio.gather(first, third)] == ["1", "2"]
        stream.close()

        with pytest.raises(StopAsyncIteration):
            await last

    run(work)


def test_the_oldest_are_lost_and_counted() -> None:
    async def work() -> None:
        stream = EventStream()
        for number in range(FACET_EVENTS_WAITING_MAX + 5):
            stream.put(event(number))

        first, second = await anext(stream), await anext(stream)

        assert (first.text, first.dropped) == ("5", 5)
        assert second.dropped == 0

    run(work)


def test_the_end_wakes_who_waits() -> None:
    async def work() -> None:
        stream = EventStream()
        waiting = asyncio.ensure_future(anext(stream))
        await asyncio.sleep(0)

        stream.close()

        with pytest.raises(StopAsyncIteration):
            await waiting

    run(work)


@pytest.mark.parametrize(
    ("error", "outcome", "kinds"),
    [
        (None, "ok", []),
        (GuestError("no", type_name="ValueError"), "exception", ["exception"]),
        (UsageError("no"), "exception", ["exception"]),
        (ValueError("no"), "exception", ["exception"]),
        (LimitExceededError("no", limit="cpu"), "limit", ["limit"]),
        (QuotaExceededError("no", quota="objects"), "limit", ["limit"]),
        (BudgetExceededError("no", limit="cpu_ms"), "budget", ["limit"]),
        (ObjectResetError("no"), "reset", []),
        (asyncio.CancelledError(), "cancelled", []),
    ],
)
def test_how_a_request_ended(error: BaseException | None, outcome: str, kinds: list[str]) -> None:
    assert outcome_of(error) == outcome
    assert [told["kind"] for told in told_of_error(error)] == kinds
