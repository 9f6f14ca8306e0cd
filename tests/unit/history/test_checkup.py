"""What the doctor says of histories: each damage by its file and what it costs, and nothing of what is whole."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.unit.history.history_world import NAMESPACE, OBJECT_ID, HistoryWorld
from tests.unit.history.test_damage import put

from perdure.history import _archive, check_histories
from perdure.storage import Finding, JournalReader, Layout, Repair

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
        return list(check_histories(Layout(world.directory), archived=reader.archived_or_none))
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

    assert f"the history of `{NAME}` ends before" in " ".join(finding.text for finding in said(world))


def test_what_cannot_be_read_is_named_and_the_rest_is_checked(world: HistoryWorld) -> None:
    (world.files[0].parent / "a.records").mkdir()
    other = world.files[0].parent.with_name("ab" * 32)
    other.mkdir()
    (other / "notes.txt").touch()

    texts = " ".join(finding.text for finding in said(world))

    assert f"the history of `{NAME}` cannot be read: " in texts
    assert "notes.txt` is not perdure's" in texts
