// Markdown notes with history of edits.
import { DurableObject } from "cloudflare:workers";
import { render } from "./lib/markdown.js";
import { layout, noteForm } from "./lib/pages.js";
import { slugify, NotFound } from "./lib/util.js";

export class App extends DurableObject {
  constructor(ctx, env) {
    super(ctx, env);
    this.sql = ctx.storage.sql;
    this.sql.exec("CREATE TABLE IF NOT EXISTS notes (slug TEXT PRIMARY KEY, title TEXT, source TEXT, version INTEGER)");
    this.sql.exec("CREATE TABLE IF NOT EXISTS history (slug TEXT, version INTEGER, source TEXT, PRIMARY KEY (slug, version))");
  }

  async fetch(request) {
    const url = new URL(request.url);
    try {
      return await this.route(request, url);
    } catch (error) {
      if (!(error instanceof NotFound)) throw error;
      return html(layout("Not found", `<p>${error.message}</p>`), 404);
    }
  }

  async route(request, url) {
    const [section, slug, view] = url.pathname.slice(1).split("/");
    if (section === "" && request.method === "GET") return this.index();
    if (section !== "notes") throw new NotFound("There is no such page.");
    if (!slug && request.method === "POST") {
      const form = await request.formData();
      const title = String(form.get("title") ?? "").trim();
      if (!title) return html(layout("New note", "<p>A note needs a title.</p>" + noteForm()), 422);
      const path = this.save(title, String(form.get("source") ?? ""));
      return Response.redirect(new URL(path, url).href, 303);
    }
    const version = url.searchParams.get("version");
    const note = this.read(slug ?? "", version === null ? null : Number(version));
    if (view === "raw") return new Response(note.source, { headers: { "content-type": "text/markdown; charset=utf-8" } });
    const versions = `<p>Version ${note.version}</p>`;
    return html(layout(note.title, render(note.source) + versions + noteForm(note)));
  }

  index() {
    const rows = this.sql.exec("SELECT slug, title FROM notes ORDER BY title").toArray();
    const list = rows.map(({ slug, title }) => `- [${title}](/notes/${slug})`).join("\n");
    return html(layout("Notes", render(list || "*No notes yet.*") + noteForm()));
  }

  save(title, source) {
    const slug = slugify(title);
    this.ctx.storage.transactionSync(() => {
      const found = this.sql.exec("SELECT version FROM notes WHERE slug = ?", slug).next();
      const version = found.done ? 1 : found.value.version + 1;
      this.sql.exec("INSERT OR REPLACE INTO notes VALUES (?, ?, ?, ?)", slug, title, source, version);
      this.sql.exec("INSERT INTO history VALUES (?, ?, ?)", slug, version, source);
    });
    return `/notes/${slug}`;
  }

  read(slug, version) {
    const note = this.sql.exec("SELECT * FROM notes WHERE slug = ?", slug).toArray()[0];
    if (!note) throw new NotFound("There is no such note.");
    if (version === null) return note;
    const old = this.sql.exec("SELECT source, version FROM history WHERE slug = ? AND version = ?", slug, version).toArray()[0];
    if (!old) throw new NotFound("There is no such version.");
    return { ...note, ...old };
  }
}

function html(body, status = 200) {
  return new Response(body, { status, headers: { "content-type": "text/html;charset=utf-8" } });
}
