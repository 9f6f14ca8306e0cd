"""Recipes with full-text search (SQLite's FTS5)."""

from html import escape

from workers import DurableObject, PerdureError, Response


class App(DurableObject):
    def on_start(self):
        sql = self.ctx.storage.sql
        sql.exec("CREATE TABLE IF NOT EXISTS recipes (id INTEGER PRIMARY KEY, title TEXT, body TEXT, tags TEXT)")
        sql.exec(
            "CREATE VIRTUAL TABLE IF NOT EXISTS recipes_fts USING fts5("
            "title, body, tags, content='recipes', content_rowid='id', tokenize='porter unicode61')"
        )
        sql.exec("""
            CREATE TRIGGER IF NOT EXISTS recipes_ai AFTER INSERT ON recipes BEGIN
                INSERT INTO recipes_fts (rowid, title, body, tags) VALUES (new.id, new.title, new.body, new.tags);
            END;
            CREATE TRIGGER IF NOT EXISTS recipes_ad AFTER DELETE ON recipes BEGIN
                INSERT INTO recipes_fts (recipes_fts, rowid, title, body, tags)
                VALUES ('delete', old.id, old.title, old.body, old.tags);
            END;
        """)

    async def fetch(self, request):
        sql = self.ctx.storage.sql
        path = request.path.rstrip("/") or "/"

        if path == "/recipes" and request.method == "POST":
            form = await request.form()
            title, body = form.get("title", "").strip(), form.get("body", "").strip()
            if not title or not body:
                return Response.json({"error": "title and body are required"}, status=400)
            row = sql.exec(
                "INSERT INTO recipes (title, body, tags) VALUES (?, ?, ?) RETURNING id, title",
                title, body, " ".join(form.get("tags", "").split(",")),
            ).one()  # fmt: skip
            return Response.json(row, status=201)

        if path.startswith("/recipes/") and request.method == "DELETE":
            deleted = sql.exec("DELETE FROM recipes WHERE id = ? RETURNING id", path.split("/")[-1]).all()
            return Response("", status=204 if deleted else 404)

        if path == "/search":
            query = request.query.get("q", "").strip()
            if not query:
                return Response.json({"error": "q is required"}, status=400)
            if request.query.get("mode") != "advanced":
                query = " ".join('"' + word.replace('"', '""') + '"' for word in query.split())
            try:
                return Response.json({"results": self.search(query)})
            except PerdureError as error:
                return Response.json({"error": f"cannot search for this: {error}"}, status=400)

        if path == "/":
            titles = sql.exec("SELECT title FROM recipes ORDER BY title COLLATE NOCASE")
            items = "".join(f"<li>{escape(row['title'])}</li>" for row in titles)
            form = "<form action=/search><input name=q><button>Search</button></form>"
            return Response.html(f"<!doctype html><h1>Recipes</h1>{form}<ul>{items}</ul>")

        return Response("Not found", status=404)

    def search(self, query):
        rows = self.ctx.storage.sql.exec(
            "SELECT r.id, r.title, snippet(recipes_fts, 1, '<b>', '</b>', '…', 8) AS excerpt,"
            " bm25(recipes_fts, 10.0, 1.0, 5.0) AS score"
            " FROM recipes_fts JOIN recipes r ON r.id = recipes_fts.rowid"
            " WHERE recipes_fts MATCH ? ORDER BY score LIMIT 10",
            query,
        )
        return [{"id": row["id"], "title": row["title"], "excerpt": row["excerpt"]} for row in rows]
