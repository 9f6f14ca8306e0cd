"""Isolates go when they have been idle for ten seconds, and by least use when there are too many."""

from __future__ import annotations

import asyncio

import pytest
from tests.soak.test_apps import Owner, code_of
from tests.soak.test_throw_away_workers import Author

from perdure import DurableObject, FacetOptions
from perdure.limits import MIB
from perdure.objects import _directory
from perdure.testing import World
from perdure.workers import _loader

APPS = 12


class Parent(DurableObject):
    """Has an app without a loader entry that answers."""

    async def use(self, number: int) -> int:
        worker = self.env.LOADER.get("app", lambda: code_of(number))
        start = lambda: FacetOptions(cls=worker.get_durable_object_class("App"))  # noqa: E731
        count: int = await self.ctx.facets.get("app", start).add() // 2
        return count


def running(world: World) -> set[str]:
    """The facets whose isolates are in memory."""
    directory = world.platform._directory
    assert directory is not None
    return {actor.label for actor in directory._live if actor.memory_bytes}


def loader_bytes(world: World) -> tuple[int, int]:
    """The isolates of loader entries, and what they hold."""
    loader = world.platform._loader
    assert loader is not None
    return sum(entry.is_live for entry in loader._live), sum(entry.memory_bytes for entry in loader._live)


async def test_isolates_idle_for_ten_seconds_go(perdure: World) -> None:
    await perdure.get(Owner, "busy").use(0)
    await perdure.get(Owner, "idle").use(1)

    await perdure.advance("6s")
    await perdure.get(Owner, "busy").use(0)
    assert running(perdure) == {"Owner/busy/app", "Owner/idle/app"}
    await perdure.advance("6s")

    assert running(perdure) == {"Owner/busy/app"}
    assert loader_bytes(perdure)[0] == 1
    await perdure.advance("12s")
    assert running(perdure) == set()
    assert loader_bytes(perdure) == (0, 0)


async def test_code_that_nobody_asked_for_lately_is_forgotten(perdure: World) -> None:
    await perdure.get(Owner, "a").use(0)
    loader = perdure.platform._loader
    assert loader is not None
    assert len(loader._entries) == 1

    await perdure.advance("30s")

    assert not loader._entries
    assert await perdure.get(Owner, "a").use(0) == [4, 0]


@pytest.mark.parametrize(
    ("ceiling", "value"),
    [
        pytest.param("ISOLATES_MEMORY_BYTES_MAX", 6 * MIB, id="memory"),
        pytest.param("ISOLATES_LIVE_MAX", 4, id="number"),
    ],
)
async def test_the_least_recently_used_isolates_go_first(
    monkeypatch: pytest.MonkeyPatch, perdure: World, ceiling: str, value: int
) -> None:
    monkeypatch.setattr(_directory, ceiling, value)

    for number in range(APPS):
        await perdure.get(Parent, f"app-{number}").use(number)
        await perdure.get(Parent, "favourite").use(0)
        await perdure.advance("0.3s")

    directory = perdure.platform._directory
    assert directory is not None
    await perdure.advance("1.1s")
    left = running(perdure)
    newest = [f"Parent/app-{number}/app" for number in range(APPS - len(left) + 1, APPS)]
    assert left == {"Parent/favourite/app", *newest}
    assert 2 <= len(left) < APPS
    assert directory.statistics()["isolates" if ceiling == "ISOLATES_LIVE_MAX" else "isolate_bytes"] <= value
    assert await perdure.get(Parent, "app-0").use(0) == 2


async def test_entry_points_keep_to_a_ceiling_of_their_own(monkeypatch: pytest.MonkeyPatch, perdure: World) -> None:
    monkeypatch.setattr(_loader, "LOADER_MEMORY_BYTES_MAX", value := 6 * MIB)
    most = 0

    for number in range(4 * APPS):
        assert await perdure.get(Author, "author").load(number) == 2 * number
        most = max(most, loader_bytes(perdure)[1])

    assert MIB < most <= value


async def test_a_ceiling_too_low_for_what_is_under_way_ends_nothing(
    monkeypatch: pytest.MonkeyPatch, perdure: World
) -> None:
    monkeypatch.setattr(_loader, "LOADER_MEMORY_BYTES_MAX", 0)
    numbers = range(APPS)

    answers = await asyncio.gather(*[perdure.get(Author, "author").load(number) for number in numbers])

    assert answers == [2 * number for number in numbers]


async def test_idle_isolates_make_room_before_a_new_one_is_refused(
    monkeypatch: pytest.MonkeyPatch, perdure: World
) -> None:
    monkeypatch.setattr(_directory, "ISOLATES_MEMORY_BYTES_MAX", 4 * MIB)

    for number in range(2 * APPS):
        assert await perdure.get(Parent, f"app-{number}").use(number) == 1
