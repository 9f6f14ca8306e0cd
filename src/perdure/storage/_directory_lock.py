"""DirectoryLock: one process at a time owns a data directory.

The lock is the kernel's: it ends with the process, however that ends. Effects: disk, process.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from perdure.errors import DirectoryInUseError, StorageFailedError


class DirectoryLock:
    """Held from construction to `release`. Raises DirectoryInUseError naming the process that holds it."""

    def __init__(self, path: Path) -> None:
        try:
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise StorageFailedError(f"data directory `{path.parent}` cannot be locked: {error}") from error
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.pread(self._descriptor, 64, 0).decode(errors="replace").strip()
            os.close(self._descriptor)
            raise DirectoryInUseError(
                f"data directory `{path.parent}` is in use by process {holder or 'unknown'}: "
                "stop it first, or choose another directory"
            ) from error
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Let others open the directory."""
        os.close(self._descriptor)
