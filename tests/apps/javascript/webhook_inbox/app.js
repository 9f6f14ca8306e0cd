import { DurableObject } from "cloudflare:workers";

const encoder = new TextEncoder();
const toHex = (buffer) => [...new Uint8Array(buffer)].map((b) => b.toString(16).padStart(2, "0")).join("");
const fromHex = (hex) => Uint8Array.from(hex.match(/../g) ?? [], (pair) => parseInt(pair, 16));

export class App extends DurableObject {
  #keys = new Map();

  constructor(ctx, env) {
    super(ctx, env);
    this.sql = ctx.storage.sql;
    this.sql.exec(`CREATE TABLE IF NOT EXISTS sources (name TEXT PRIMARY KEY, secret TEXT NOT NULL);
      CREATE TABLE IF NOT EXISTS deliveries (
        id TEXT PRIMARY KEY, source TEXT NOT NULL, event TEXT, body BLOB NOT NULL,
        received_at TEXT DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')))`);
  }

  async fetch(request) {
    const url = new URL(request.url);
    const [, area, name, id] = url.pathname.split("/");
    if (area === "sources" && request.method === "POST") return this.#register((await request.json()).name);
    if (area === "hooks" && request.method === "POST") return this.#receive(request, name);
    if (area === "inbox" && id) return this.#body(name, id);
    if (area === "inbox" && name) {
      const rows = this.sql.exec(
        "SELECT id, event, length(body) AS size FROM deliveries WHERE source = ? ORDER BY rowid", name);
      return Response.json([...rows]);
    }
    return new Response("Not Found", { status: 404 });
  }

  #register(name) {
    if (!/^[\w-]{1,40}$/.test(name ?? "")) return new Response("Bad name", { status: 400 });
    const secret = toHex(crypto.getRandomValues(new Uint8Array(32)));
    try {
      this.sql.exec("INSERT INTO sources VALUES (?, ?)", name, secret);
    } catch (error) {
      if (/UNIQUE/i.test(error.message)) return new Response("Taken", { status: 409 });
      throw error;
    }
    return Response.json({ hook: `/hooks/${name}`, secret }, { status: 201 });
  }

  async #key(name) {
    if (!this.#keys.has(name)) {
      const [row] = this.sql.exec("SELECT secret FROM sources WHERE name = ?", name).toArray();
      if (!row) return null;
      const algorithm = { name: "HMAC", hash: "SHA-256" };
      const secret = encoder.encode(row.secret);
      this.#keys.set(name, await crypto.subtle.importKey("raw", secret, algorithm, false, ["verify"]));
    }
    return this.#keys.get(name);
  }

  async #receive(request, name) {
    const key = await this.#key(name);
    if (!key) return new Response("Unknown source", { status: 404 });
    const { hex } = /^sha256=(?<hex>(?:[0-9a-f]{2})+)$/i.exec(request.headers.get("X-Signature-256"))?.groups ?? {};
    if (!hex) return new Response("Signature missing", { status: 401 });
    const body = await request.arrayBuffer();
    if (!(await crypto.subtle.verify("HMAC", key, fromHex(hex), body))) {
      return new Response("Signature does not match", { status: 403 });
    }
    let event;
    try {
      event = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(body))?.event ?? null;
    } catch (error) {
      return new Response(`Not JSON: ${error.name}`, { status: 400 });
    }
    const id = request.headers.get("X-Delivery") ?? crypto.randomUUID();
    const { rowsWritten } = this.sql.exec(
      "INSERT OR IGNORE INTO deliveries (id, source, event, body) VALUES (?, ?, ?, ?)", id, name, event, body);
    return Response.json({ id, duplicate: rowsWritten === 0 }, { status: rowsWritten ? 202 : 200 });
  }

  #body(name, id) {
    const [row] = this.sql.exec("SELECT body, event FROM deliveries WHERE source = ? AND id = ?", name, id).toArray();
    if (!row) return new Response("Not Found", { status: 404 });
    return new Response(row.body, { headers: { "content-type": "application/json", "x-bytes": row.body.byteLength } });
  }
}
