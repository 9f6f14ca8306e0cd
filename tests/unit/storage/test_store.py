from __future__ import annotations

import asyncio
import os
import stat
import sys
from collections.abc import Callable
from pathlib import Path

import apsw
import pytest
from tests.unit.storage.store_world import (
    NAMESPACE,
    OBJECT_ID,
    committed,
    crash,
    database_file,
    opened,
    put,
    store_in,
)

from perdure.errors import DamagedDataError, DataDirectoryError, FacetError, InternalError, StorageFailedError
from perdure.limits import FACET_NAME_BYTES_MAX
from perdure.storage import StoreOptions
from perdure.storage import _root_log as root_log_module
from perdure.storage._disk import SystemDisk
from perdure.storage._journal import Append, Outcome, Verdict

Appends = list[tuple[Append, Callable[[Outcome], None]]]


async def test_acknowledged_commit_survives_a_crash(tmp_path: Path) -> None:
    store = opened(tmp_path)
    await put(store.root(NAMESPACE, OBJECT_ID), "a", "1")
    await crash(store)

    async with store_in(tmp_path) as again:
        assert again.root(NAMESPACE, OBJECT_ID).open_database().kv_get("a") == "1"


async def test_commit_nobody_acknowledged_is_gone_after_a_crash(tmp_path: Path) -> None:
    store = opened(tmp_path)
    root = store.root(NAMESPACE, OBJECT_ID)
    await put(root, "a", "1")
    root.open_database().kv_put("a", "2")
    committed(root.open_database())
    await crash(store)

    async with store_in(tmp_path) as again:
        assert again.root(NAMESPACE, OBJECT_ID).open_database().kv_get("a") == "1"


async def test_crash_after_a_recovery_loses_nothing(tmp_path: Path) -> None:
    for turn in range(4):
        store = opened(tmp_path)
        root = store.root(NAMESPACE, OBJECT_ID)
        assert root.open_database().kv_get("a") == (str(turn) if turn else None)
        await put(root, "a", str(turn + 1))
        await crash(store)


async def test_clean_stop_leaves_plain_files(tmp_path: Path) -> None:
    async with store_in(tmp_path) as store:
        await put(store.root(NAMESPACE, OBJECT_ID), "a", "1")

    assert file_names(tmp_path) == {"0.db", "lock", database_file(tmp_path).name}
    with apsw.Connection(str(database_file(tmp_path))) as plain:
        assert plain.execute("SELECT key, value FROM _cf_KV").fetchall() == [("a", "1")]


def file_names(directory: Path) -> set[str]:
    return {path.name for path in directory.rglob("*") if path.is_file()}


async def test_clean_stop_compacts_what_was_not_used_since_a_crash(tmp_path: Path) -> None:
    store = opened(tmp_path)
    await put(store.root(NAMESPACE, OBJECT_ID), "a", "1")
    await crash(store)
    async with store_in(tmp_path):
        pass

    with apsw.Connection(str(database_file(tmp_path))) as plain:
        assert plain.execute("SELECT value FROM _cf_KV").get == "1"


async def test_database_without_commits_leaves_no_file(tmp_path: Path) -> None:
    async with store_in(tmp_path) as store:
        assert store.root(NAMESPACE, OBJECT_ID).open_database().kv_get("a") is None

    assert not list((tmp_path / "objects" / NAMESPACE).iterdir())


async def test_database_closed_and_opened_again_goes_on(tmp_path: Path) -> None:
    async with store_in(tmp_path) as store:
        root = store.root(NAMESPACE, OBJECT_ID)
        for turn in range(3):
            await put(root, f"key {turn}", "1")
            store.release(root)
            assert root.is_idle

        assert [key for key, _ in root.open_database().host_exec("SELECT key, value FROM _cf_KV")] == [
            "key 0",
            "key 1",
            "key 2",
        ]


async def test_second_process_is_told_who_has_the_directory(tmp_path: Path) -> None:
    async with store_in(tmp_path):
        with pytest.raises(DataDirectoryError, match=f"in use by process {os.getpid()}"):
            opened(tmp_path)

    async with store_in(tmp_path):
        pass  # The lock ends with its holder.


async def change_file(directory: Path) -> None:
    async with store_in(directory) as store:
        await put(store.root(NAMESPACE, OBJECT_ID), "a", "1")
    with apsw.Connection(str(database_file(directory))) as other:
        other.execute("UPDATE _cf_KV SET value = '2'")
    other.close()


async def test_file_changed_by_others_is_refused(tmp_path: Path) -> None:
    await change_file(tmp_path)

    store = opened(tmp_path)
    with pytest.raises(DataDirectoryError, match=r"was changed by another program.*adopt_changed_files"):
        store.root(NAMESPACE, OBJECT_ID).open_database()
    await crash(store)


