"""A habit tracker: one check a day, streaks, each visitor in their own time zone."""

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from workers import DurableObject, Response


def streaks(days: Iterable[date], today: date) -> tuple[int, int]:
    """The current streak, which may end yesterday, and the longest one."""
    done = set(days)
    longest = 0
    for day in done:
        if day - timedelta(days=1) in done:
            continue
        length = 1
        while day + timedelta(days=length) in done:
            length += 1
        longest = max(longest, length)
    last = today if today in done else today - timedelta(days=1)
    current = 0
    while last - timedelta(days=current) in done:
        current += 1
    return current, longest


class App(DurableObject):
    def on_start(self):
        self.sql = self.ctx.storage.sql
        self.sql.exec("""
            CREATE TABLE IF NOT EXISTS habits (name TEXT PRIMARY KEY COLLATE NOCASE, since TEXT NOT NULL);
            CREATE TABLE IF NOT EXISTS checks (
                habit TEXT NOT NULL COLLATE NOCASE REFERENCES habits(name), day TEXT NOT NULL,
                UNIQUE (habit, day)
            );
        """)

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.ctx.storage.kv.get("zone", "UTC"))

    def today(self) -> date:
        return datetime.now(UTC).astimezone(self.zone).date()

    async def fetch(self, request):
        match request.method, request.path.strip("/").split("/"):
            case "PUT", ["zone"]:
                return self.set_zone((await request.text()).strip())
            case "GET", ["today"]:
                return Response.json({"today": self.today().isoformat(), "weekday": f"{self.today():%A}"})
            case "POST", ["habits"]:
                name = (await request.json()).get("name", "").strip()
                if not name:
                    return Response.json({"error": "a habit has a name"}, status=400)
                self.sql.exec("INSERT OR IGNORE INTO habits VALUES (?, ?)", name, self.today().isoformat())
                return Response.json(self.summary(name), status=201)
            case "POST", ["habits", name, "checks"]:
                return await self.check(name, request)
            case "GET", ["habits"]:
                names = [row["name"] for row in self.sql.exec("SELECT name FROM habits ORDER BY name")]
                return Response.json([self.summary(name) for name in names])
        return Response("not found", status=404)

    def set_zone(self, name: str):
        try:
            zone = ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError):
            return Response.json({"error": f"unknown time zone {name}"}, status=400)
        self.ctx.storage.kv.put("zone", zone.key)
        offset = datetime(2026, 7, 1, 12, tzinfo=zone).strftime("%z")
        return Response.json({"zone": zone.key, "summer_offset": offset})

    async def check(self, name: str, request):
        if self.sql.exec("SELECT count(*) FROM habits WHERE name = ?", name).scalar() == 0:
            return Response.json({"error": f"no habit called {name}"}, status=404)
        body = await request.text()
        try:
            day = date.fromisoformat(body) if body else self.today()
        except ValueError as error:
            return Response.json({"error": str(error)}, status=400)
        if day > self.today():
            return Response.json({"error": "that day is still to come"}, status=422)
        self.sql.exec("INSERT OR IGNORE INTO checks VALUES (?, ?)", name, day.isoformat())
        return Response.json(self.summary(name))

    def summary(self, name: str) -> dict:
        rows = self.sql.exec("SELECT day FROM checks WHERE habit = ? ORDER BY day", name).raw()
        current, longest = streaks((date.fromisoformat(day) for (day,) in rows), self.today())
        return {"name": name, "current": current, "longest": longest}
