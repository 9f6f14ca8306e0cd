"""A URL must not make files without bound."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from perdure import (
    DurableObject,
    FacetLimits,
    NamespaceOptions,
    NamespaceQuota,
    QuotaExceededError,
    Request,
    Response,
)
from perdure.clock import SystemEntropy
from perdure.errors import UsageError
from perdure.limits import KIB, MIB, TREE_BYTES_MAX
from perdure.server._errors import ErrorAnswers
from perdure.storage import Database, _facet_clone
from perdure.testing import World


class Room(DurableObject):
    async def fetch(self, request: Request) -> Response:
        if request.method == "POST":
            self.ctx.storage.kv.put("seen", 1)
        return Response(str(self.ctx.storage.kv.get("seen")))

    def put(self, size: int) -> None:
        self.ctx.storage.kv.put("large", "x" * size)


def rooms(world: World, **quota: object) -> None:
    world.add(Room, options=NamespaceOptions(quota=NamespaceQuota(**quota)))  # type: ignore[arg-type]  # numbers


def files(world: World) -> list[Path]:
    return [path for path in Path(world.data).rglob("*") if path.is_file() and "objects" in path.parts]


async def test_objects_are_counted_across_a_restart(world: World) -> None:
    rooms(world, objects=2)
    await world.get(Room, "a").put(1)
    await world.get(Room, "b").put(1)
    await world.restart()

    with pytest.raises(QuotaExceededError) as caught:
        await world.get(Room, "c").put(1)

    assert (caught.value.quota, caught.value.used) == ("objects", 2)
    await world.get(Room, "a").put(2)


async def test_a_deleted_object_does_not_count_after_a_restart(world: World) -> None:
    rooms(world, objects=1)
    await world.get(Room, "a").put(1)
    await world.platform._directory.delete(world.platform._object_key(Room, "a"))  # type: ignore[union-attr]  # it runs
    await world.restart()

    await world.get(Room, "b").put(1)


async def forked(world: World, name: str, *, of: str = "a") -> None:
    await world._inside(world.platform.history(Room, of).fork(name))


async def deleted(world: World, name: str) -> None:
    directory = world.platform._directory
    assert directory is not None
    await world._inside(directory.delete(world.platform._object_key(Room, name)))


async def test_forks_count_like_others(world: World) -> None:
    rooms(world, objects=3)
    await world.get(Room, "a").put(1)
    await forked(world, "f1")
    await forked(world, "f2")

    with pytest.raises(QuotaExceededError) as caught:
        await forked(world, "f3")
    assert (caught.value.quota, caught.value.used) == ("objects", 3)
    with pytest.raises(UsageError, match="exists"):
        await forked(world, "f1")
    await deleted(world, "f1")

    await world.get(Room, "b").put(1)
    with pytest.raises(QuotaExceededError):
        await world.get(Room, "c").put(1)
    await deleted(world, "b")
    await forked(world, "f3")
    with pytest.raises(QuotaExceededError):
        await world.get(Room, "c").put(1)


async def test_forks_and_imports_come_at_the_rate_of_others(world: World, tmp_path: Path) -> None:
    rooms(world, new_objects_per_minute=2)
    await world.get(Room, "a").put(1)
    await world._inside(world.platform.history(Room, "a").export(tmp_path / "a.zip"))
    await forked(world, "f1")

    with pytest.raises(QuotaExceededError, match="2 new objects each minute"):
        await forked(world, "f2")
    with pytest.raises(QuotaExceededError, match="2 new objects each minute"):
        await world._inside(world.platform.import_object(Room, "i", tmp_path / "a.zip"))

    await world.advance(31)
    await world._inside(world.platform.import_object(Room, "i", tmp_path / "a.zip"))


async def test_a_deleted_object_that_is_brought_back_counts_again(world: World) -> None:
    rooms(world, objects=1)
    await world.get(Room, "a").put(1)
    history = world.platform.history(Room, "a")
    then = await world._inside(history.bookmark())
    await deleted(world, "a")
    await world.get(Room, "b").put(1)

    with pytest.raises(QuotaExceededError):
        await world._inside(history.rewind(then))
    await deleted(world, "b")
    await world._inside(history.rewind(then))

    with pytest.raises(QuotaExceededError):
        await world.get(Room, "b").put(1)
    await world.get(Room, "a").put(2)


async def test_reading_a_missing_object_leaves_nothing(world: World) -> None:
    rooms(world, objects=1)
    for number in range(5):
        response = await world.get(Room, f"missing {number}").fetch("http://x/")
        assert await response.text() == "None"
        await world.advance(25)

    assert files(world) == []
    assert await (await world.get(Room, "real").fetch("http://x/", method="POST")).text() == "1"


async def test_new_objects_come_at_a_rate(world: World) -> None:
    rooms(world, new_objects_per_minute=2)
    await world.get(Room, "a").put(1)
    await world.get(Room, "b").put(1)

    with pytest.raises(QuotaExceededError, match="2 new objects each minute"):
        await world.get(Room, "c").put(1)
    await world.advance(31)

    await world.get(Room, "c").put(1)


async def test_an_object_has_a_size(world: World) -> None:
    rooms(world, limits=FacetLimits(database_bytes=64 * KIB))

    with pytest.raises(QuotaExceededError, match="database_bytes"):
        await world.get(Room, "a").put(MIB)


class House(DurableObject):
    async def fill(self, name: str, size: int) -> None:
        await self.ctx.facets.get(name, lambda: Room).put(size)

    async def used(self) -> int:
        return (await self.ctx.facets.usage()).database_bytes


async def test_many_facets_together_have_a_size(world: World) -> None:
    bound = 2 * MIB
    world.add(House, options=NamespaceOptions(quota=NamespaceQuota(limits=FacetLimits(tree_bytes=bound))))
    house = world.get(House, "a")
    for number in range(20):
        await house.fill(str(number), 64 * KIB)

    with pytest.raises(QuotaExceededError, match="tree_bytes"):
        await house.fill("last", MIB)

    assert 20 * 64 * KIB < await house.used() <= bound
    await world.restart()
    with pytest.raises(QuotaExceededError, match="tree_bytes"):
        await world.get(House, "a").fill("other", MIB)


class Cloner(House):
    async def clone(self, names: list[str]) -> list[str]:
        """Clone facet `a` at once under all these names; the types of what went wrong."""
        ends = await asyncio.gather(*(self._clone(name) for name in names), return_exceptions=True)
        return [type(end).__name__ for end in ends if isinstance(end, BaseException)]

    async def _clone(self, name: str) -> None:
        await self.ctx.facets.clone("a", name)


async def test_clones_at_once_do_not_overstep_a_bound_together(world: World) -> None:
    bound = MIB
    world.add(Cloner, options=NamespaceOptions(quota=NamespaceQuota(limits=FacetLimits(tree_bytes=bound))))
    cloner = world.get(Cloner, "a")
    await cloner.fill("a", 300 * KIB)

    failed = await cloner.clone([f"c{number}" for number in range(8)])

    used = await cloner.used()
    assert failed == ["QuotaExceededError"] * 6
    assert 900 * KIB < used <= bound
    await world.restart()
    assert used <= await world.get(Cloner, "a").used() <= bound  # The root's own database may have grown.


async def test_a_clone_that_no_record_holds_is_refused_before_it_is_copied(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_facet_clone, "REWRITE_BYTES_MAX", 64 * KIB)
    monkeypatch.setattr(Database, "copy_to", None)
    world.add(Cloner)
    cloner = world.get(Cloner, "a")
    await cloner.fill("a", 100 * KIB)
    used = await cloner.used()

    assert await cloner.clone(["b"]) == ["UsageError"]

    assert await cloner.used() == used


def test_a_tree_is_bounded_unless_the_owner_says_otherwise() -> None:
    assert NamespaceQuota().limits.tree_bytes == TREE_BYTES_MAX
    assert NamespaceQuota(limits=FacetLimits()).limits.tree_bytes is None


@pytest.mark.parametrize(
    ("quota", "status", "words"),
    [
        ("objects", 507, "A quota is used up"),
        ("new_objects_per_minute", 429, "Too many new objects"),
    ],
)
def test_http_says_which_kind_of_quota(quota: str, status: int, words: str) -> None:
    error = QuotaExceededError("no more", quota=quota)

    answer = ErrorAnswers(show_details=False, entropy=SystemEntropy())(Request("http://x/"), error)

    assert answer.status == status
    assert words in asyncio.run(answer.text())
    assert (answer.headers.get("retry-after") is not None) is (status == 429)
