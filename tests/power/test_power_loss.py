"""What was acknowledged survives a power loss, at every step of everything the store does."""

from __future__ import annotations

import asyncio
import itertools
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import pytest
from tests.power.power import Platter, RecordingDisk, RecordingFiles

from perdure.clock import SystemClock, SystemEntropy
from perdure.errors import DamagedDataError, StorageFailedError
from perdure.storage import Commit, RootStore, Store, StoreOptions, _sqlite_journal

OBJECT_IDS = (bytes(32), bytes(31) + b"\1")
_vfs_names = itertools.count()


@dataclass
class Life:
    """One database: its contents after each commit, and how many of those are acknowledged."""

    object_id: bytes
    facet: str | None
    states: list[dict[str, str]] = field(default_factory=lambda: [{}])
    acknowledged: int = 0

    def acknowledge(self, count: int) -> Callable[[Commit], None]:
        def note(commit: Commit) -> None:
            assert commit.error is None
            self.acknowledged = max(self.acknowledged, count)

        return note


class World:
    """A store on a platter, with random work to do, and a power loss to imagine at random steps."""

    def __init__(self, directory: Path, seed: int, *, losses_max: int) -> None:
        self.chance = Random(seed)
        self.directory = directory
        self.data = directory / "data"
        self.data.mkdir()
        self.platter = Platter(self.data)
        self.objects_vfs = RecordingFiles(f"power-objects-{next(_vfs_names)}", "unix-none", self.platter)
        self.journal_vfs = RecordingFiles(f"power-journal-{next(_vfs_names)}", "unix", self.platter)
        self.options = StoreOptions(
            disk=RecordingDisk(self.platter), vfs=self.objects_vfs.name, journal_vfs=self.journal_vfs.name
        )
        self.lives = [Life(object_id, facet) for object_id in OBJECT_IDS for facet in (None, "app")]
        self.adopt_changed_files = False
        self.losses: list[tuple[Path, list[int], list[int]]] = []
        self.losses_max = losses_max
        self.remembered: dict[bytes, tuple[dict[tuple[int, ...], Path], list[dict[str, str]]]] = {}
        self.step_chance = Random(seed)

    def imagine_power_loss(self) -> None:
        if len(self.losses) >= self.losses_max or self.step_chance.random() > 0.08:
            return
        target = self.directory / f"loss-{len(self.losses)}"
        acknowledged = [life.acknowledged for life in self.lives]
        self.platter.after_power_loss(target, self.step_chance)
        self.losses.append((target, acknowledged, [len(life.states) for life in self.lives]))

    async def live(self, steps: int) -> None:
        store = Store.open(self.data, clock=SystemClock(), entropy=SystemEntropy(), options=self.options)
        self.platter.step = self.imagine_power_loss
        for _ in range(steps):
            life = self.chance.choice(self.lives)
            root = store.root("App", life.object_id)
            acts = ["commit", "compact", "reopen", "delete", "rewind", "rest"]
            match self.chance.choices(acts, [24, 4, 2, 1, 2, 6])[0]:
                case "commit":
                    self.commit(root, life)
                case "compact":
                    await root.compact()
                case "reopen":
                    await root.log.wait_until_settled()
                    store.release(root)
                case "delete":
                    await self.delete(root, life)
                case "rewind":
                    await self.rewind(root)
                case _:
                    await root.log.wait_until_settled()
        if self.chance.random() < 0.5:
            await store.close()
        else:
            await store._settle()
            await asyncio.to_thread(store._journal.close)
            store._lock.release()
            store._context.executor.shutdown()

    def commit(self, root: RootStore, life: Life) -> None:
        database = root.open_database(self.number(root, life))
        state = dict(life.states[-1])
        for _ in range(self.chance.randrange(1, 4)):
            key, value = f"key {self.chance.randrange(6)}", f"{len(life.states)} " * self.chance.choice([1, 50, 2000])
            state[key] = value
            database.kv_put(key, value)
        captured = database.commit()
        assert captured is not None
        life.states.append(state)
        root.log.submit(captured).add_callback(life.acknowledge(len(life.states) - 1))

    async def delete(self, root: RootStore, life: Life) -> None:
        number = self.number(root, life)
        gone = [other for other in self.lives if other.object_id == life.object_id] if number == 0 else [life]
        # Before the act: the journal's thread may be done with it before this one goes on.
        for ended in gone:
            ended.states.append({})
        commit = root.delete_facet(number) if number else root.delete()
        for ended in gone:
            commit.add_callback(ended.acknowledge(len(ended.states) - 1))
        await commit

    async def rewind(self, root: RootStore) -> None:
        """Remember what an object holds, or bring it back to what was remembered."""
        await root.log.wait_until_settled()
        lives = [life for life in self.lives if life.object_id == root.key.object_id]
        remembered = self.remembered.pop(root.key.object_id, None)
        if remembered is None:
            directory = self.directory / f"image-{next(_vfs_names)}"
            await asyncio.to_thread(directory.mkdir)
            image = await root.image(directory)
            self.remembered[root.key.object_id] = image.replay.files, [life.states[-1] for life in lives]
            return
        files, states = remembered
        if set(files) != set(root.log.chain.live_lineages()):
            return  # A facet was made or deleted since: numbers are not given out twice.
        root.close()
        for life, state in zip(lives, states, strict=True):
            life.states.append(state)
        await root.rewrite(files, cause="rewound")
        for life in lives:
            life.acknowledged = len(life.states) - 1

    def number(self, root: RootStore, life: Life) -> int:
        if life.facet is None:
            return 0
        number = root.facet_number(0, life.facet)
        captured = root.open_database(0).commit()
        if captured is not None:
            root.log.submit(captured)
        return number

    def check(self) -> None:
        for target, acknowledged, committed in self.losses:
            asyncio.run(self.check_one(target, acknowledged, committed))
            # The store closed cleanly, so its files hold everything now, and nothing but them is left.
            assert not list(target.glob("**/*-wal"))

    async def check_one(self, target: Path, acknowledged: list[int], committed: list[int]) -> None:
        # Times of files are taken as they are, so that a missing sync is found by what it loses.
        options = StoreOptions(adopt_changed_files=self.adopt_changed_files)
        store = Store.open(target, clock=SystemClock(), entropy=SystemEntropy(), options=options)
        try:
            for life, low, high in zip(self.lives, acknowledged, committed, strict=True):
                root = store.root("App", life.object_id)
                if life.facet is not None and life.facet not in root.facet_numbers(0):
                    assert {} in life.states[low:high], f"{life.facet} is gone, {low} of its commits were acknowledged"
                    continue
                database = root.open_database(self.number(root, life))
                state = contents(database.host_exec("SELECT key, value FROM _cf_KV"))
                assert state in life.states[low:high], f"{low} commits were acknowledged, found {sorted(state.items())}"
                assert database.host_exec("PRAGMA integrity_check") == [("ok",)]
        finally:
            await store.close()


