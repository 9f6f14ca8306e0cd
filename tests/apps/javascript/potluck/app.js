// Who brings what to the potluck: a page with a form and a list.
import { DurableObject } from "cloudflare:workers";

const KINDS = ["starter", "main", "dessert", "drink"];

export class App extends DurableObject {
  constructor(ctx, env) {
    super(ctx, env);
    this.sql = ctx.storage.sql;
    this.sql.exec(`CREATE TABLE IF NOT EXISTS dishes (
      id INTEGER PRIMARY KEY AUTOINCREMENT,
      guest TEXT NOT NULL,
      dish TEXT NOT NULL,
      kind TEXT NOT NULL,
      created_at INTEGER NOT NULL
    )`);
  }

  async fetch(request) {
    const url = new URL(request.url);
    if (url.pathname === "/" && request.method === "GET") return this.page();
    if (url.pathname === "/dishes") {
      if (request.method !== "POST") return new Response("Method Not Allowed", { status: 405, headers: { Allow: "POST" } });
      return this.add(await request.formData());
    }
    const match = url.pathname.match(/^\/dishes\/(\d+)\/delete$/);
    if (match && request.method === "POST") {
      const { rowsWritten } = this.sql.exec("DELETE FROM dishes WHERE id = ?", Number(match[1]));
      if (rowsWritten === 0) return new Response("No such dish", { status: 404 });
      return Response.redirect(new URL("/", url), 303);
    }
    return new Response("Not found", { status: 404 });
  }

  add(form) {
    const [guest, dish, kind] = ["guest", "dish", "kind"].map((name) => (form.get(name) ?? "").trim());
    const errors = [];
    if (!guest) errors.push("Who are you?");
    if (!dish || dish.length > 80) errors.push("A dish has 1 to 80 characters.");
    if (!KINDS.includes(kind)) errors.push(`Choose one of ${KINDS.join(", ")}.`);
    if (errors.length) return this.page(errors, 400);
    this.sql.exec(
      "INSERT INTO dishes (guest, dish, kind, created_at) VALUES (?, ?, ?, ?)",
      guest, dish, kind, Date.now(),
    );
    return new Response(null, { status: 303, headers: { Location: "/" } });
  }

  page(errors = [], status = 200) {
    const dishes = [...this.sql.exec("SELECT * FROM dishes ORDER BY created_at, id")];
    const sections = KINDS.map((kind) => {
      const items = dishes.filter((d) => d.kind === kind).map((d) => `
        <li>${escapeHtml(d.dish)} <small>by ${escapeHtml(d.guest)}</small>
          <form method="post" action="/dishes/${d.id}/delete"><button>Remove</button></form></li>`);
      return items.length ? `<h2>${kind} (${items.length})</h2><ul>${items.join("")}</ul>` : "";
    });
    const html = `<!DOCTYPE html>
      <html><head><title>Potluck</title></head><body>
      <h1>Potluck</h1>
      ${errors.map((error) => `<p class="error">${escapeHtml(error)}</p>`).join("")}
      <form method="post" action="/dishes">
        <input name="guest" placeholder="Your name"> <input name="dish" placeholder="What you bring">
        <select name="kind">${KINDS.map((kind) => `<option>${kind}</option>`).join("")}</select>
        <button type="submit">Add</button>
      </form>
      ${sections.join("") || "<p>Nothing to eat yet.</p>"}
      </body></html>`;
    return new Response(html, { status, headers: { "Content-Type": "text/html; charset=utf-8" } });
  }
}

function escapeHtml(text) {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;");
}
