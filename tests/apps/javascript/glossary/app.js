import { DurableObject } from "cloudflare:workers";

const html = (strings, ...values) =>
  String.raw({ raw: strings }, ...values.map((v) => {
    if (Array.isArray(v)) return v.map((item) => item.text).join("");
    return v instanceof Safe ? v.text : escape(v);
  }));

class Safe {
  constructor(text) {
    this.text = text;
  }
}

const escape = (v) => String(v ?? "").replace(/[&<>"']/g, (c) => `&#${c.codePointAt(0)};`);
const marked = (text) => new Safe(escape(text).replaceAll("\u0001", "<mark>").replaceAll("\u0002", "</mark>"));

export class App extends DurableObject {
  constructor(ctx, env) {
    super(ctx, env);
    this.sql = ctx.storage.sql;
    this.sql.exec(`
      CREATE TABLE IF NOT EXISTS terms (id INTEGER PRIMARY KEY, term TEXT UNIQUE COLLATE NOCASE, meaning TEXT);
      CREATE VIRTUAL TABLE IF NOT EXISTS terms_fts USING fts5(
        term, meaning, content='terms', content_rowid='id', tokenize='unicode61 remove_diacritics 2');
      CREATE TRIGGER IF NOT EXISTS terms_ai AFTER INSERT ON terms BEGIN
        INSERT INTO terms_fts(rowid, term, meaning) VALUES (new.id, new.term, new.meaning);
      END;
      CREATE TRIGGER IF NOT EXISTS terms_ad AFTER DELETE ON terms BEGIN
        INSERT INTO terms_fts(terms_fts, rowid, term, meaning) VALUES ('delete', old.id, old.term, old.meaning);
      END;
      CREATE TRIGGER IF NOT EXISTS terms_au AFTER UPDATE ON terms BEGIN
        INSERT INTO terms_fts(terms_fts, rowid, term, meaning) VALUES ('delete', old.id, old.term, old.meaning);
        INSERT INTO terms_fts(rowid, term, meaning) VALUES (new.id, new.term, new.meaning);
      END;
    `);
  }

  async fetch(request) {
    const url = new URL(request.url);
    if (request.method === "POST" && url.pathname === "/terms") {
      const { term, meaning } = Object.fromEntries(await request.formData());
      if (!term?.trim() || !meaning?.trim()) return new Response("A term and its meaning, please", { status: 400 });
      this.sql.exec(
        `INSERT INTO terms (term, meaning) VALUES (?, ?)
         ON CONFLICT (term) DO UPDATE SET meaning = excluded.meaning`,
        term.trim(), meaning.trim(),
      );
      return Response.redirect(`${url.origin}/?q=${encodeURIComponent(term.trim())}`, 303);
    }
    if (request.method === "DELETE") {
      const term = decodeURIComponent(url.pathname.split("/").at(-1));
      const cursor = this.sql.exec("DELETE FROM terms WHERE term = ?", term);
      return new Response(null, { status: cursor.rowsWritten ? 204 : 404 });
    }
    if (url.pathname === "/search.json") {
      try {
        return Response.json(this.search(url.searchParams.get("q") ?? "", url.searchParams.has("raw")));
      } catch (error) {
        return Response.json({ error: error.message }, { status: 400 });
      }
    }
    if (url.pathname !== "/") return new Response("Not found", { status: 404 });
    return this.page(url.searchParams.get("q") ?? "");
  }

  search(query, raw = false) {
    const match = raw ? query : (query.match(/[\p{L}\p{N}]+/gu) ?? []).map((word) => `"${word}"*`).join(" ");
    if (!match) return this.sql.exec("SELECT term, meaning FROM terms ORDER BY term").toArray();
    return this.sql
      .exec(
        `SELECT highlight(terms_fts, 0, char(1), char(2)) AS term,
                snippet(terms_fts, 1, char(1), char(2), '…', 8) AS meaning
         FROM terms_fts WHERE terms_fts MATCH ? ORDER BY bm25(terms_fts, 10.0, 1.0) LIMIT 20`,
        match,
      )
      .toArray();
  }

  page(query) {
    const found = this.search(query);
    const items = found.map(({ term, meaning }) => new Safe(html`<dt>${marked(term)}</dt><dd>${marked(meaning)}</dd>`));
    const body = html`<!doctype html><title>Glossary</title>
      <form><input type="search" name="q" value="${query}"></form>
      <p>${found.length} ${found.length === 1 ? "term" : "terms"}</p><dl>${items}</dl>`;
    return new Response(body, { headers: { "content-type": "text/html;charset=utf-8" } });
  }
}
