"""The project's own files, as text and as syntax trees, for the tests that read them.

Each file is read and parsed once per run.
"""

from __future__ import annotations

import ast
import functools
import subprocess
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "src" / "perdure"


@dataclass(frozen=True)
class Module:
    """One Python file of the package."""

    path: Path
    text: str
    tree: ast.Module

    @property
    def place(self) -> str:
        """The path as a reader would write it: `storage/_record.py`."""
        return self.path.relative_to(PACKAGE).as_posix()

    @property
    def room(self) -> str:
        """`storage` for `storage/_record.py`; the empty string for `perdure/__init__.py`."""
        parts = self.path.relative_to(PACKAGE).with_suffix("").parts
        return "" if parts == ("__init__",) else parts[0]

    @property
    def is_door(self) -> bool:
        return self.path.name == "__init__.py"


@functools.cache
def modules() -> tuple[Module, ...]:
    """Every Python file of the package, in order of path."""
    return tuple(_module(path) for path in sorted(PACKAGE.rglob("*.py")))


def _module(path: Path) -> Module:
    text = path.read_text(encoding="utf-8")
    return Module(path, text, ast.parse(text, filename=str(path)))


@functools.cache
def tracked_files() -> tuple[Path, ...]:
    """Every file git tracks or would track; in an unpacked archive, every file outside the ignored folders."""
    listing = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        check=False,
    )
    if listing.returncode == 0:
        found = (ROOT / name for name in listing.stdout.decode().split("\0") if name)
        return tuple(sorted(path for path in found if path.is_file()))
    ignored = {".git", ".venv", "node_modules", "__pycache__", "build", "dist"}
    return tuple(
        sorted(path for path in ROOT.rglob("*") if path.is_file() and not ignored & set(path.relative_to(ROOT).parts))
    )
