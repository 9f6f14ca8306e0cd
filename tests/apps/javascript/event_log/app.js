import { DurableObject } from "cloudflare:workers";

const ROUTES = [
  ["GET", new URLPattern({ pathname: "/streams" }), "streams"],
  ["POST", new URLPattern({ pathname: "/streams/:stream/events" }), "append"],
  ["GET", new URLPattern({ pathname: "/streams/:stream/events" }), "list"],
  ["GET", new URLPattern({ pathname: "/streams/:stream/events/:id(\\d+)" }), "one"],
];

const encodeCursor = (value) => btoa(JSON.stringify(value)).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");

function decodeCursor(text) {
  const value = JSON.parse(atob(text.replace(/-/g, "+").replace(/_/g, "/")));
  if (!Number.isInteger(value?.before)) throw new SyntaxError("no cursor");
  return value;
}

export class App extends DurableObject {
  #sql;

  constructor(ctx, env) {
    super(ctx, env);
    this.#sql = ctx.storage.sql;
    ctx.blockConcurrencyWhile(async () => {
      this.#sql.exec(`CREATE TABLE IF NOT EXISTS events (
        id INTEGER PRIMARY KEY AUTOINCREMENT, stream TEXT NOT NULL, type TEXT NOT NULL, data TEXT NOT NULL)`);
      this.#sql.exec("CREATE INDEX IF NOT EXISTS events_by_stream ON events (stream, id)");
    });
  }

  async fetch(request) {
    let allowed = [];
    for (const [method, pattern, handler] of ROUTES) {
      const match = pattern.exec(request.url);
      if (!match) continue;
      if (method === request.method) return await this[handler](request, match.pathname.groups, match.search.input);
      allowed.push(method);
    }
    if (allowed.length) return problem(405, "Method not allowed", { allow: allowed.join(", ") });
    return problem(404, "No such page");
  }

  streams() {
    const query = "SELECT stream, COUNT(*) AS events FROM events GROUP BY 1 ORDER BY 1";
    return Response.json(this.#sql.exec(query).toArray());
  }

  async append(request, { stream }) {
    const body = await request.json().catch(() => null);
    const events = Array.isArray(body) ? body : [body];
    if (!events.every((event) => typeof event?.type === "string")) return problem(422, "Every event needs a type");
    const ids = this.ctx.storage.transactionSync(() =>
      events.map(({ type, ...data }) =>
        this.#sql
          .exec("INSERT INTO events (stream, type, data) VALUES (?, ?, ?) RETURNING id",
            decodeURIComponent(stream), type, JSON.stringify(data))
          .one().id,
      ),
    );
    return Response.json({ ids }, { status: 201 });
  }

  list(request, { stream }, search) {
    const query = new URLSearchParams(search);
    const limit = Math.min(Math.max(parseInt(query.get("limit") ?? "10", 10) || 10, 1), 100);
    let before = Number.MAX_SAFE_INTEGER;
    if (query.has("cursor")) {
      try {
        ({ before } = decodeCursor(query.get("cursor")));
      } catch {
        return problem(400, "Bad cursor");
      }
    }
    const type = query.get("type");
    const rows = this.#sql
      .exec(
        `SELECT id, type, data FROM events WHERE stream = ? AND id < ?
         ${type ? "AND type = ?" : ""} ORDER BY id DESC LIMIT ?`,
        ...[decodeURIComponent(stream), before, type, limit + 1].filter((value) => value !== null),
      )
      .toArray();
    const more = rows.length > limit;
    const page = rows.slice(0, limit).map(({ data, ...row }) => ({ ...row, ...JSON.parse(data) }));
    const next = more ? encodeCursor({ before: page.at(-1).id }) : null;
    const headers = {};
    if (next) {
      const url = new URL(request.url);
      url.searchParams.set("cursor", next);
      headers.link = `<${url.pathname}${url.search}>; rel="next"`;
    }
    return Response.json({ events: page, next }, { headers });
  }

  one(request, { stream, id }) {
    const query = "SELECT * FROM events WHERE stream = ? AND id = ?";
    const [row] = this.#sql.exec(query, decodeURIComponent(stream), +id).toArray();
    return row ? Response.json({ ...row, data: JSON.parse(row.data) }) : problem(404, `No event ${id} in ${stream}`);
  }
}

function problem(status, title, headers = {}) {
  return Response.json({ status, title }, {
    status,
    headers: { ...headers, "content-type": "application/problem+json" },
  });
}
