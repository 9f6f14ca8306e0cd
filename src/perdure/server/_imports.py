"""Importing a user's file or folder, and importing it again after a change.

The old modules come back if the new ones fail, so that what is running keeps its globals. Effects: disk, imports.
"""

from __future__ import annotations

import importlib
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Final

from perdure.errors import ConfigurationError, SourceError

_MAIN_NAMES: Final = ("main.py", "app.py", "server.py")
_UNWATCHED: Final = frozenset({"__pycache__", "node_modules", "site-packages"})
_WATCHED_FOLDERS_MAX: Final = 500


@dataclass(frozen=True, slots=True)
class SourceTree:
    """A module to import, `module_name`, found below `folder`."""

    folder: Path
    module_name: str

    def load(self) -> ModuleType:
        """Import the module and what it imports from the folder, anew. Raises SourceError when its code fails."""
        if str(self.folder) not in sys.path:
            sys.path.insert(0, str(self.folder))
        with self._forgotten():
            try:
                return importlib.import_module(self.module_name)
            except Exception as error:
                raise SourceError(_traceback_text(error)) from error

    def watched_folders(self) -> list[Path]:
        """The folders whose files may belong to the program: no hidden ones, no packages of others."""
        folders = [self.folder]
        for folder in folders:
            if len(folders) > _WATCHED_FOLDERS_MAX:
                break
            folders += [child for child in folder.iterdir() if child.is_dir() and _may_hold_sources(child)]
        return folders[:_WATCHED_FOLDERS_MAX]

    @contextmanager
    def _forgotten(self) -> Iterator[None]:
        """Forget our modules for a while; they come back if the block fails."""
        old = {name: module for name, module in sys.modules.items() if self._holds(module)}
        for name in old:
            del sys.modules[name]
        importlib.invalidate_caches()
        # A .pyc is taken for current when size and second agree, which two quick saves can manage.
        writes_bytecode, sys.dont_write_bytecode = not sys.dont_write_bytecode, True
        try:
            yield
        except BaseException:
            for name in [name for name, module in sys.modules.items() if self._holds(module)]:
                del sys.modules[name]
            sys.modules.update(old)
            raise
        finally:
            sys.dont_write_bytecode = not writes_bytecode

    def _holds(self, module: ModuleType) -> bool:
        file = getattr(module, "__file__", None)
        if not file or module.__name__.partition(".")[0] in {"__main__", "perdure"}:  # perdure may stand in a checkout.
            return False
        path = Path(file)
        return path.is_relative_to(self.folder) and not _UNWATCHED.intersection(path.parts)


def find_source(target: str) -> tuple[SourceTree, str | None]:
    """The source at `PATH` or `PATH:name`, and the name. Raises ConfigurationError when there is none."""
    text, colon, name = target.rpartition(":")
    if not colon or not name.isidentifier():
        text, name = target, ""
    path = Path(text or ".").resolve()
    if path.is_dir():
        path = _main_file(path)
    elif not path.is_file():
        raise ConfigurationError(f"there is nothing at `{text}`: give a Python file or a folder with one")
    if path.suffix != ".py":
        raise ConfigurationError(f"`{path.name}` is no Python file: give a .py file, or a folder with one")
    return source_tree(path), name or None


def _main_file(folder: Path) -> Path:
    files = sorted(folder.glob("*.py"))
    by_name = {file.name: file for file in files}
    for name in (*_MAIN_NAMES, f"{folder.name}.py", "__init__.py"):
        if name in by_name:
            return by_name[name]
    if len(files) == 1:
        return files[0]
    there = ", ".join(f"`{name}`" for name in by_name) or "no .py file"
    raise ConfigurationError(f"`{folder}` has {there}: name the file to serve, or call it `main.py`")


def source_tree(file: Path) -> SourceTree:
    """The import name of a file: dotted when it belongs to a package, so that relative imports work."""
    parts = [] if file.stem == "__init__" else [file.stem]
    folder = file.parent
    while (folder / "__init__.py").exists():
        parts.insert(0, folder.name)
        folder = folder.parent
    if not all(part.isidentifier() for part in parts):
        raise ConfigurationError(f"`{file.name}` cannot be imported: rename it to letters, digits and underscores")
    if parts[0] in sys.stdlib_module_names:
        raise ConfigurationError(f"`{file.name}` has the name of a module of Python's own: rename it")
    return SourceTree(folder=folder, module_name=".".join(parts))


def _may_hold_sources(folder: Path) -> bool:
    if folder.name.startswith(".") or folder.name in _UNWATCHED:
        return False
    return not (folder / "pyvenv.cfg").exists() and not (folder / "journal" / "0.db").exists()


def _traceback_text(error: Exception) -> str:
    """The traceback without the frames of ours and of the import system."""
    summary = traceback.TracebackException.from_exception(error)
    theirs = [frame for frame in summary.stack if frame.filename != __file__ and "importlib" not in frame.filename]
    summary.stack = traceback.StackSummary.from_list(theirs)
    text = "".join(summary.format()).strip()
    return text if theirs else text.removeprefix("Traceback (most recent call last):\n")
