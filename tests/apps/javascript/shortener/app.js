// A URL shortener with click counts and links that expire.
import { DurableObject } from "cloudflare:workers";

const ALPHABET = "23456789abcdefghjkmnpqrstuvwxyz";

export class App extends DurableObject {
  async fetch(request) {
    const url = new URL(request.url);
    const code = decodeURIComponent(url.pathname.slice(1));

    if (code === "api/links") {
      switch (request.method) {
        case "GET":
          return Response.json(this.list(Number(url.searchParams.get("limit") ?? 100)));
        case "POST":
          return this.shorten(request, url.origin);
        default:
          return error(405, "Use GET or POST", { Allow: "GET, POST" });
      }
    }
    if (code.startsWith("api/links/") && request.method === "DELETE") {
      const existed = this.ctx.storage.kv.delete(`link:${code.slice("api/links/".length)}`);
      return existed ? new Response(null, { status: 204 }) : error(404, "No such link");
    }

    const link = this.ctx.storage.kv.get(`link:${code}`);
    if (!link) return error(404, "No such link");
    if (link.expires && link.expires.getTime() <= Date.now()) return error(410, "This link has expired");
    link.clicks += 1;
    link.lastClick = new Date();
    this.ctx.storage.kv.put(`link:${code}`, link);
    return Response.redirect(link.target, 302);
  }

  async shorten(request, origin) {
    let body;
    try {
      body = await request.json();
    } catch {
      return error(400, "The body must be JSON");
    }
    let target;
    try {
      target = new URL(body.url);
    } catch {
      return error(422, "url is not a URL");
    }
    if (!["http:", "https:"].includes(target.protocol)) return error(422, "Only http and https");
    if (body.alias !== undefined && !/^[a-z0-9-]{3,30}$/.test(body.alias)) return error(422, "Bad alias");

    const code = body.alias ?? this.newCode();
    if (this.ctx.storage.kv.get(`link:${code}`)) return error(409, "This alias is taken");
    const expires = body.ttl ? new Date(Date.now() + body.ttl * 1000) : null;
    this.ctx.storage.kv.put(`link:${code}`, { target: target.href, clicks: 0, created: new Date(), expires });
    return Response.json({ code, short: `${origin}/${code}`, expires }, { status: 201 });
  }

  newCode() {
    for (;;) {
      const bytes = crypto.getRandomValues(new Uint8Array(6));
      const code = Array.from(bytes, (byte) => ALPHABET[byte % ALPHABET.length]).join("");
      if (this.ctx.storage.kv.get(`link:${code}`) === undefined) return code;
    }
  }

  list(limit) {
    const links = [];
    for (const [key, link] of this.ctx.storage.kv.list({ prefix: "link:", limit })) {
      links.push({ code: key.slice(5), target: link.target, clicks: link.clicks, created: link.created.toISOString() });
    }
    return { links };
  }
}

function error(status, message, headers = {}) {
  return Response.json({ error: message }, { status, headers });
}
