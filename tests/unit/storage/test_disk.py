"""The system's disk really syncs: the power-loss tests replace this port, so here its own calls are watched."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from perdure.storage._disk import SystemDisk


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The inodes that were synced, in order; the syncs still happen."""
    inodes: list[int] = []
    fsync: Callable[[int], None] = os.fsync

    def watched(descriptor: int) -> None:
        inodes.append(os.fstat(descriptor).st_ino)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", watched)
    return inodes


def test_a_file_is_synced(tmp_path: Path, synced: list[int]) -> None:
    file = tmp_path / "a"
    file.write_bytes(b"content")

    SystemDisk().sync_file(file)

    assert synced == [file.stat().st_ino]


def test_a_directory_is_synced(tmp_path: Path, synced: list[int]) -> None:
    SystemDisk().sync_directory(tmp_path)

    assert synced == [tmp_path.stat().st_ino]


def test_a_directory_is_made_durable_with_its_parents(tmp_path: Path, synced: list[int]) -> None:
    SystemDisk().make_directory(tmp_path / "a" / "b")

    assert synced == [tmp_path.stat().st_ino, (tmp_path / "a").stat().st_ino]


def test_what_cannot_be_synced_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        SystemDisk().sync_file(tmp_path / "missing")
