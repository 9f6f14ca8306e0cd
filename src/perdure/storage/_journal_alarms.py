"""The alarm index: the journal's table of pending alarms, by when to look at them.

It changes in the append that brings the alarm's row, so it holds what is acknowledged and nothing else. Functions over
a connection: the writer's, inside its transaction, or the reader's. Effects: disk.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import apsw

from perdure.storage._journal import AlarmChange, DueAlarm
from perdure.storage._layout import ObjectKey

_SET: Final = (
    "INSERT INTO alarm(object, number, at_ms, look_ms) VALUES (?1, ?2, ?3, ?3) "
    "ON CONFLICT (object, number) DO UPDATE SET at_ms = excluded.at_ms, look_ms = excluded.look_ms"
)
DUE: Final = (
    "SELECT at_ms, namespace, object_id, number, name, look_ms FROM alarm JOIN object ON object.n = alarm.object "
    "WHERE look_ms <= ?1 AND (look_ms, object, number) > "
    "(?2, ifnull((SELECT n FROM object WHERE namespace = ?3 AND object_id = ?4), 0), ?5) "
    "ORDER BY look_ms, object, number LIMIT ?6"
)
"""Walks an index in order, and stops at its bound; a test asks SQLite for its plan."""
_POSTPONE: Final = (
    "UPDATE alarm SET look_ms = ?1 WHERE object = (SELECT n FROM object WHERE namespace = ?2 AND object_id = ?3) "
    "AND number = ?4 AND at_ms = ?5 AND look_ms = ?6"
)
_HURRY: Final = (
    "UPDATE alarm SET look_ms = at_ms WHERE look_ms <> at_ms "
    "AND (?1 IS NULL OR (SELECT namespace FROM object WHERE n = alarm.object) = ?1)"
)


def write_alarms(writer: apsw.Connection, object_row: int, alarms: Mapping[int, AlarmChange]) -> None:
    """Enter what a record says of its object's alarms."""
    for number, alarm in alarms.items():
        if alarm.at_ms is None:
            writer.execute("DELETE FROM alarm WHERE object = ? AND number = ?", (object_row, number))
        else:
            writer.execute(_SET, (object_row, number, alarm.at_ms))


def write_postponements(writer: apsw.Connection, alarms: Sequence[tuple[DueAlarm, int]]) -> None:
    """See `Journal.postpone_alarms`. An alarm that has changed meanwhile is left alone."""
    writer.executemany(
        _POSTPONE,
        [(until_ms, *alarm.key, alarm.number, alarm.at_ms, alarm.look_ms) for alarm, until_ms in alarms],
    )


def take_back_postponements(writer: apsw.Connection, namespace: str | None) -> None:
    """See `Journal.hurry_alarms`."""
    writer.execute(_HURRY, (namespace,))


def read_due_alarms(reader: apsw.Connection, *, until_ms: int, limit: int, after: DueAlarm | None) -> list[DueAlarm]:
    """See `Journal.due_alarms`."""
    last = (-1, "", b"", 0) if after is None else (after.look_ms, *after.key, after.number)
    return [
        DueAlarm(at_ms, ObjectKey(namespace, object_id), number, name, look_ms)
        for at_ms, namespace, object_id, number, name, look_ms in reader.execute(DUE, (until_ms, *last, limit))
    ]
