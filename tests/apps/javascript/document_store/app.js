import { DurableObject } from "cloudflare:workers";
import { createHash } from "node:crypto";

class HttpError extends Error {
  constructor(status, message, options) {
    super(message, options);
    this.name = "HttpError";
    this.status = status;
  }
}

// RFC 7396
function mergePatch(target, patch) {
  if (patch === null || typeof patch !== "object" || Array.isArray(patch)) return patch;
  const result = target && typeof target === "object" && !Array.isArray(target) ? { ...target } : {};
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) delete result[key];
    else result[key] = mergePatch(result[key], value);
  }
  return result;
}

const etagOf = (text) => `"${createHash("sha256").update(text).digest("base64url").slice(0, 16)}"`;

const listed = (header) => header?.split(",").map((tag) => tag.trim().replace(/^W\//, "")) ?? [];

export class App extends DurableObject {
  async fetch(request) {
    try {
      return await this.#handle(request);
    } catch (error) {
      if (!(error instanceof HttpError)) throw error;
      return Response.json({ error: error.message, cause: error.cause?.name }, { status: error.status });
    }
  }

  async #handle(request) {
    const { pathname } = new URL(request.url);
    const key = `doc:${pathname.slice(1)}`;
    const stored = this.ctx.storage.kv.get(key);
    if (pathname === "/" && request.method === "GET") {
      const docs = await this.ctx.storage.list({ prefix: "doc:" });
      return Response.json([...docs.keys()].map((name) => name.slice(4)));
    }
    const text = stored === undefined ? undefined : JSON.stringify(stored);
    const etag = text && etagOf(text);
    switch (request.method) {
      case "HEAD":
      case "GET": {
        if (!text) throw new HttpError(404, "no such document");
        if (listed(request.headers.get("If-None-Match")).includes(etag)) {
          return new Response(null, { status: 304, headers: { ETag: etag } });
        }
        return new Response(request.method === "HEAD" ? null : text, {
          headers: { "Content-Type": "application/json", ETag: etag },
        });
      }
      case "PUT":
        this.#precondition(request, etag, false);
        return this.#write(key, await this.#body(request), text ? 200 : 201);
      case "PATCH": {
        if (!text) throw new HttpError(404, "no such document");
        this.#precondition(request, etag, true);
        const type = request.headers.get("Content-Type")?.split(";")[0];
        if (type !== "application/merge-patch+json") throw new HttpError(415, `cannot patch with ${type}`);
        return this.#write(key, mergePatch(structuredClone(stored), await this.#body(request)), 200);
      }
      case "DELETE":
        this.#precondition(request, etag, false);
        if (!this.ctx.storage.kv.delete(key)) throw new HttpError(404, "no such document");
        return new Response(null, { status: 204 });
    }
    throw new HttpError(405, `${request.method} is not allowed`);
  }

  #precondition({ headers }, etag, required) {
    const match = headers.get("If-Match");
    if (headers.get("If-None-Match") === "*" && etag) throw new HttpError(412, "it exists");
    if (match === null) {
      if (required) throw new HttpError(428, "say which version with If-Match");
    } else if (match === "*" ? !etag : !listed(match).includes(etag)) {
      throw new HttpError(412, "somebody was faster");
    }
  }

  async #body(request) {
    try {
      return await request.json();
    } catch (cause) {
      throw new HttpError(400, "that is not JSON", { cause });
    }
  }

  #write(key, value, status) {
    this.ctx.storage.kv.put(key, value);
    return Response.json(value, { status, headers: { ETag: etagOf(JSON.stringify(value)) } });
  }
}
