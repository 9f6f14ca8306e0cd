"""A leaderboard for a game: best scores, ranks with ties, the neighbours of a player."""

from html import escape
from itertools import groupby
from operator import itemgetter

from workers import DurableObject, Response

RANKED = """
    WITH best AS (
        SELECT player, MAX(score) AS score, COUNT(*) AS games, AVG(score) AS average FROM scores GROUP BY player
    ), ranked AS (
        SELECT RANK() OVER (ORDER BY score DESC) AS rank,
               ROW_NUMBER() OVER (ORDER BY score DESC, player) AS position,
               player, score, games, ROUND(average, 1) AS average
        FROM best
    )
"""


class App(DurableObject):
    def on_start(self):
        self.sql = self.ctx.storage.sql
        self.sql.exec("CREATE TABLE IF NOT EXISTS scores (player TEXT, score INTEGER NOT NULL, level TEXT) STRICT")
        self.sql.exec("CREATE INDEX IF NOT EXISTS best ON scores (player, score DESC)")

    async def fetch(self, request):
        match (request.method, [part for part in request.path.split("/") if part]):
            case ("GET", []):
                return self.page()
            case ("POST", ["scores"]):
                return self.submit(await request.json())
            case ("GET", ["top", *rest]):
                count = int(rest[0]) if rest and rest[0].isdigit() else 10
                return Response.json(self.top(count))
            case ("GET", ["players", player]):
                return self.around(player)
            case ("GET", ["levels"]):
                return Response.json(self.levels())
            case _:
                return Response.json({"error": "unknown"}, status=404)

    def submit(self, data):
        match data:
            case {"player": str(player), "score": int(score)} if player and 0 <= score < 1_000_000:
                before = self.sql.exec("SELECT MAX(score) FROM scores WHERE player = ?", player).scalar()
                self.sql.exec("INSERT INTO scores VALUES (?, ?, ?)", player, score, data.get("level"))
                is_best = before is None or score > before
                return Response.json({"best": is_best, "rank": self.rank(player)}, status=201)
            case {"player": _, "score": _}:
                return Response.json({"error": "a score is a whole number below a million"}, status=422)
            case _:
                return Response.json({"error": "who, and how many points?"}, status=400)

    def rank(self, player: str) -> int | None:
        return self.sql.exec(RANKED + "SELECT rank FROM ranked WHERE player = ?", player).scalar()

    def top(self, count: int) -> list[dict]:
        return self.sql.exec(RANKED + "SELECT * FROM ranked ORDER BY position LIMIT ?", min(count, 100)).all()

    def around(self, player: str):
        rows = self.sql.exec(
            RANKED + """, me AS (SELECT position FROM ranked WHERE player = ?)
            SELECT ranked.rank, ranked.player, ranked.score FROM ranked, me
            WHERE ranked.position BETWEEN me.position - 1 AND me.position + 1 ORDER BY ranked.position""",
            player,
        ).all()
        return Response.json(rows) if rows else Response.json({"error": f"{player} has not played"}, status=404)

    def levels(self) -> dict[str, list[int]]:
        cursor = self.sql.exec("SELECT coalesce(level, 'none') AS level, score FROM scores ORDER BY level, score DESC")
        return {level: [row["score"] for row in rows] for level, rows in groupby(cursor, key=itemgetter("level"))}

    def page(self):
        medals = {1: "🥇", 2: "🥈", 3: "🥉"}
        rows = "".join(
            f"<tr><td>{medals.get(row['rank'], row['rank'])}</td><td>{escape(row['player'])}</td>"
            f"<td>{row['score']:,}</td></tr>"
            for row in self.top(10)
        )
        return Response.html(f"<!doctype html><meta charset=utf-8><h1>High scores</h1><table>{rows}</table>")
