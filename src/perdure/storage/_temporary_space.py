"""The place where SQLite puts what it sorts, when that outgrows memory.

SQLite neither bounds these files nor tells how big they are. They are gone when their statement ends; until then a
statement must leave free what everything else needs. Effects: disk.
"""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import Final

_PLACES: Final = ("/var/tmp", "/usr/tmp", "/tmp", ".")  # noqa: S108  # where SQLite looks, in its order


def free_temporary_bytes() -> int:
    """What is free for SQLite's temporary files. Costs 1 µs."""
    free = os.statvfs(temporary_directory())
    return free.f_bavail * free.f_frsize


@cache
def temporary_directory() -> Path:
    """The directory SQLite chooses."""
    chosen = (os.environ.get("SQLITE_TMPDIR"), os.environ.get("TMPDIR"), *_PLACES)
    usable = (Path(place) for place in chosen if place and os.access(place, os.W_OK | os.X_OK))
    return next((place for place in usable if place.is_dir()), Path())
