"""Compiled code on disk: compiling a guest image takes seconds, mapping it takes milliseconds.

The files hold native code that this process will run, so nobody else may be able to write them: the directory belongs
to us and to us alone, and anything else is refused. A file's name holds everything its content depends on; a file
that Wasmtime rejects (another CPU, a torn disk) is made again.
Effects: disk.
"""

from __future__ import annotations

import hashlib
import os
import stat
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final, Protocol, TypeVar

from wasmtime import Engine as WasmtimeEngine
from wasmtime import WasmtimeError

from perdure.errors import ConfigurationError
from perdure.isolates._images import Image

_GROUP_OR_OTHERS_WRITE: Final = stat.S_IWGRP | stat.S_IWOTH
_KEPT_PER_LANGUAGE: Final = 3  # one per installed version in use, and one to go back to


class Compiled(Protocol):
    """What a component and a core module have in common."""

    def serialize(self) -> bytearray: ...


CompiledT = TypeVar("CompiledT", bound=Compiled)


class CodeCache:
    """The compiled images of this user."""

    def __init__(self, directory: Path | None, *, configuration: str, on_progress: Callable[[str], None]) -> None:
        self._directory = directory if directory is not None else default_directory()
        self._configuration = configuration
        self._on_progress = on_progress

    def load(
        self,
        image: Image,
        engine: WasmtimeEngine,
        *,
        compile_code: Callable[[WasmtimeEngine, bytes], CompiledT],
        map_file: Callable[[WasmtimeEngine, str], CompiledT],
    ) -> CompiledT:
        """The compiled image, mapped from disk; compiled first if it is not there. Raises ConfigurationError."""
        claim_directory(self._directory)
        path = self._directory / f"{image.language}-{self._key(image)}.cwasm"
        with suppress(WasmtimeError):
            found = map_file(engine, str(path))
            os.utime(path)  # What is in use is the last to be thrown out.
            return found
        self._on_progress(f"compiling the {image.language} sandbox for this machine, once: about ten seconds")
        compiled = compile_code(engine, image.read())
        _write_atomically(path, compiled.serialize())
        self._forget_old(image.language)
        self._on_progress(f"the {image.language} sandbox is compiled")
        # Mapped rather than kept: the pages are then shared with other processes, and cost no heap.
        return map_file(engine, str(path))

    def _key(self, image: Image) -> str:
        return hashlib.sha256(f"{self._configuration}\n{image.digest}".encode()).hexdigest()[:32]

    def _forget_old(self, language: str) -> None:
        files = sorted(self._directory.glob(f"{language}-*.cwasm"), key=lambda path: path.stat().st_mtime, reverse=True)
        for path in files[_KEPT_PER_LANGUAGE:]:
            path.unlink(missing_ok=True)


def default_directory() -> Path:
    """Where this platform keeps a user's caches."""
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "perdure"


def claim_directory(directory: Path) -> None:
    """Make `directory` if need be, and make sure that only we can write to it. Raises ConfigurationError."""
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = directory.lstat()
    except OSError as error:
        raise ConfigurationError(
            f"cannot use `{directory}` for compiled code ({error.strerror}): "
            "give `cache_directory` a directory of your own"
        ) from error
    if sys.platform == "win32":
        return  # A profile's AppData is private by its access list, which `stat` cannot tell.
    refusal = _refusal(found, user=os.geteuid())
    if refusal:
        raise ConfigurationError(
            f"the cache of compiled code `{directory}` {refusal}, so its content cannot be trusted: "
            f"remove it, or run `chmod 700` on it, or give `cache_directory` a directory of your own"
        )


def _refusal(found: os.stat_result, *, user: int) -> str | None:
    if not stat.S_ISDIR(found.st_mode):
        return "is no plain directory"
    if found.st_uid != user:
        return f"belongs to user {found.st_uid}, not to us ({user})"
    if found.st_mode & _GROUP_OR_OTHERS_WRITE:
        return "can be written by other users"
    return None


def _write_atomically(path: Path, content: bytes | bytearray) -> None:
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=path.stem, suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
