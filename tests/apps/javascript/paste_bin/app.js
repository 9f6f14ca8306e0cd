import { DurableObject } from "cloudflare:workers";

const LIFETIMES = { "10m": 600, "1h": 3600, "1d": 86400 };
const ALPHABET = "abcdefghijkmnpqrstuvwxyz23456789";

const makeId = (length = 8) =>
  Array.from(crypto.getRandomValues(new Uint8Array(length)), (b) => ALPHABET[b % 32]).join("");

export class App extends DurableObject {
  constructor(ctx, env) {
    super(ctx, env);
    ctx.storage.sql.exec(`
      CREATE TABLE IF NOT EXISTS pastes (
        id TEXT PRIMARY KEY, content TEXT NOT NULL, expires_at INTEGER NOT NULL,
        burn INTEGER NOT NULL DEFAULT 0, views INTEGER NOT NULL DEFAULT 0);
      CREATE INDEX IF NOT EXISTS by_expiry ON pastes (expires_at);`);
  }

  async fetch(request) {
    const { pathname, origin } = new URL(request.url);
    const [id, raw] = pathname.slice(1).split("/");
    switch (request.method) {
      case "POST":
        return this.create(request, origin);
      case "DELETE":
        this.ctx.storage.sql.exec("DELETE FROM pastes WHERE id = ?", id);
        await this.scheduleNext();
        return new Response(null, { status: 204 });
      case "GET":
        return id ? this.show(id, raw === "raw") : Response.json(this.stats());
      default:
        return new Response("Method not allowed", { status: 405, headers: { Allow: "GET, POST, DELETE" } });
    }
  }

  async create(request, origin) {
    const params = new URL(request.url).searchParams;
    const lifetime = LIFETIMES[params.get("for") ?? "1h"];
    if (!lifetime) return new Response(`Choose one of ${Object.keys(LIFETIMES).join(", ")}\n`, { status: 400 });
    const content = await request.text();
    if (!content.trim()) return new Response("Nothing to paste\n", { status: 400 });
    if (content.length > 10_000) return new Response("Too long\n", { status: 413 });
    const id = makeId();
    this.ctx.storage.sql.exec(
      "INSERT INTO pastes (id, content, expires_at, burn) VALUES (?, ?, ?, ?)",
      id, content, Date.now() + lifetime * 1000, params.has("burn"),
    );
    await this.scheduleNext();
    return new Response(`${origin}/${id}\n`, { status: 201, headers: { Location: `/${id}` } });
  }

  show(id, raw) {
    const [paste] = this.ctx.storage.sql.exec("UPDATE pastes SET views = views + 1 WHERE id = ? RETURNING *", id);
    if (!paste) return new Response("No such paste, or it has expired\n", { status: 404 });
    if (paste.burn) this.ctx.storage.sql.exec("DELETE FROM pastes WHERE id = ?", id);
    if (raw) return new Response(paste.content);
    const numbered = paste.content.split("\n").map((line, i) => `${String(i + 1).padStart(4)}  ${line}`);
    return new Response(numbered.join("\n"), {
      headers: { "X-Views": paste.views, "Expires": new Date(paste.expires_at).toUTCString() },
    });
  }

  stats() {
    return this.ctx.storage.sql.exec("SELECT COUNT(*) AS pastes, TOTAL(views) AS views FROM pastes").one();
  }

  async scheduleNext() {
    const { next } = this.ctx.storage.sql.exec("SELECT MIN(expires_at) AS next FROM pastes").one();
    if (next === null) await this.ctx.storage.deleteAlarm();
    else if ((await this.ctx.storage.getAlarm()) !== next) await this.ctx.storage.setAlarm(next);
  }

  async alarm() {
    const { rowsWritten } = this.ctx.storage.sql.exec("DELETE FROM pastes WHERE expires_at <= ?", Date.now());
    console.log(`expired ${rowsWritten} pastes`);
    await this.scheduleNext();
  }
}
