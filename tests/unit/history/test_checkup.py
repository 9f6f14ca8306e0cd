"""What the doctor says of histories: each damage by its file and what it costs, and nothing of what is whole."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.unit.history.history_world import NAMESPACE, OBJECT_ID, HistoryWorld
from tests.unit.history.test_damage import put

from perdure.clock import SystemClock
from perdure.history import HistoryOptions, SegmentArchive, _archive, check_histories
from perdure.storage import (
    Finding,
    JournalReader,
    Layout,
    ObjectKey,
    Repair,
    decode_header,
    move_to_lost_and_found,
)
from perdure.storage._disk import SystemDisk

NAME = f"{NAMESPACE}/{OBJECT_ID.hex()}"


async def filled(directory: Path) -> HistoryWorld:
    """An object whose history is several files."""
    world = HistoryWorld(directory)
    async with world.store() as store:
        root = store.root(NAMESPACE, OBJECT_ID)
        for number in range(30):
            await put(root, f"value {number}" * 20)
            if number % 10 == 9:
                await root.compact()
                await root.archive()
    return world


def said(world: HistoryWorld) -> list[Finding]:
    reader = JournalReader(Layout(world.directory).journal)
    try:
        layout = Layout(world.directory)
        return list(check_histories(layout, archived=reader.archived_or_none, digest=reader.digest_or_none))
    finally:
        reader.close()


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> HistoryWorld:
    monkeypatch.setattr(_archive, "HISTORY_SEGMENT_BYTES", 1)
    world = asyncio.run(filled(tmp_path))
    assert len(world.files) >= 3
    assert said(world) == []
    return world


def test_a_file_that_was_cut_at_any_byte_is_named(world: HistoryWorld) -> None:
    path = world.files[1]
    content = path.read_bytes()

    for size in range(len(content)):
        path.write_bytes(content[:size])
        assert any(str(path) in finding.text or "lacks records" in finding.text for finding in said(world)), size

    path.write_bytes(content)
    assert said(world) == []


def test_a_flipped_bit_anywhere_is_named(world: HistoryWorld) -> None:
    path = world.files[1]
    content = path.read_bytes()

    for place in range(len(content)):
        path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        assert any(str(path) in finding.text for finding in said(world)), place


@pytest.mark.parametrize(
    ("which", "text"), [(1, f"the history of `{NAME}` lacks records "), (-1, f"the history of `{NAME}` ends before ")]
)
def test_a_missing_file_is_noticed(world: HistoryWorld, which: int, text: str) -> None:
    world.files[which].unlink()

    (finding,) = said(world)

    assert text in finding.text


def of_later_version(content: bytes) -> bytes:
    return content[:8] + b"\x63" + content[9:]


@pytest.mark.parametrize("change", [of_later_version, lambda content: b"", lambda content: b"garbage" * 100])
def test_a_file_that_is_no_history_is_named(world: HistoryWorld, change: Callable[[bytes], bytes]) -> None:
    path = world.files[0]
    path.write_bytes(change(path.read_bytes()))

    assert f"`{path}` cannot be read: its header is damaged, or of another version" in said(world)[0].text


def test_a_foreign_file_can_be_moved(world: HistoryWorld) -> None:
    path = world.files[0].with_name("notes.txt")
    path.write_text("mine")

    (finding,) = said(world)

    assert (finding.text, finding.repair) == (f"`{path}` is not perdure's", Repair.MOVE)


def test_files_of_another_object_are_noticed(world: HistoryWorld, tmp_path: Path) -> None:
    directory = world.files[0].parent
    last = max(directory.iterdir())
    foreign = directory.with_name("ab" * 32)
    foreign.mkdir()
    last.rename(foreign / last.name)

    assert f"the history of `{NAME}` ends before record" in " ".join(finding.text for finding in said(world))


def test_what_cannot_be_read_is_named_and_the_rest_is_checked(world: HistoryWorld) -> None:
    (world.files[0].parent / "a.records").mkdir()
    other = world.files[0].parent.with_name("ab" * 32)
    other.mkdir()
    (other / "notes.txt").touch()

    texts = " ".join(finding.text for finding in said(world))

    assert f"the history of `{NAME}` cannot be read: " in texts
    assert "notes.txt` is not perdure's" in texts


@pytest.mark.parametrize("where", ["beside records", "behind the last record", "alone"])
def test_an_image_that_a_failed_fork_left_is_named_and_can_be_moved(world: HistoryWorld, where: str) -> None:
    key = ObjectKey(NAMESPACE, OBJECT_ID if where != "alone" else b"\xab" * 32)
    sequence = {"beside records": 12, "behind the last record": 31, "alone": 1}[where]
    archive = SegmentArchive(Layout(world.directory), SystemDisk(), SystemClock(), HistoryOptions())
    archive.begin(key, sequence=sequence, digest=b"x" * 32, files={})

    (finding,) = said(world)

    assert "is no image of this object: a fork or import that failed has left it" in finding.text
    assert finding.repair is Repair.MOVE
    assert finding.path == Layout(world.directory).history(key) / f"{sequence:016x}.base"
    move_to_lost_and_found(Layout(world.directory), finding.path)
    assert said(world) == []


@pytest.mark.parametrize("sequence", [10, 30])
def test_an_image_of_the_object_is_left_alone(world: HistoryWorld, sequence: int) -> None:
    reader = JournalReader(Layout(world.directory).journal)
    archive = SegmentArchive(Layout(world.directory), SystemDisk(), SystemClock(), HistoryOptions())
    key = ObjectKey(NAMESPACE, OBJECT_ID)
    following = next(archive.records(key, after=sequence), None)
    digest = reader.digest_or_none(key, sequence) if following is None else decode_header(following).previous_digest
    reader.close()
    assert digest
    archive.begin(key, sequence=sequence, digest=digest, files={})

    assert said(world) == []


def test_what_is_left_of_a_history_that_was_switched_off_is_named(world: HistoryWorld) -> None:
    world.keeps_history = False

    async def go_on() -> None:
        async with world.store() as store:
            root = store.root(NAMESPACE, OBJECT_ID)
            await put(root, "later")
            await root.compact()

    asyncio.run(go_on())

    (finding,) = said(world)
    assert "no history was kept (`history=None`)" in finding.text
    assert str(world.files[0].parent) in finding.text
    assert finding.repair is None  # It may be read, and what is moved cannot.
