"""Doctor: checks a data directory, and repairs what it safely can.

Of a stopped one everything is checked under its lock; a running server checks what it can of itself. Repairs delete
nothing: what nobody knows is moved to `lost+found`. Effects: disk, tasks.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import apsw

from perdure.errors import DataDirectoryError, PerdureError, StorageFailedError
from perdure.history import check_histories
from perdure.objects import Directory
from perdure.server._admin_requests import CheckUp
from perdure.server._admin_socket import ask_running
from perdure.server._finder import Finder
from perdure.server._offline import check_is_data_directory, opened
from perdure.server._references import facet_paths
from perdure.storage import (
    Database,
    DirectoryLock,
    Finding,
    JournalReader,
    Layout,
    Level,
    ObjectKey,
    Repair,
    check_directory,
    move_to_lost_and_found,
    remove_left_over,
)


@dataclass(slots=True)
class Checkup:
    """What was found and what was done about it. `is_live`: a running server checked itself."""

    findings: list[Finding]
    repairs: list[str] = field(default_factory=list)
    is_live: bool = False

    @property
    def is_healthy(self) -> bool:
        return all(finding.level is Level.NOTE for finding in self.findings)


async def examine(data: Path, *, may_repair: bool) -> Checkup:
    """Check the directory `data`; with `may_repair` repair it, and check again. Raises PerdureError."""
    try:
        return await _examine(data, may_repair=may_repair)
    except OSError as error:
        raise StorageFailedError(
            f"`{data}` could not be checked to the end: {error}. Check the disk, its free space, and who may read it"
        ) from error


async def _examine(data: Path, *, may_repair: bool) -> Checkup:
    layout = Layout(data)
    check_is_data_directory(layout)
    answer = await ask_running(layout.admin_socket, CheckUp())
    if answer is not None:
        if may_repair:
            raise DataDirectoryError(f"a server runs on `{data}`: stop it, repairs need the directory for themselves")
        return Checkup([_from_item(item) for item in answer.items], is_live=True)
    findings = await asyncio.to_thread(_examine_stopped, layout)
    if not may_repair or not any(finding.repair for finding in findings):
        return Checkup(findings)
    repairs = await asyncio.to_thread(_repair_files, layout, findings)
    repairs += await _repair_objects(layout, findings)
    return Checkup(await asyncio.to_thread(_examine_stopped, layout), repairs)


# ── a stopped one ────────────────────────────────────────────────────────────────────────────────────────────


def _examine_stopped(layout: Layout) -> list[Finding]:
    lock = DirectoryLock(layout.lock)
    try:
        return [*check_directory(layout), *_check_histories(layout)]
    finally:
        lock.release()


def _check_histories(layout: Layout) -> Iterator[Finding]:
    try:
        reader = JournalReader(layout.journal)
        try:
            yield from check_histories(layout, archived=reader.archived_or_none, digest=reader.digest_or_none)
        finally:
            reader.close()
    except apsw.Error:
        return  # The journal is damaged, as was said already.


def _repair_files(layout: Layout, findings: Sequence[Finding]) -> list[str]:
    lock = DirectoryLock(layout.lock)
    done = []
    try:
        for finding in findings:
            if finding.path is None:
                continue
            if finding.repair is Repair.MOVE:
                done.append(f"moved `{finding.path}` to `{move_to_lost_and_found(layout, finding.path)}`")
            elif finding.repair is Repair.REMOVE:
                remove_left_over(layout, finding.path)
                done.append(f"removed `{finding.path}`")
    finally:
        lock.release()
    return done


async def _repair_objects(layout: Layout, findings: Sequence[Finding]) -> list[str]:
    """What needs an open store: opening and closing it recovers what a crash left."""
    restated = [finding for finding in findings if finding.repair is Repair.RESTATE_ALARM]
    if not restated and not any(finding.repair is Repair.RECOVER for finding in findings):
        return []
    warnings: list[str] = []
    done = []
    async with opened(layout.directory, warnings) as (_, directory, finder):
        for finding in restated:
            assert finding.key is not None, "an alarm is some database's"
            try:
                await _restate(directory, finder, finding.key, finding.number)
            except PerdureError as error:
                done.append(f"could not repair an alarm of `{finding.key.object_id.hex()}`: {error}")
            else:
                done.append(f"told the index of alarms what `{finding.key.object_id.hex()}` says")
    return [*done, "recovered what the last process left", *warnings]


async def _restate(directory: Directory, finder: Finder, key: ObjectKey, number: int) -> None:
    paths = dict(facet_paths(await finder.facets(key)))

    def restate(database: Database) -> None:
        database.alarm.restate()

    await directory.visit(key, paths[number] if number else (), restate, cause="perdure doctor", may_write=True)


def _from_item(item: object) -> Finding:
    assert isinstance(item, dict), "a finding comes as an object"
    return Finding(Level(item["level"]), str(item["text"]))
