"""Lost and found: where repairs put what nobody knows, so that nothing is ever deleted. Effects: disk."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

from perdure.storage._layout import Layout

LOST_AND_FOUND: Final = "lost+found"


def move_to_lost_and_found(layout: Layout, path: Path) -> Path:
    """Move a file or folder of the data directory; where it is now. Its way from the directory is kept."""
    wanted = layout.directory / LOST_AND_FOUND / path.relative_to(layout.directory)
    wanted.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    place, number = wanted, 1
    while place.exists():
        place, number = wanted.with_name(f"{wanted.name}.{number}"), number + 1
    path.rename(place)
    return place


def remove_left_over(layout: Layout, path: Path) -> None:
    """Remove what only a process that has ended could use: its socket, its work under way."""
    assert path == layout.admin_socket or path.parent == layout.temporary, f"`{path}` may be somebody's"
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