async def test_file_changed_by_others_is_adopted_when_asked_for(tmp_path: Path) -> None:
    await change_file(tmp_path)

    async with store_in(tmp_path, StoreOptions(adopt_changed_files=True)) as store:
        assert store.root(NAMESPACE, OBJECT_ID).open_database().kv_get("a") == "2"
    async with store_in(tmp_path) as store:
        assert store.root(NAMESPACE, OBJECT_ID).open_database().kv_get("a") == "2"


async def test_missing_file_is_named(tmp_path: Path) -> None:
    async with store_in(tmp_path) as store:
        await put(store.root(NAMESPACE, OBJECT_ID), "a", "1")
    database_file(tmp_path).unlink()

    store = opened(tmp_path)
    with pytest.raises(DamagedDataError, match=r"its file `.*` is missing"):
        store.root(NAMESPACE, OBJECT_ID).open_database()
    await crash(store)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ("UPDATE log SET data = substr(data, 1, length(data) - 1) WHERE sequence = 2", "record 2: .* damaged at byte"),
        ("DELETE FROM log WHERE sequence = 2", "the journal holds 2 records, but those from 1 to 3 are needed"),
        ("UPDATE object SET head_digest = x'0000000000000000'", "record 3 is not the one that was acknowledged"),
        ("UPDATE log SET data = (SELECT data FROM log WHERE sequence = 1) WHERE sequence = 2", "calls itself 1"),
        (("UPDATE log SET data = CAST(substr(data, 1, 17) || zeroblob(8) || substr(data, 26) AS BLOB) "
         "WHERE sequence = 2"),
         "record 2 does not follow the record before it"),
    ],
)  # fmt: skip
async def test_damaged_journal_says_what_and_where(tmp_path: Path, damage: str, message: str) -> None:
    store = opened(tmp_path)
    for turn in range(3):
        await put(store.root(NAMESPACE, OBJECT_ID), "a", str(turn))
    await crash(store)
    with apsw.Connection(str(tmp_path / "journal" / "0.db")) as journal:
        journal.execute(damage)
    journal.close()

    store = opened(tmp_path)
    with pytest.raises(DamagedDataError, match=message):
        store.root(NAMESPACE, OBJECT_ID).open_database()
    other = store.root(NAMESPACE, bytes(31) + b"\1")
    await put(other, "a", "1")  # Damage of one object is no other's affair.
    await crash(store)


async def test_compaction_lets_the_journal_forget(tmp_path: Path) -> None:
    async with store_in(tmp_path) as store:
        root = store.root(NAMESPACE, OBJECT_ID)
        for turn in range(5):
            await put(root, "a", str(turn))

        await root.compact()

        assert (root.is_clean, root.log.chain.log_bytes, store._journal.bytes_kept) == (True, 0, 0)
        await put(root, "a", "5")
        assert not root.is_clean


async def test_commits_of_a_sibling_go_on_during_compaction(tmp_path: Path) -> None:
    store = opened(tmp_path)
    root = store.root(NAMESPACE, OBJECT_ID)
    number = root.facet_number(0, "app")
    await root.log.submit(committed(root.open_database()))
    await put(root, "a", "1", number=number)

    compaction = asyncio.create_task(root.compact([number]))
    for turn in range(20):
        await put(root, "a", str(turn))
    await compaction
    await crash(store)

    async with store_in(tmp_path) as again:
        root = again.root(NAMESPACE, OBJECT_ID)
        assert root.open_database().kv_get("a") == "19"
        assert root.open_database(number).kv_get("a") == "1"


