"""Findings: what a checkup of a data directory has to say, as values. Effects: none."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from perdure.storage._layout import ObjectKey


class Level(Enum):
    """Whether something is wrong, or only worth knowing."""

    PROBLEM = "problem"
    NOTE = "note"


class Repair(Enum):
    """What can be done about a finding without losing anything."""

    MOVE = "move it to lost+found"
    REMOVE = "remove it"
    RECOVER = "recover what the crash left"
    RESTATE_ALARM = "tell the index of alarms what the database says"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was found. `path` is the file it is about; `key` and `number` the database, if it is one's."""

    level: Level
    text: str
    repair: Repair | None = None
    path: Path | None = None
    key: ObjectKey | None = None
    number: int = 0


def problem(
    text: str, *, repair: Repair | None = None, path: Path | None = None, key: ObjectKey | None = None, number: int = 0
) -> Finding:
    """Something is wrong."""
    return Finding(Level.PROBLEM, text, repair, path, key, number)


def note(text: str, *, repair: Repair | None = None, path: Path | None = None) -> Finding:
    """Worth knowing."""
    return Finding(Level.NOTE, text, repair, path)
