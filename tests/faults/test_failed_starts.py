"""A start that fails leaves nothing behind: the next one, in the same process, finds the directory free."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path

import pytest
from tests.faults.faults import Cause, Fault, Faults, FaultyFiles, Place
from tests.faults.ledgers import Ledger

from perdure.errors import StorageFailedError
from perdure.isolates import Isolates
from perdure.storage import StoreOptions
from perdure.testing import World


def begin(data: Path, isolates: Isolates) -> None:
    """An object with an alarm, so that the next start has something to do."""
    with World([Ledger], data=data, isolates=isolates) as world:
        world.run(world.get(Ledger, "a").write(1, 1))


@pytest.mark.parametrize(
    "place", [Place("journal", "read"), Place("journal-wal", "sync"), Place("journal-wal", "write")], ids=str
)
def test_a_start_after_one_that_failed(tmp_path: Path, perdure_isolates: Isolates, place: Place) -> None:
    begin(tmp_path / "data", perdure_isolates)
    threads_before = threading.active_count()
    told: list[str] = []

    for number in range(1, 40):
        shutil.copytree(tmp_path / "data", tmp_path / "copy")
        faults = Faults(Fault(place, number, Cause.BROKEN, is_lasting=False))
        files = FaultyFiles("unix", "journal", faults)
        with World(
            [Ledger],
            data=tmp_path / "copy",
            isolates=perdure_isolates,
            store_options=StoreOptions(journal_vfs=files.name),
        ) as world:
            try:
                world.run(world.platform.start())
            except StorageFailedError as error:
                told.append(str(error))
                world.run(world.platform.start())
            faults.is_healed = True
            assert world.run(world.get(Ledger, "a").read()) == 1
        files.unregister()
        shutil.rmtree(tmp_path / "copy")
        if not faults.has_struck:
            break

    assert told
    assert not [reason for reason in told if "rollback" in reason], "they hide why"
    assert threading.active_count() <= threads_before
