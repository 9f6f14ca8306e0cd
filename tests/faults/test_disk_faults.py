"""Every n-th act of a disk fails in turn: nothing acknowledged is lost, nothing else is half there, errors are clear.

`./run faults` tries every one; `./run tests` a few of each kind. What one scene does is decided by its seed, so the
seed and the fault of a failure bring it about again.
"""

from __future__ import annotations

import itertools
import shutil
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from random import Random
from typing import Final

import pytest
from tests.faults.faults import Fault, Faults, FaultyDisk, FaultyFiles, Place, causes_of
from tests.faults.ledgers import OBJECTS, Client, Ledger, check_files, check_past
from tests.power.power import Platter, RecordingDisk, RecordingFiles

from perdure.errors import PerdureError
from perdure.history import HistoryOptions, SegmentArchive
from perdure.isolates import Isolates
from perdure.storage import StoreOptions
from perdure.storage._disk import SystemDisk
from perdure.testing import World

ACTS: Final = {
    "disk": (
        *("file_state_or_none", "make_directory", "sync_directory", "sync_file", "unlink"),
        *("write_chunks", "write_new_file"),
    ),
    "object": ("open", "read", "truncate", "write"),
    "object-wal": ("open", "read", "truncate", "write"),
    "journal": ("delete", "open", "read", "sync", "truncate", "write"),
    "journal-wal": ("open", "read", "sync", "write"),
}
PLACES: Final = [Place(file, act) for file, acts in ACTS.items() for act in acts]
ENDINGS: Final = ("stop", "kill", "power loss")
STEPS: Final = 14
HISTORY: Final = HistoryOptions(max_bytes=2_000)  # So little that some of it is dropped.
LIVES: Final = 3
FAULTS_QUICK: Final = 2  # of each place, in `./run tests`
READS_APART: Final = 10  # a read that fails changes nothing: not every one is tried
_vfs_names = itertools.count()


class Scene:
    """One run: a client works through several lives of a platform on one disk, of which one act fails."""

    def __init__(self, directory: Path, isolates: Isolates, *, seed: int, fault: Fault | None, ending: str) -> None:
        self.directory = directory
        self.data = directory / "data"
        self.data.mkdir(parents=True)
        self.isolates = isolates
        self.faults = Faults(fault)
        self.client = Client(seed)
        self.ending = ending
        self.chance = Random(seed)
        self.platter = Platter(self.data)
        self.below: list[RecordingFiles] = []
        self.files: list[FaultyFiles] = []

    def play(self) -> None:
        """Work, meet the fault, end, and look at everything from a new process on a disk that is well."""
        threads_before = threading.active_count()
        try:
            options = self._options()
            for life in range(LIVES):
                self._live(options, is_last=life == LIVES - 1)
            self._check()
        finally:
            for vfs in (*self.files, *self.below):
                vfs.unregister()
        assert threading.active_count() <= threads_before, f"left behind: {threading.enumerate()[threads_before:]}"

    def _options(self) -> StoreOptions:
        disk = SystemDisk()
        bases = ["unix-none", "unix"]
        if self.ending == "power loss":
            self.below = [RecordingFiles(f"below-{next(_vfs_names)}", base, self.platter) for base in bases]
            bases = [files.name for files in self.below]
            disk = RecordingDisk(self.platter)
        objects, journal = (
            FaultyFiles(base, kind, self.faults) for base, kind in zip(bases, ("object", "journal"), strict=True)
        )
        self.files = [objects, journal]
        return StoreOptions(
            disk=FaultyDisk.over(disk, self.faults),
            vfs=objects.name,
            journal_vfs=journal.name,
            make_archive=partial(SegmentArchive, options=HISTORY),
        )

    def _live(self, options: StoreOptions, *, is_last: bool) -> None:
        """One life of the platform, which ends as `ending` says if it is the last, else with a clean stop."""
        world = World([Ledger], data=self.data, isolates=self.isolates, store_options=options)
        world.run(self.client.work(world, STEPS))
        if is_last and self.ending != "stop":
            world.run(world.settle())
            if self.ending == "kill":
                shutil.copytree(self.data, self.directory / "after")
            else:
                self.platter.after_power_loss(self.directory / "after", self.chance)
        try:
            world.close()
        except PerdureError as error:
            self.client.refused(error)

    def _check(self) -> None:
        after = self.data if self.ending == "stop" else self.directory / "after"
        with World([Ledger], data=after, isolates=self.isolates) as world:
            world.run(self.client.check(world))
            for name in OBJECTS:
                world.run(check_past(world, name))
        check_files(after)


class Stage:
    """Where scenes are played, one after the other."""

    def __init__(self, directory: Path, isolates: Isolates, seed: int) -> None:
        self.directory = directory
        self.isolates = isolates
        self.seed = seed

    def play(self, fault: Fault | None) -> Scene:
        """Play the scene in which this happens. A failure says how to see it again."""
        # Which fault it is decides the rest, so that one line of text is enough to see it again.
        ending = ENDINGS[(fault.number + self.seed) % len(ENDINGS)] if fault is not None else "stop"
        scene = Scene(self.directory / "scene", self.isolates, seed=self.seed, fault=fault, ending=ending)
        try:
            scene.play()
        except BaseException as error:
            told = "".join(f"\n  {type(refusal).__name__}: {refusal}" for refusal in scene.client.refusals)
            error.add_note(f"{fault}; then {ending}; clients were told:{told}")
            if fault is not None:
                error.add_note(f"again: ./run faults -k {fault.place} --number {fault.number} --seed {self.seed}")
            raise
        finally:
            shutil.rmtree(scene.directory)
        return scene

    def fault_at(self, place: Place, number: int) -> Fault:
        """The n-th act of a place fails, each time in another of the ways in which it can."""
        causes = causes_of(place)
        turn = number + self.seed
        return Fault(place, number, causes[turn % len(causes)], is_lasting=turn // len(causes) % 2 == 0)


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory, perdure_isolates: Isolates, seed: int) -> Stage:
    return Stage(tmp_path_factory.mktemp("stage"), perdure_isolates, seed)


@pytest.fixture(scope="module")
def clean_scene(stage: Stage) -> Scene:
    """A scene without a fault."""
    return stage.play(None)


def test_every_kind_of_act_is_tried(clean_scene: Scene) -> None:
    assert set(clean_scene.faults.counts) == set(PLACES)
    assert clean_scene.client.refusals == []


def numbers(place: Place, count: int, *, are_all: bool, only: int | None) -> Iterator[int]:
    """Which acts of a place fail: all, until there is none, or some of the `count` that a scene without faults has."""
    if only is not None:
        yield only
    elif are_all:
        yield from itertools.count(1, READS_APART if place.act in {"read", "file_state_or_none"} else 1)
    else:
        yield from Random(str(place)).sample(range(1, count + 1), min(FAULTS_QUICK, count))


@pytest.mark.crash
@pytest.mark.parametrize("place", PLACES, ids=str)
def test_a_disk_that_fails_once_or_for_good(
    stage: Stage, clean_scene: Scene, place: Place, rounds: int, pytestconfig: pytest.Config
) -> None:
    count = clean_scene.faults.counts[place]
    struck = 0

    for number in numbers(place, count, are_all=rounds > 1, only=pytestconfig.getoption("--number")):
        scene = stage.play(stage.fault_at(place, number))
        if not scene.faults.has_struck and number > count:
            break
        struck += scene.faults.has_struck

    assert struck
