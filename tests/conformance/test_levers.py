"""What a supervisor holds in its hands: quotas, budgets, usage, events (spec 4.9; issue: a supervisor's levers)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.conformance.flavours import Subject, failure, is_reset, topic, type_name

from perdure import (
    BudgetExceededError,
    DurableObject,
    FacetEvent,
    FacetLimits,
    FacetOptions,
    QuotaExceededError,
    WorkerCode,
)
from perdure.limits import KIB, MIB
from perdure.testing import World

pytestmark = pytest.mark.subject("levers")


# ── quotas ───────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_database_stays_below_its_quota(subject: Subject) -> None:
    limits = {"databaseBytes": 64 * KIB}

    error = await failure(subject.call("relayUnder", "a", limits, None, "fill", MIB))

    assert type_name(error) == "QuotaExceededError"
    assert "may have 65536 bytes (`database_bytes`)" in str(error)
    assert await subject.call("relayUnder", "a", limits, None, "read", "told") == "QuotaExceededError"
    assert await subject.call("relayUnder", "a", limits, None, "read", "large") is None
    assert (await subject.call("usage", "a"))["databaseBytes"] <= 64 * KIB


async def test_a_tree_stays_below_its_quota(subject: Subject) -> None:
    limits = {"treeBytes": 256 * KIB}
    await subject.call("relayUnder", "a", limits, None, "put", "n", 1)
    await subject.call("relay", ["a", "one"], "fill", 100 * KIB)

    error = await failure(subject.call("relay", ["a", "two"], "fill", 200 * KIB))

    assert type_name(error) == "QuotaExceededError"
    assert "(`tree_bytes`)" in str(error)
    assert (await subject.call("usage", "a"))["databaseBytes"] <= 256 * KIB
    assert await subject.call("relay", ["b"], "fill", 300 * KIB) is None


async def test_facets_are_counted(subject: Subject) -> None:
    limits = {"facets": 2, "facetsEver": 3}
    await subject.call("relayUnder", "a", limits, None, "put", "n", 1)
    for name in ("one", "two"):
        await subject.call("relay", ["a", name], "count")

    error = await failure(subject.call("relay", ["a", "three"], "count"))

    assert "may have 2 facets at once (`facets`), it has 2" in str(error)
    assert await subject.call("relay", ["a", "one"], "count") == 2
    await subject.call("relay", ["a"], "forget", "one")
    assert await subject.call("relay", ["a", "three"], "count") == 1
    await subject.call("relay", ["a"], "forget", "two")
    assert "may have 3 facets ever made" in str(await failure(subject.call("relay", ["a", "four"], "count")))


async def test_cpu_of_one_event_is_bounded(guest: Subject) -> None:
    error = await failure(guest.call("relayUnder", "a", {"cpuMs": 20}, None, "burn", 100_000_000))

    assert "CPU time" in str(error)
    assert type_name(error) == "LimitExceeded"
    assert await guest.call("relayUnder", "a", {"cpuMs": 2_000}, None, "burn", 10) == 24


async def test_names_are_listed_in_pages(subject: Subject) -> None:
    for name in ("b", "a", "c\0", "\U0001f600"):
        await subject.call("relay", [name], "count")

    assert await subject.call("names") == ["a", "b", "c\0", "\U0001f600"]
    assert await subject.call("someNames", "a", 2) == ["b", "c\0"]


# ── usage ────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_usage_of_a_facet_includes_what_is_below_it(subject: Subject) -> None:
    await subject.call("put", "n", 1)
    await subject.call("relay", ["a"], "scribble", 5)
    before = await subject.call("usage", "a")
    await subject.call("relay", ["a", "deep"], "scribble", 7)

    after, whole = await subject.call("usage", "a"), await subject.call("usage")

    assert (before["requests"], before["rowsWritten"], before["facets"]) == (1, 5, 0)
    assert (after["requests"], after["rowsWritten"], after["facets"]) == (3, 12, 1)
    assert after["cpuMs"] > before["cpuMs"] > 0
    assert after["pages"] > before["pages"] > 0
    assert after["lastUsed"] is not None
    assert whole["pages"] > after["pages"]
    assert whole["facets"] == 2
    assert (after["memoryBytes"] > 0) is (subject.flavour != "trusted")


async def test_usage_of_nothing_says_so(subject: Subject) -> None:
    assert "there is no facet `never`" in str(await failure(subject.call("usage", "never")))


# ── budgets ──────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_budget_of_requests_is_hard(subject: Subject) -> None:
    for expected in (1, 2):
        assert await subject.call("relayUnder", "a", None, {"requests": 2}, "count") == expected

    error = await failure(subject.call("relayUnder", "a", None, {"requests": 2}, "count"))

    assert type_name(error) == "BudgetExceeded"
    assert "2 of 2 `requests`" in str(error)
    await subject.call("raiseBudget", "a", {"requests": 3})
    assert await subject.call("relayUnder", "a", None, None, "count") == 3


async def test_a_budget_of_rows_stops_the_facet(subject: Subject) -> None:
    budget = {"rowsWritten": 10}

    error = await failure(subject.call("relayUnder", "a", None, budget, "scribble", 11))

    assert "11 of 10 `rows_written`" in str(error)
    assert "until its supervisor raises" in str(await failure(subject.call("relayUnder", "a", None, budget, "count")))
    assert await subject.call("relayUnder", "a", None, {"rowsWritten": 20}, "count") == 1


async def test_a_budget_of_cpu_time_stops_in_the_middle_of_work(guest: Subject) -> None:
    budget = {"cpuMs": 60}

    error = await failure(guest.call("relayUnder", "a", None, budget, "burn", 100_000_000))

    assert type_name(error) == "BudgetExceeded"
    assert "of 60 `cpu_ms`" in str(error)
    used = (await guest.call("usage", "a"))["cpuMs"]
    assert 60 <= used < 500
    assert type_name(await failure(guest.call("relayUnder", "a", None, budget, "count"))) == "BudgetExceeded"
    more = {"cpuMs": round(used) + 5_000}
    assert await guest.call("relayUnder", "a", None, more, "burn", 10) == 24


async def test_what_is_below_a_facet_spends_its_budget(subject: Subject) -> None:
    budget = {"rowsWritten": 10}
    await subject.call("relayUnder", "a", None, budget, "count")

    error = await failure(subject.call("relay", ["a", "deep"], "scribble", 11))

    assert "`rows_written`" in str(error)
    assert type_name(await failure(subject.call("relayUnder", "a", None, budget, "count"))) == "BudgetExceeded"


async def test_events_are_for_trusted_supervisors(guest: Subject) -> None:
    assert "for trusted supervisors" in str(await failure(guest.call("listen")))


# ── a trusted supervisor ─────────────────────────────────────────────────────────────────────────────────────


class Watcher(DurableObject):
    """Runs one app in a sandbox, and writes down what it hears."""

    def __init__(self, ctx: Any, env: Any) -> None:
        super().__init__(ctx, env)
        self.heard: list[FacetEvent] = []
        self.ended = False

    async def watch(self) -> None:
        self.task = asyncio.create_task(self._watch(self.ctx.facets.events()))

    async def _watch(self, events: Any) -> None:
        async for event in events:
            self.heard.append(event)
        self.ended = True

    async def app(self, limits: Any, budget: Any, method: str, *arguments: Any) -> Any:
        language = str(self.ctx.id.name)
        make = WorkerCode.python if language == "python" else WorkerCode.javascript
        worker = self.env.LOADER.get("app", lambda: make(topic("levers").sources[language]))
        kind = worker.get_durable_object_class("Subject")
        options = {"class": kind, "limits": limits, "budget": budget}
        return await getattr(self.ctx.facets.get("app", lambda: options), method)(*arguments)

    async def told(self) -> list[dict[str, Any]]:
        names = FacetEvent.__dataclass_fields__
        return [{name: getattr(event, name) for name in names} for event in self.heard]

    def stop_app(self) -> None:
        self.ctx.facets.abort("app", "enough")


async def watched(world: World, language: str) -> Any:
    watcher = world.get(Watcher, language)
    await watcher.watch()
    return watcher


async def test_a_request_is_told_with_what_it_cost(guest: Subject) -> None:
    watcher = await watched(guest.world, guest.flavour)

    await watcher.app(None, None, "scribble", 3)
    await guest.world.settle()

    events = await watcher.told()
    assert [event["kind"] for event in events] == ["request_started", "started", "request_ended"]
    ended = events[-1]
    assert ended["path"] == ["app"]
    assert (ended["outcome"], ended["method"], ended["rows_written"]) == ("ok", "scribble", 3)
    assert ended["cpu_ms"] > 0
    assert ended["request_id"] == events[0]["request_id"] > 0


async def test_a_failure_is_told_with_its_log_and_traceback(guest: Subject) -> None:
    watcher = await watched(guest.world, guest.flavour)

    await failure(watcher.app(None, None, "fail", "oh no"))
    await guest.world.settle()

    events = {event["kind"]: event for event in await watcher.told()}
    assert (events["log"]["text"], events["log"]["request_id"]) == (
        "about to fail",
        events["request_ended"]["request_id"],
    )
    assert events["exception"]["type_name"] == "ValueError"
    assert "oh no" in events["exception"]["text"]
    assert events["request_ended"]["outcome"] == "exception"


async def test_limits_are_told(guest: Subject) -> None:
    watcher = await watched(guest.world, guest.flavour)

    await failure(watcher.app({"database_bytes": 64 * KIB}, None, "fill", MIB))
    await watcher.stop_app()
    error = await failure(watcher.app(None, {"cpu_ms": 50}, "burn", 100_000_000))
    await guest.world.settle()

    assert isinstance(error, BudgetExceededError)
    assert error.limit == "cpu_ms"
    assert is_reset(error)
    told = await watcher.told()
    assert [event["limit"] for event in told if event["kind"] == "limit"] == ["database_bytes", "cpu_ms"]
    assert [event["outcome"] for event in told if event["kind"] == "request_ended"][-1] == "budget"
    assert next(event["text"] for event in told if event["kind"] == "stopped") == "enough"


async def test_a_facet_below_is_told_with_its_path(guest: Subject) -> None:
    watcher = await watched(guest.world, guest.flavour)

    await watcher.app(None, None, "relay", ["inner"], "count")
    await guest.world.settle()

    assert ["app", "inner"] in [event["path"] for event in await watcher.told()]


async def test_listening_ends_with_the_supervisor(guest: Subject) -> None:
    watcher = await watched(guest.world, guest.flavour)
    await watcher.app(None, None, "count")

    await guest.world.advance(25)

    assert await watcher.told() == []  # It was evicted, although a task of its own was listening.


async def test_a_quota_has_a_type_for_trusted_callers(world: World) -> None:
    class App(DurableObject):
        def fill(self) -> None:
            self.ctx.storage.kv.put("large", "x" * MIB)

    class Parent(DurableObject):
        async def go(self) -> None:
            options = FacetOptions(App, limits=FacetLimits(database_bytes=64 * KIB))
            await self.ctx.facets.get("app", lambda: options).fill()

    error = await failure(world.get(Parent, "a").go())

    assert isinstance(error, QuotaExceededError)
    assert (error.quota, error.bound, error.retryable) == ("database_bytes", 64 * KIB, False)
