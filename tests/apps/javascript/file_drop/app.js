// Upload files, and hand out links to them that are signed and expire.
import { DurableObject } from "cloudflare:workers";

const MAX_SIZE = 1024 * 1024;
const encoder = new TextEncoder();

export class App extends DurableObject {
  constructor(ctx, env) {
    super(ctx, env);
    this.sql = ctx.storage.sql;
    this.sql.exec("CREATE TABLE IF NOT EXISTS files (id TEXT PRIMARY KEY, name TEXT, type TEXT, sha256 TEXT, content BLOB)");
  }

  async fetch(request) {
    const url = new URL(request.url);
    const [, section, id, action] = url.pathname.split("/");
    if (section !== "files") return new Response("Not found", { status: 404 });
    if (!id) {
      if (request.method === "POST") return this.upload(request);
      return Response.json(this.sql.exec("SELECT id, name, type, length(content) AS size FROM files ORDER BY name").toArray());
    }
    const file = this.sql.exec("SELECT * FROM files WHERE id = ?", id).toArray()[0];
    if (!file) return Response.json({ error: "no such file" }, { status: 404 });
    if (action === "link") return this.link(file, url);
    return this.download(file, url, request);
  }

  async upload(request) {
    const form = await request.formData();
    const files = form.getAll("file").filter((entry) => entry instanceof File);
    if (files.length === 0) return Response.json({ error: "no file" }, { status: 400 });
    const saved = [];
    for (const file of files) {
      if (file.size > MAX_SIZE) return Response.json({ error: `${file.name} is too large` }, { status: 413 });
      const content = await file.arrayBuffer();
      const sha256 = hex(await crypto.subtle.digest("SHA-256", content));
      const id = crypto.randomUUID();
      const type = file.type || "application/octet-stream";
      this.sql.exec("INSERT INTO files VALUES (?, ?, ?, ?, ?)", id, file.name, type, sha256, content);
      saved.push({ id, name: file.name, size: file.size, type, sha256 });
    }
    return Response.json({ note: form.get("note"), files: saved }, { status: 201 });
  }

  async link(file, url) {
    const seconds = Number(url.searchParams.get("seconds") ?? 3600);
    if (!(seconds > 0)) return Response.json({ error: "seconds must be positive" }, { status: 400 });
    const expires = Math.floor(Date.now() / 1000) + seconds;
    const signature = hex(await crypto.subtle.sign("HMAC", await this.key(), encoder.encode(`${file.id}:${expires}`)));
    return Response.json({ url: `/files/${file.id}?${new URLSearchParams({ expires, signature })}` });
  }

  async download(file, url, request) {
    const expires = Number(url.searchParams.get("expires"));
    const signature = fromHex(url.searchParams.get("signature") ?? "");
    const valid = await crypto.subtle.verify("HMAC", await this.key(), signature, encoder.encode(`${file.id}:${expires}`));
    if (!valid) return new Response("Forbidden\n", { status: 403 });
    if (expires * 1000 < Date.now()) return new Response("This link has expired\n", { status: 410 });

    const headers = new Headers({ "Content-Type": file.type, ETag: `"${file.sha256}"` });
    headers.set("Content-Disposition", `attachment; filename*=UTF-8''${encodeURIComponent(file.name)}`);
    if (request.headers.get("If-None-Match") === headers.get("ETag")) return new Response(null, { status: 304, headers });
    return new Response(file.content, { headers });
  }

  async key() {
    let secret = this.ctx.storage.kv.get("secret");
    if (!secret) {
      secret = crypto.getRandomValues(new Uint8Array(32));
      this.ctx.storage.kv.put("secret", secret);
    }
    return crypto.subtle.importKey("raw", secret, { name: "HMAC", hash: "SHA-256" }, false, ["sign", "verify"]);
  }
}

function hex(buffer) {
  return [...new Uint8Array(buffer)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

function fromHex(text) {
  return new Uint8Array((text.match(/[0-9a-f]{2}/g) ?? []).map((pair) => parseInt(pair, 16)));
}
