"""A paste bin: what is pasted expires by itself."""

import html
import re
import secrets
from datetime import UTC, datetime, timedelta
from urllib.parse import unquote

from workers import DurableObject, Response

UNITS = {"m": "minutes", "h": "hours", "d": "days"}
MAX_SIZE = 100_000


def parse_duration(text: str) -> timedelta:
    if not (found := re.fullmatch(r"(\d+)\s*([mhd])", text.strip().lower())):
        raise ValueError(f"not a duration: {text!r}, try 10m, 2h or 7d")
    number, unit = found.groups()
    return timedelta(**{UNITS[unit]: int(number)})


class App(DurableObject):
    async def on_start(self):
        self.sql = self.ctx.storage.sql
        self.sql.exec(
            """CREATE TABLE IF NOT EXISTS pastes (
                id TEXT PRIMARY KEY, title TEXT, content TEXT NOT NULL, expires_at REAL, views INTEGER DEFAULT 0
            )"""
        )
        self.sql.exec("CREATE INDEX IF NOT EXISTS pastes_expires ON pastes (expires_at)")

    async def fetch(self, request):
        path = unquote(request.path)
        if request.method == "POST" and path == "/":
            return await self.create(request)
        if path == "/stats":
            return Response.json(self.sql.exec("SELECT COUNT(*) AS pastes, SUM(views) AS views FROM pastes").one())
        if request.method == "GET" and (found := re.fullmatch(r"/(raw/)?([\w-]+)", path)):
            return self.show(found[2], raw=bool(found[1]))
        return Response("Paste something: POST to /\n", status=404 if path != "/" else 200)

    async def create(self, request):
        form = await request.form()
        content = form.get("content", "")
        if not content:
            return Response("There is nothing to paste\n", status=400)
        if len(content) > MAX_SIZE:
            return Response("Too long\n", status=413)
        try:
            lifetime = parse_duration(form.get("expires", "1h"))
        except ValueError as error:
            return Response(f"{error}\n", status=400)
        paste_id = secrets.token_urlsafe(6)
        expires_at = datetime.now(UTC) + lifetime
        self.sql.exec(
            "INSERT INTO pastes (id, title, content, expires_at) VALUES (?, ?, ?, ?)",
            paste_id, form.get("title"), content, expires_at.timestamp(),
        )
        await self.schedule()
        return Response.json(
            {"id": paste_id, "expires": expires_at.isoformat(timespec="seconds")},
            status=201,
            headers={"Location": f"/{paste_id}"},
        )

    async def schedule(self):
        earliest = self.sql.exec("SELECT MIN(expires_at) FROM pastes").scalar()
        if earliest is None:
            await self.ctx.storage.delete_alarm()
        else:
            await self.ctx.storage.set_alarm(datetime.fromtimestamp(earliest, UTC))

    async def alarm(self):
        deleted = self.sql.exec("DELETE FROM pastes WHERE expires_at <= ?", datetime.now(UTC).timestamp()).rows_written
        print(f"{deleted} pastes have expired")
        await self.schedule()

    def show(self, paste_id: str, raw: bool):
        rows = self.sql.exec("UPDATE pastes SET views = views + 1 WHERE id = ? RETURNING *", paste_id).all()
        if not rows:
            return Response("No such paste, or it has expired\n", status=404)
        paste = rows[0]
        if raw:
            return Response(paste["content"])
        title = html.escape(paste["title"] or "Untitled")
        lines = "\n".join(f"{n:>4}  {html.escape(line)}" for n, line in enumerate(paste["content"].splitlines(), 1))
        return Response.html(f"<title>{title}</title><h1>{title}</h1><pre>{lines}</pre><p>{paste['views']} views</p>")
