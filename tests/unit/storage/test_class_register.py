"""The register of classes: the last version that is whole, whatever a crash left."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from perdure.errors import DataDirectoryError, StorageFailedError
from perdure.storage import ClassRegister
from perdure.storage._disk import SystemDisk


class BreakingDisk(SystemDisk):
    """Fails at the n-th act."""

    def __init__(self, at: int) -> None:
        self._left = at

    def _act(self) -> None:
        self._left -= 1
        if self._left == 0:
            raise OSError(5, "it broke")

    def write_new_file(self, path: Path, content: bytes) -> None:
        self._act()
        super().write_new_file(path, content)

    def sync_file(self, path: Path) -> None:
        self._act()
        super().sync_file(path)

    def sync_directory(self, path: Path) -> None:
        self._act()
        super().sync_directory(path)

    def unlink(self, path: Path) -> None:
        self._act()
        super().unlink(path)


def test_what_was_written_last_is_read(tmp_path: Path) -> None:
    register = ClassRegister(tmp_path)
    assert register.read() is None

    for value in ({"a": 1}, {"a": ["é\n"]}):
        register.write(value)
        assert ClassRegister(tmp_path).read() == value

    assert [path.name for path in (tmp_path / "classes").iterdir()] == ["2.json"]


@pytest.mark.parametrize("at", [1, 2, 3, 4])
def test_a_disk_that_fails_leaves_one_of_two_versions(tmp_path: Path, at: int) -> None:
    ClassRegister(tmp_path).write("old")

    with pytest.raises(StorageFailedError, match="which classes there are cannot be written"):
        ClassRegister(tmp_path, BreakingDisk(at)).write("new")

    assert ClassRegister(tmp_path).read() in {"old", "new"}
    ClassRegister(tmp_path).write("newest")
    assert ClassRegister(tmp_path).read() == "newest"


CUTS: list[Callable[[bytes], bytes]] = [lambda _: b"", lambda text: text[:-5], lambda text: b"\xff" + text]


@pytest.mark.parametrize("cut", CUTS)
def test_a_version_that_is_not_whole_is_passed_over(tmp_path: Path, cut: Callable[[bytes], bytes]) -> None:
    register = ClassRegister(tmp_path)
    register.write("old")
    content = (tmp_path / "classes" / "1.json").read_bytes()
    (tmp_path / "classes" / "2.json").write_bytes(cut(content))

    assert register.read() == "old"
    register.write("new")
    assert register.read() == "new"


def test_a_register_of_which_nothing_is_whole_is_refused(tmp_path: Path) -> None:
    register = ClassRegister(tmp_path)
    register.write("old")
    (tmp_path / "classes" / "1.json").write_text("damaged")

    with pytest.raises(DataDirectoryError, match=r"1\.json` is damaged"):
        register.read()
