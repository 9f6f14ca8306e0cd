"""A glossary with full-text search, completion and suggestions."""

import json
import re
from difflib import get_close_matches
from html import escape
from urllib.parse import unquote

from workers import DurableObject, Response

SCHEMA = """
CREATE TABLE IF NOT EXISTS terms (id INTEGER PRIMARY KEY, term TEXT NOT NULL UNIQUE, definition TEXT NOT NULL);
CREATE VIRTUAL TABLE IF NOT EXISTS terms_fts USING fts5(
    term, definition, content='terms', content_rowid='id', tokenize="unicode61 remove_diacritics 2", prefix='2 3'
);
CREATE TRIGGER IF NOT EXISTS terms_ai AFTER INSERT ON terms BEGIN
    INSERT INTO terms_fts(rowid, term, definition) VALUES (new.id, new.term, new.definition);
END;
CREATE TRIGGER IF NOT EXISTS terms_ad AFTER DELETE ON terms BEGIN
    INSERT INTO terms_fts(terms_fts, rowid, term, definition) VALUES ('delete', old.id, old.term, old.definition);
END;
CREATE TRIGGER IF NOT EXISTS terms_au AFTER UPDATE ON terms BEGIN
    INSERT INTO terms_fts(terms_fts, rowid, term, definition) VALUES ('delete', old.id, old.term, old.definition);
    INSERT INTO terms_fts(rowid, term, definition) VALUES (new.id, new.term, new.definition);
END;
"""


def match_expression(text: str) -> str:
    """Every word quoted; the last one may be a beginning."""
    words = re.findall(r"\w+", text)
    return " ".join(f'"{word}"' for word in words) + "*" if words else ""


class App(DurableObject):
    def on_start(self):
        self.sql = self.ctx.storage.sql
        self.sql.exec(SCHEMA)

    async def fetch(self, request):
        head, _, tail = request.path[1:].partition("/")
        tail = unquote(tail)
        if request.method == "PUT" and head == "terms" and tail:
            self.sql.exec(
                "INSERT INTO terms (term, definition) VALUES (?, ?) "
                "ON CONFLICT (term) DO UPDATE SET definition = excluded.definition",
                tail, await request.text(),
            )
            return Response(None, status=204)
        if request.method == "DELETE" and head == "terms":
            gone = self.sql.exec("DELETE FROM terms WHERE term = ? RETURNING term", tail).all()
            return Response(None, status=204 if gone else 404)
        match head:
            case "terms" if tail:
                return self.define(tail)
            case "search":
                return Response.json(self.search(request.query.get("q", "")))
            case "complete":
                return Response.json(self.complete(request.query.get("q", "")))
            case "":
                return self.index()
        return Response("?", status=404)

    def define(self, term: str):
        rows = self.sql.exec("SELECT * FROM terms WHERE term = ? COLLATE NOCASE", term).all()
        if rows:
            return Response.json({"term": rows[0]["term"], "definition": rows[0]["definition"]})
        known = [row["term"] for row in self.sql.exec("SELECT term FROM terms")]
        return Response.json({"error": "unknown", "did_you_mean": get_close_matches(term, known, n=3)}, status=404)

    def search(self, text: str) -> list[dict]:
        if not (expression := match_expression(text)):
            return []
        return self.sql.exec(
            """SELECT term, highlight(terms_fts, 0, '<b>', '</b>') AS marked,
                      snippet(terms_fts, 1, '[', ']', '…', 6) AS snippet
               FROM terms_fts WHERE terms_fts MATCH ? ORDER BY bm25(terms_fts, 10.0, 1.0)""",
            expression,
        ).all()

    def complete(self, text: str) -> list[str]:
        expression = match_expression(text)
        query = "SELECT term FROM terms_fts WHERE term MATCH ? ORDER BY term LIMIT 5"
        return [term for (term,) in self.sql.exec(query, expression).raw()] if expression else []

    def index(self):
        by_letter: dict[str, list[str]] = {}
        for row in self.sql.exec("SELECT term, definition FROM terms ORDER BY term COLLATE NOCASE"):
            by_letter.setdefault(row["term"][0].upper(), []).append(
                f"<dt>{escape(row['term'])}</dt><dd>{escape(row['definition'])}</dd>"
            )
        sections = "".join(f"<h2>{letter}</h2><dl>{''.join(items)}</dl>" for letter, items in by_letter.items())
        return Response.html(f"<title>Glossary</title>{sections}<script>n = {json.dumps(len(by_letter))}</script>")