def contents(rows: Sequence[tuple[object, ...]]) -> dict[str, str]:
    return {str(key): str(value) for key, value in rows}


@pytest.fixture
def worlds(tmp_path: Path) -> Iterator[Callable[[int, int], World]]:
    made: list[World] = []

    def make(seed: int, losses_max: int) -> World:
        directory = tmp_path / f"world-{seed}"
        directory.mkdir()
        made.append(World(directory, seed, losses_max=losses_max))
        return made[-1]

    yield make
    for world in made:
        world.objects_vfs.unregister()
        world.journal_vfs.unregister()


@pytest.mark.parametrize("seed", range(4))
def test_acknowledged_commits_survive(worlds: Callable[[int, int], World], seed: int) -> None:
    world = worlds(seed, 25)

    asyncio.run(world.live(60))

    assert len(world.losses) > 10
    world.check()


LOST = r"commits were acknowledged|of its commits were acknowledged"
MISSING = r"its file `.*` is missing"
DAMAGED = r"database `.*` is damaged"


@dataclass(frozen=True)
class Mutation:
    """A sync that is left out, and what must come of it: any other failure would prove nothing."""

    deaf_to: Callable[[str, Path], bool]
    outcome: str


MUTATIONS = {
    "databases are not synced": Mutation(
        lambda act, path: act == "file" and path.suffix == ".sqlite", f"{LOST}|{DAMAGED}"
    ),
    "names of databases are not synced": Mutation(lambda act, path: act == "directory" and path.name == "App", MISSING),
    "names of namespaces are not synced": Mutation(
        lambda act, path: act == "directory" and path.name == "objects", MISSING
    ),
    "names of the data directory are not synced": Mutation(
        lambda act, path: act == "directory" and path.name == "data", f"{LOST}|{MISSING}"
    ),
}


@pytest.mark.parametrize("mutation", MUTATIONS)
def test_missing_sync_is_found(worlds: Callable[[int, int], World], mutation: str) -> None:
    deaf_to, outcome = MUTATIONS[mutation].deaf_to, MUTATIONS[mutation].outcome

    found = what_is_found(worlds, lambda world: setattr(world.platter, "deaf_to", deaf_to))

    assert re.search(outcome, found), found


def test_missing_sync_of_journal_is_found(worlds: Callable[[int, int], World], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_sqlite_journal, "_SYNCHRONOUS", "OFF")

    found = what_is_found(worlds, lambda world: None)

    assert re.search(LOST, found), found


def what_is_found(worlds: Callable[[int, int], World], mutate: Callable[[World], None]) -> str:
    """What the first power loss in some world loses or damages; empty when none does."""
    for seed in range(8):
        world = worlds(seed, 25)
        world.adopt_changed_files = True
        mutate(world)
        asyncio.run(world.live(60))
        try:
            for loss in world.losses:
                asyncio.run(world.check_one(*loss))
        except (AssertionError, DamagedDataError, StorageFailedError) as error:
            return str(error)
        finally:
            shutil.rmtree(world.directory)
    return ""
