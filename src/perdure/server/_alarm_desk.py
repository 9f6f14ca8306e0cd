"""Alarms as an operator sees them: the journal's index of what is pending, and the row of each database.

Effects: clock, tasks.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime

from perdure.clock import Clock
from perdure.errors import UnknownObjectError, UsageError
from perdure.objects import Directory
from perdure.server._admin_requests import Answer, CancelAlarm, ListAlarms, SetAlarm
from perdure.server._finder import Finder
from perdure.server._references import facet_paths, reference
from perdure.storage import AlarmRow, Database, DueAlarm, ObjectKey, Store


class AlarmDesk:
    """Lists, cancels and sets alarms."""

    def __init__(self, store: Store, directory: Directory, finder: Finder, clock: Clock) -> None:
        self._store = store
        self._directory = directory
        self._finder = finder
        self._clock = clock

    async def list(self, request: ListAlarms) -> Answer:
        """Pending alarms: of all objects from the index, of one object from its databases."""
        if request.object:
            return await self._list_of_one(request)
        page = self._store.alarms(limit=request.limit + 1, after=_alarm_or_none(request.after))
        shown = page[: request.limit]
        names: dict[ObjectKey, dict[int, tuple[str, ...]]] = {}
        items: list[object] = []
        for alarm in shown:
            if alarm.number and alarm.key not in names:
                names[alarm.key] = dict(facet_paths(await self._finder.facets(alarm.key)))
            path = names[alarm.key].get(alarm.number, (f"facet {alarm.number}",)) if alarm.number else ()
            items.append({"object": reference(alarm.key, alarm.name, path), "at_ms": alarm.at_ms})
        summary: dict[str, object] = {"count": len(items)}
        if len(page) > len(shown):
            summary["after"] = _alarm_text(shown[-1])
        return Answer(items, summary)

    async def _list_of_one(self, request: ListAlarms) -> Answer:
        target = await self._finder.find(request.object)
        paths = [path for _, path in facet_paths(await self._finder.facets(target.key))]
        items: list[object] = []
        for path in [(), *paths]:
            if path[: len(target.path)] == target.path:
                row = await self._directory.visit(target.key, path, _row_or_none, cause="perdure alarms")
                if row is not None:
                    name = reference(target.key, target.listed.name, path)
                    items.append({"object": name, "at_ms": row.attempt_ms, "retries": row.retries})
        return Answer(items, {"count": len(items)})

    async def cancel(self, request: CancelAlarm) -> Answer:
        """Delete the alarm of one database."""
        target = await self._finder.find(request.object)
        row = await self._directory.visit(
            target.key, target.path, _cancel, cause="perdure alarms cancel", may_write=True
        )
        if row is None:
            raise UnknownObjectError(f"`{target.text}` has no alarm")
        undo = ["perdure", "alarms", "set", target.text, _time_text(row.scheduled_ms)]
        return Answer(summary={"object": target.text, "at_ms": row.scheduled_ms, "undo": undo})

    async def set(self, request: SetAlarm) -> Answer:
        """Set the alarm of one database."""
        target = await self._finder.find(request.object)
        now_ms = self._clock.now_ms()

        def set_(database: Database) -> tuple[AlarmRow | None, AlarmRow | None]:
            before = database.alarm.row_or_none()
            database.alarm.set(request.at_ms, now_ms=now_ms)
            return before, database.alarm.row_or_none()

        before, after = await self._directory.visit(
            target.key, target.path, set_, cause="perdure alarms set", may_write=True
        )
        assert after is not None, "an alarm that was set is there"
        undo = (
            ["perdure", "alarms", "cancel", target.text]
            if before is None
            else ["perdure", "alarms", "set", target.text, _time_text(before.scheduled_ms)]
        )
        return Answer(summary={"object": target.text, "at_ms": after.scheduled_ms, "undo": undo})


def _row_or_none(database: Database) -> AlarmRow | None:
    return database.alarm.row_or_none()


def _cancel(database: Database) -> AlarmRow | None:
    row = database.alarm.row_or_none()
    database.alarm.delete()
    return row


def _time_text(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _alarm_text(alarm: DueAlarm) -> str:
    return json.dumps([alarm.look_ms, alarm.key.namespace, alarm.key.object_id.hex(), alarm.number])


def _alarm_or_none(text: str) -> DueAlarm | None:
    """The place in `text`, which `_alarm_text` wrote."""
    if not text:
        return None
    try:
        match json.loads(text):
            case [int(look_ms), str(namespace), str(digits), int(number)]:
                return DueAlarm(look_ms, ObjectKey(namespace, bytes.fromhex(digits)), number, None, look_ms)
            case _:
                pass
    except (ValueError, RecursionError):
        pass  # It is refused below.
    raise UsageError(f"`{text[:80]}` is no place to go on after: give what the former answer said")
