"""An append-only event log, read in pages with an opaque cursor."""

import base64
import json
from datetime import UTC, datetime
from typing import Any, NamedTuple
from urllib.parse import urlencode

from workers import DurableObject, Response

LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}


class Cursor(NamedTuple):
    before: int
    level: str

    def encode(self) -> str:
        return base64.urlsafe_b64encode(json.dumps(self).encode()).decode().rstrip("=")

    @classmethod
    def decode(cls, text: str) -> "Cursor":
        try:
            before, level = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
            return cls(int(before), level)
        except (ValueError, TypeError) as error:
            raise ValueError("bad cursor") from error


class App(DurableObject):
    def on_start(self):
        self.ctx.storage.sql.exec("""
            CREATE TABLE IF NOT EXISTS events (
                id INTEGER PRIMARY KEY AUTOINCREMENT, at TEXT NOT NULL, level INTEGER NOT NULL,
                message TEXT NOT NULL, data TEXT NOT NULL DEFAULT '{}' CHECK (json_valid(data))
            )
        """)

    async def fetch(self, request):
        try:
            if request.path == "/events":
                if request.method == "POST":
                    return Response.json({"ids": self.append(await request.json())}, status=201)
                return self.page(request.query)
            if request.path == "/count":
                return Response.json(self.count(request.query.get("user")))
        except ValueError as error:
            return Response.json({"error": str(error)}, status=400)
        return Response.json({"error": "not found"}, status=404)

    def append(self, events: dict | list[dict]) -> list[int]:
        if isinstance(events, dict):
            events = [events]
        ids = []
        with self.ctx.storage.transaction_sync():
            for position, event in enumerate(events):
                match event:
                    case {"message": str(message), **rest} if message:
                        ids.append(self.insert(message, rest.pop("level", "info"), rest))
                    case _:
                        raise ValueError(f"event {position} has no message")
        return ids

    def insert(self, message: str, level: str, data: dict[str, Any]) -> int:
        if level not in LEVELS:
            raise ValueError(f"unknown level {level!r}")
        self.ctx.storage.sql.exec(
            "INSERT INTO events (at, level, message, data) VALUES (?, ?, ?, ?)",
            datetime.now(UTC).isoformat(), LEVELS[level], message, json.dumps(data),
        )
        return self.ctx.storage.sql.exec("SELECT last_insert_rowid()").scalar()

    def page(self, query):
        limit = min(int(query.get("limit", 20)), 100)
        if "cursor" in query:
            cursor = Cursor.decode(query["cursor"])
        else:
            cursor = Cursor(2**62, query.get("level", "debug"))
        if cursor.level not in LEVELS or limit < 1:
            raise ValueError("bad level or limit")
        rows = self.ctx.storage.sql.exec(
            "SELECT * FROM events WHERE id < ? AND level >= ? ORDER BY id DESC LIMIT ?",
            cursor.before, LEVELS[cursor.level], limit + 1,
        ).all()
        rows, more = rows[:limit], len(rows) > limit
        names = {number: name for name, number in LEVELS.items()}
        events = [{**row, "level": names[row["level"]], "data": json.loads(row["data"])} for row in rows]
        following = Cursor(rows[-1]["id"], cursor.level).encode() if more else None
        response = Response.json({"events": events, "next": following})
        if following:
            link = "/events?" + urlencode({"cursor": following, "limit": limit})
            response.headers.set("Link", f'<{link}>; rel="next"')
        return response

    def count(self, user: str | None) -> dict[str, int]:
        rows = self.ctx.storage.sql.exec(
            """SELECT data ->> '$.user' AS user, COUNT(*) AS n FROM events
               WHERE ?1 IS NULL OR data ->> '$.user' = ?1 GROUP BY 1""",
            user,
        )
        return {row["user"] or "nobody": row["n"] for row in rows}
