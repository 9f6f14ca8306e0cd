import { DurableObject } from "cloudflare:workers";

const escapeHtml = (value) =>
  String(value)
    .replace(/[&<>"']/g, (c) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" })[c]);

export class App extends DurableObject {
  #sql;

  constructor(ctx, env) {
    super(ctx, env);
    this.#sql = ctx.storage.sql;
    this.#sql.exec(`
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
      );
    `);
  }

  async fetch(request) {
    const url = new URL(request.url);
    const { pathname, searchParams } = url;
    if (pathname === "/" && request.method === "GET") return this.#page(searchParams.get("tag"));
    if (pathname === "/bookmarks" && request.method === "POST") return this.#add(await request.formData(), url);
    if (pathname === "/api/tags") return Response.json(Object.fromEntries(this.#tagCounts()));
    const match = pathname.match(/^\/bookmarks\/(?<id>\d+)\/delete$/);
    if (match && request.method === "POST") {
      const { rowsWritten } = this.#sql.exec("DELETE FROM bookmarks WHERE id = ?", Number(match.groups.id));
      if (!rowsWritten) return new Response("No such bookmark", { status: 404 });
      this.#sql.exec("DELETE FROM tags WHERE bookmark_id = ?", Number(match.groups.id));
      return Response.redirect(url.origin + "/", 303);
    }
    return new Response("Not found", { status: 404 });
  }

  #add(form, base) {
    let target;
    try {
      target = new URL(form.get("url")?.trim() ?? "");
    } catch {
      return new Response("That is not a valid URL", { status: 400 });
    }
    if (!["http:", "https:"].includes(target.protocol)) return new Response("Only http(s) links", { status: 400 });
    const title = form.get("title")?.trim() || target.hostname;
    const tags = new Set((form.get("tags") ?? "").split(",").map((t) => t.trim().toLowerCase()).filter(Boolean));
    const existing = this.#sql.exec("SELECT id FROM bookmarks WHERE url = ?", target.href).toArray()[0];
    if (existing) return new Response("Already bookmarked", { status: 409 });
    this.ctx.storage.transactionSync(() => {
      const { id } = this.#sql
        .exec("INSERT INTO bookmarks (url, title, created_at) VALUES (?, ?, ?) RETURNING id",
          target.href, title, new Date().toISOString())
        .one();
      for (const tag of tags) this.#sql.exec("INSERT INTO tags VALUES (?, ?)", id, tag);
    });
    return Response.redirect(new URL("/", base).toString(), 303);
  }

  *#tagCounts() {
    for (const { tag, n } of this.#sql.exec("SELECT tag, COUNT(*) AS n FROM tags GROUP BY tag ORDER BY n DESC, tag")) {
      yield [tag, n];
    }
  }

  #page(tag) {
    const rows = this.#sql
      .exec(
        `SELECT b.id, b.url, b.title, group_concat(t.tag, ',') AS tags
         FROM bookmarks b LEFT JOIN tags t ON t.bookmark_id = b.id
         WHERE ?1 IS NULL OR b.id IN (SELECT bookmark_id FROM tags WHERE tag = ?1)
         GROUP BY b.id ORDER BY b.id DESC`,
        tag,
      )
      .toArray();
    const items = rows.map(({ id, url, title, tags }) => `
      <li data-id="${id}"><a href="${escapeHtml(url)}">${escapeHtml(title)}</a>
        ${(tags?.split(",") ?? [])
          .map((t) => `<a class="tag" href="/?tag=${encodeURIComponent(t)}">#${escapeHtml(t)}</a>`)
          .join(" ")}
        <form method="post" action="/bookmarks/${id}/delete"><button>Delete</button></form></li>`);
    const html = `<!doctype html><title>Bookmarks</title><h1>${tag ? `Tagged #${escapeHtml(tag)}` : "Bookmarks"}</h1>
      <form method="post" action="/bookmarks">
        <input name="url"><input name="title"><input name="tags"><button>Add</button></form>
      <ul>${items.join("") || "<li>Nothing yet</li>"}</ul>`;
    return new Response(html, { headers: { "Content-Type": "text/html; charset=utf-8" } });
  }
}
