"""Bookmarks with tags."""

import html
import re
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from urllib.parse import quote, urlsplit

from workers import DurableObject, Response

SCHEMA = """
CREATE TABLE IF NOT EXISTS bookmarks (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    url TEXT NOT NULL UNIQUE,
    title TEXT NOT NULL,
    created_at TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS tags (
    bookmark_id INTEGER NOT NULL REFERENCES bookmarks(id) ON DELETE CASCADE,
    tag TEXT NOT NULL,
    PRIMARY KEY (bookmark_id, tag)
) WITHOUT ROWID;
"""


@dataclass
class Bookmark:
    id: int
    url: str
    title: str
    created_at: str
    tags: list[str] = field(default_factory=list)

    @property
    def host(self) -> str:
        return urlsplit(self.url).hostname or ""

    def to_html(self) -> str:
        tags = " ".join(f'<a class="tag" href="/?tag={quote(tag)}">#{html.escape(tag)}</a>' for tag in self.tags)
        link = f'<a href="{html.escape(self.url)}">{html.escape(self.title)}</a>'
        return f"<li>{link} <small>{self.host}</small> {tags}</li>"


def parse_tags(text: str) -> list[str]:
    return sorted({tag.lower() for tag in re.split(r"[,\s]+", text) if tag})


class App(DurableObject):
    def on_start(self):
        self.sql = self.ctx.storage.sql
        self.sql.exec(SCHEMA)

    async def fetch(self, request):
        match request.method, request.path.strip("/").split("/"):
            case "GET", [""]:
                return self.page(request.query.get("tag"))
            case "POST", ["bookmarks"]:
                return self.add(await request.form())
            case "GET", ["bookmarks.json"]:
                found = self.find(request.query.get("tag"))
                return Response.json([{**asdict(bookmark), "host": bookmark.host} for bookmark in found])
            case "DELETE", ["bookmarks", bookmark_id] if bookmark_id.isdigit():
                cursor = self.sql.exec("DELETE FROM bookmarks WHERE id = ?", int(bookmark_id))
                return Response(None, status=204) if cursor.rows_written else Response("Not found", status=404)
            case "GET", ["tags"]:
                rows = self.sql.exec("SELECT tag, COUNT(*) AS n FROM tags GROUP BY tag ORDER BY n DESC, tag")
                return Response.json({row["tag"]: row["n"] for row in rows})
        return Response("Not found", status=404)

    def add(self, form):
        url = form.get("url", "").strip()
        if not re.match(r"https?://\S+$", url):
            return Response.json({"error": "A bookmark needs an http(s) URL"}, status=400)
        title = form.get("title", "").strip() or url
        row = self.sql.exec(
            """INSERT INTO bookmarks (url, title, created_at) VALUES (?, ?, ?)
               ON CONFLICT (url) DO UPDATE SET title = excluded.title RETURNING id""",
            url, title, datetime.now(UTC).isoformat(),
        ).one()
        self.sql.exec("DELETE FROM tags WHERE bookmark_id = ?", row["id"])
        for tag in parse_tags(form.get("tags", "")):
            self.sql.exec("INSERT INTO tags VALUES (?, ?)", row["id"], tag)
        return Response.redirect("/", 303)

    def find(self, tag: str | None = None) -> list[Bookmark]:
        tags = "(SELECT group_concat(tag, ' ') FROM tags WHERE bookmark_id = b.id)"
        query = f"SELECT b.*, {tags} AS tags FROM bookmarks b"
        if tag:
            query += " WHERE EXISTS (SELECT 1 FROM tags t WHERE t.bookmark_id = b.id AND t.tag = ?1)"
        rows = self.sql.exec(query + " ORDER BY id DESC", *([tag.lower()] if tag else []))
        return [Bookmark(**{**row, "tags": sorted((row["tags"] or "").split())}) for row in rows]

    def page(self, tag: str | None):
        items = "\n".join(bookmark.to_html() for bookmark in self.find(tag)) or "<li><em>Nothing here yet.</em></li>"
        heading = f"Bookmarks tagged #{html.escape(tag)}" if tag else "Bookmarks"
        return Response.html(f"<!doctype html><title>{heading}</title><h1>{heading}</h1><ul>{items}</ul>")
