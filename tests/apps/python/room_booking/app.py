"""A booking calendar for meeting rooms that refuses overlaps."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Self

from perdure import DurableObject, Response

ROOMS = ("attic", "cellar", "garden")


class BookingError(Exception):
    def __init__(self, message: str, status: int = 400, **details):
        super().__init__(message)
        self.status = status
        self.details = details


@dataclass(slots=True, order=True)
class Slot:
    start: datetime
    end: datetime

    @classmethod
    def parse(cls, data: dict) -> Self:
        try:
            start, end = (datetime.fromisoformat(data[key]) for key in ("start", "end"))
        except (KeyError, TypeError, ValueError) as error:
            raise BookingError(f"start and end are ISO times: {error}") from error
        if start.tzinfo is None or end.tzinfo is None:
            raise BookingError("times need a time zone")
        if not timedelta(0) < end - start <= timedelta(hours=8):
            raise BookingError("a booking lasts up to eight hours", minutes=int((end - start).total_seconds() // 60))
        return cls(start.astimezone(UTC), end.astimezone(UTC))

    @property
    def minutes(self) -> int:
        return int((self.end - self.start) / timedelta(minutes=1))


class App(DurableObject):
    def __init__(self, ctx, env):
        super().__init__(ctx, env)
        ctx.storage.sql.exec("""
            create table if not exists bookings(
                id integer primary key, room text not null, who text not null,
                start_ts integer not null, end_ts integer not null, check (end_ts > start_ts)
            )
        """)
        ctx.storage.sql.exec("create index if not exists by_room on bookings(room, start_ts)")

    async def fetch(self, request):
        try:
            return await self.route(request)
        except BookingError as error:
            return Response.json({"error": str(error), **error.details}, status=error.status)
        except json.JSONDecodeError:
            return Response.json({"error": "that is no JSON"}, status=400)

    async def route(self, request):
        parts = [part for part in request.path.split("/") if part]
        match request.method, parts:
            case "POST", ["rooms", room, "bookings"]:
                return self.book(room, await request.json())
            case "GET", ["rooms", room, "bookings"]:
                return Response.json(self.bookings(room, request.query.get("day")))
            case "DELETE", ["bookings", number]:
                row = self.ctx.storage.sql.exec("delete from bookings where id = ? returning who", number).all()
                if not row:
                    raise BookingError("no such booking", 404)
                return Response.json({"cancelled": row[0]["who"]})
            case _, ["rooms", *_]:
                raise BookingError("not like this", 405)
        raise BookingError("nothing here", 404)

    def book(self, room: str, data: dict):
        if room not in ROOMS:
            raise BookingError(f"there is no {room}; there are {', '.join(ROOMS)}", 404)
        slot = Slot.parse(data)
        who = data.get("who") or "somebody"
        start, end = int(slot.start.timestamp()), int(slot.end.timestamp())
        taken = self.ctx.storage.sql.exec(
            "select who, start_ts from bookings where room = ? and start_ts < ? and end_ts > ? limit 1",
            room, end, start,
        ).all()
        if taken:
            since = datetime.fromtimestamp(taken[0]["start_ts"], UTC)
            raise BookingError("the room is taken", 409, by=taken[0]["who"], since=f"{since:%H:%M}")
        number = self.ctx.storage.sql.exec(
            "insert into bookings(room, who, start_ts, end_ts) values (?, ?, ?, ?) returning id", room, who, start, end
        ).scalar()
        return Response.json({"id": number, "room": room, "minutes": slot.minutes}, status=201)

    def bookings(self, room: str, day: str | None) -> list[dict]:
        query = """
            select id, who, strftime('%Y-%m-%dT%H:%MZ', start_ts, 'unixepoch') as start,
                   (end_ts - start_ts) / 60 as minutes
            from bookings where room = :room and (:day is null or date(start_ts, 'unixepoch') = :day) order by start_ts
        """
        return self.ctx.storage.sql.exec(query.replace(":room", "?1").replace(":day", "?2"), room, day).all()
