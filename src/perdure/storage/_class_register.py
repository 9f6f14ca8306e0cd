"""Which classes there are, and which migrations made them so: remembered beside the objects, in a file of its own.

Each version is a new file, with a digest of what it holds, and durable before the one before it goes. Effects: disk.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Final

from perdure.errors import DataDirectoryError, StorageFailedError
from perdure.storage._disk import Disk, SystemDisk
from perdure.storage._layout import Layout

_DIGEST_BYTES: Final = 16


class ClassRegister:
    """The register of one data directory. Reading needs no lock; whoever writes has the directory's."""

    def __init__(self, directory: Path, disk: Disk | None = None) -> None:
        self._layout = Layout(directory.absolute())
        self._disk = disk or SystemDisk()

    def read(self) -> object:
        """The JSON tree that was written last; None when none was. Raises DataDirectoryError when it is damaged."""
        versions = self._versions()
        for number in reversed(versions):
            text = _intact_or_none(self._layout.classes(number))
            if text is not None:
                return json.loads(text)
        if versions:
            raise DataDirectoryError(
                f"`{self._layout.classes(versions[-1])}` is damaged: it says which objects belong to which class; "
                "bring it back from a backup"
            )
        return None

    def write(self, tree: object) -> None:
        """Remember a tree in place of the one before. Raises StorageFailedError, and then either holds."""
        versions = self._versions()
        text = json.dumps(tree, indent=1, sort_keys=True)
        path = self._layout.classes((versions[-1] if versions else 0) + 1)
        try:
            self._disk.make_directory(path.parent)
            self._disk.write_new_file(path, f"{_digest(text)}\n{text}\n".encode())
            self._disk.sync_file(path)
            self._disk.sync_directory(path.parent)
            for number in versions:
                self._disk.unlink(self._layout.classes(number))
        except OSError as error:
            raise StorageFailedError(f"which classes there are cannot be written to `{path}`: {error}") from error

    def _versions(self) -> list[int]:
        names = (path.stem for path in self._layout.classes(0).parent.glob("*.json"))
        return sorted(int(name) for name in names if name.isdecimal())


def _intact_or_none(path: Path) -> str | None:
    """What was written, unless the file is not what was written. It may go while it is looked at."""
    try:
        digest, _, text = path.read_text(encoding="utf-8").partition("\n")
    except (FileNotFoundError, UnicodeDecodeError):
        return None
    return text if digest == _digest(text.removesuffix("\n")) else None


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=_DIGEST_BYTES).hexdigest()