async def test_idle_objects_are_compacted_when_the_journal_is_large(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("perdure.storage._store.JOURNAL_BYTES_SOFT_MAX", 0)
    async with store_in(tmp_path) as store:
        root = store.root(NAMESPACE, OBJECT_ID)
        await put(root, "a", "1")
        store.release(root)
        was_due = store.is_compaction_due

        await store.compact_idle()

        assert (was_due, store.is_compaction_due) == (True, False)
        assert store.root(NAMESPACE, OBJECT_ID).open_database().kv_get("a") == "1"


class UnsyncableDisk(SystemDisk):
    is_broken = False

    def sync_file(self, path: Path) -> None:
        if self.is_broken:
            raise OSError(5, "Input/output error", str(path))


async def test_failed_sync_breaks_the_log_and_loses_nothing(tmp_path: Path) -> None:
    disk = UnsyncableDisk()
    store = opened(tmp_path, StoreOptions(disk=disk))
    root = store.root(NAMESPACE, OBJECT_ID)
    await put(root, "a", "1")

    disk.is_broken = True
    with pytest.raises(StorageFailedError, match=r"could not be made durable: .*Input/output error"):
        await root.compact()
    disk.is_broken = False

    assert root.is_broken
    assert store.root(NAMESPACE, OBJECT_ID).open_database().kv_get("a") == "1"
    await store.close()


# ── a journal that refuses ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("verdict", [Verdict.FAILED, Verdict.FENCED])
async def test_refused_append_breaks_the_log_for_good(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, verdict: Verdict
) -> None:
    store = opened(tmp_path)
    root = store.root(NAMESPACE, OBJECT_ID)
    await put(root, "a", "1")
    database = root.open_database()
    monkeypatch.setattr(store._journal, "_write", lambda appends: [Outcome(verdict, reason="no")] * len(appends))
    database.kv_put("a", "2")
    first = root.log.submit(committed(database))
    database.kv_put("a", "3")
    second = root.log.submit(committed(database))

    for commit in (first, second):
        with pytest.raises(StorageFailedError, match="was not made durable: no"):
            await commit
    monkeypatch.undo()
    database.kv_put("a", "4")
    with pytest.raises(StorageFailedError, match="was not made durable: no"):
        await root.log.submit(committed(database))

    assert root.is_broken
    fresh = store.root(NAMESPACE, OBJECT_ID)
    assert fresh is not root
    assert fresh.open_database().kv_get("a") == "1"
    await put(fresh, "a", "5")
    await store.close()


async def test_unknown_outcome_is_asked_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with store_in(tmp_path) as store:
        root = store.root(NAMESPACE, OBJECT_ID)
        write = store._journal._write
        lost = ["first answer", "second answer"]

        def write_and_lose_the_answer(appends: Appends) -> list[Outcome]:
            outcomes = write(appends)
            return [Outcome(Verdict.UNKNOWN) for _ in outcomes] if lost and lost.pop() else outcomes

        monkeypatch.setattr(store._journal, "_write", write_and_lose_the_answer)

        await put(root, "a", "1")

        assert (root.log.chain.known, lost) == (1, [])


async def test_too_much_unacknowledged_leaves_no_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(root_log_module, "ROOT_UNACKNOWLEDGED_BYTES_MAX", 10_000)
    async with store_in(tmp_path) as store:
        root = store.root(NAMESPACE, OBJECT_ID)
        database = root.open_database()
        had_room = [root.log.has_room]
        database.kv_put("a", "x" * 20_000)
        root.log.submit(committed(database))
        had_room.append(root.log.has_room)

        await root.log.wait_for_room()

        assert [*had_room, root.log.has_room] == [True, False, True]


# ── facets ───────────────────────────────────────────────────────────────────────────────────────────────────


async def test_facet_numbers_are_stable_and_files_show_the_tree(tmp_path: Path) -> None:
    async with store_in(tmp_path) as store:
        root = store.root(NAMESPACE, OBJECT_ID)
        outer, inner = root.facet_number(0, "outer"), root.facet_number(1, "inner")
        await root.log.submit(committed(root.open_database()))
        await put(root, "a", "outer", number=outer)
        await put(root, "a", "inner", number=inner)

    assert (outer, inner) == (1, 2)
    assert database_file(tmp_path, ".1").exists()
    assert database_file(tmp_path, ".1.2").exists()
    async with store_in(tmp_path) as store:
        root = store.root(NAMESPACE, OBJECT_ID)
        assert (root.facet_number(0, "outer"), root.facet_numbers(1)) == (1, {"inner": 2})
        assert root.open_database(2).kv_get("a") == "inner"


async def test_deleted_facet_takes_its_subtree_and_its_number_with_it(tmp_path: Path) -> None:
    store = opened(tmp_path)
    root = store.root(NAMESPACE, OBJECT_ID)
    for parent, name in ((0, "outer"), (1, "inner"), (0, "other")):
        root.facet_number(parent, name)
    await root.log.submit(committed(root.open_database()))
    for number in (1, 2, 3):
        await put(root, "a", str(number), number=number)

    await root.delete_facet(1)

    assert not database_file(tmp_path, ".1").exists()
    assert not database_file(tmp_path, ".1.2").exists()
    assert root.facet_numbers(0) == {"other": 3}
    assert root.facet_number(0, "outer") == 4
    await crash(store)
    async with store_in(tmp_path) as again:
        root = again.root(NAMESPACE, OBJECT_ID)
        assert root.facet_numbers(0) == {"other": 3}
        assert root.open_database(3).kv_get("a") == "3"


async def test_number_of_a_turn_rolled_back_is_not_given_out_again(tmp_path: Path) -> None:
    async with store_in(tmp_path) as store:
        root = store.root(NAMESPACE, OBJECT_ID)
        assert root.facet_number(0, "a") == 1
        root.open_database().rollback()

        assert root.facet_numbers(0) == {}
        assert root.facet_number(0, "b") == 2


async def test_facet_is_not_opened_before_its_number_is_committed(tmp_path: Path) -> None:
    async with store_in(tmp_path) as store:
        root = store.root(NAMESPACE, OBJECT_ID)
        number = root.facet_number(0, "a")

        with pytest.raises(InternalError, match="before the root committed its number"):
            root.open_database(number)
        root.open_database().rollback()


async def test_rules_of_facets_are_named(tmp_path: Path) -> None:
    async with store_in(tmp_path) as store:
        root = store.root(NAMESPACE, OBJECT_ID)
        with pytest.raises(FacetError, match=f"the limit is {FACET_NAME_BYTES_MAX}"):
            root.facet_number(0, "x" * 300)
        with pytest.raises(FacetError, match="deeper than 4 levels"):
            root.facet_number(root.facet_number(root.facet_number(root.facet_number(0, "1"), "2"), "3"), "4")
        root.open_database().rollback()
        with pytest.raises(FacetError, match="facet number 9 does not exist"):
            root.open_database(9)


async def test_deleted_object_begins_anew(tmp_path: Path) -> None:
    store = opened(tmp_path)
    root = store.root(NAMESPACE, OBJECT_ID)
    root.facet_number(0, "app")
    root.open_database().alarm.set(5, now_ms=1)
    await root.log.submit(committed(root.open_database()))
    await put(root, "a", "1", number=1)

    await root.delete()

    assert not list((tmp_path / "objects" / NAMESPACE).iterdir())
    assert store.due_alarms(until_ms=10, limit=9) == []
    assert root.open_database().kv_get("a") is None
    assert root.facet_numbers(0) == {}
    await put(root, "b", "2")
    await crash(store)
    async with store_in(tmp_path) as again:
        database = again.root(NAMESPACE, OBJECT_ID).open_database()
        assert (database.kv_get("a"), database.kv_get("b")) == (None, "2")


async def test_object_deleted_and_stopped_leaves_nothing(tmp_path: Path) -> None:
    async with store_in(tmp_path) as store:
        root = store.root(NAMESPACE, OBJECT_ID)
        await put(root, "a", "1")
        await root.delete()

    assert not list((tmp_path / "objects" / NAMESPACE).iterdir())
    with apsw.Connection(str(tmp_path / "journal" / "0.db")) as journal:
        assert journal.execute("SELECT count(*) FROM object").get == 0
    journal.close()


async def test_alarms_change_with_their_commit(tmp_path: Path) -> None:
    store = opened(tmp_path)
    root = store.root(NAMESPACE, OBJECT_ID)
    database = root.open_database()
    told: list[int] = []
    store.watch_alarms(told.append)
    for turn, at_ms in enumerate([500, None, 400]):
        database.kv_put("a", str(turn))
        if at_ms is not None:
            database.alarm.set(at_ms, now_ms=1)
        await root.log.submit(committed(database))
    await crash(store)

    assert told == [500, 400]
    async with store_in(tmp_path) as again:
        (alarm,) = again.due_alarms(until_ms=1000, limit=9)
        assert (alarm.at_ms, alarm.key, alarm.number, alarm.look_ms) == (400, (NAMESPACE, OBJECT_ID), 0, 400)


@pytest.mark.skipif(sys.platform == "win32", reason="permissions are access lists there")
async def test_nobody_else_may_look_into_a_data_directory_that_was_made_here(tmp_path: Path) -> None:
    async with store_in(tmp_path / "data"):
        assert stat.S_IMODE((tmp_path / "data").stat().st_mode) == 0o700


async def test_name_is_kept_with_the_next_commit(tmp_path: Path) -> None:
    store = opened(tmp_path)
    root = store.root(NAMESPACE, OBJECT_ID)
    await put(root, "a", "1")
    assert [entry.name for entry in store.objects(limit=9)] == [None]
    store.root(NAMESPACE, OBJECT_ID, name="né 📦")
    await put(root, "a", "2")
    await crash(store)

    async with store_in(tmp_path) as again:
        (listed,) = again.objects(namespace=NAMESPACE, limit=9)
        assert (listed.key, listed.name, listed.head, listed.is_deleted) == (root.key, "né 📦", 2, False)
        cold = again.root(NAMESPACE, OBJECT_ID)
        cold.open_database()
        assert cold.name == "né 📦"


async def test_name_that_is_no_unicode_is_not_kept(tmp_path: Path) -> None:
    async with store_in(tmp_path) as store:
        root = store.root(NAMESPACE, OBJECT_ID, name="\ud83d")
        await put(root, "a", "1")

        assert root.name is None
        assert [entry.name for entry in store.objects(limit=9)] == [None]
