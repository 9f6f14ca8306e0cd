import { Buffer } from "node:buffer";
import { createHash, createHmac, randomUUID, timingSafeEqual } from "node:crypto";
import { EventEmitter, once } from "node:events";
import path from "node:path";
import { inspect, format, promisify, isDeepStrictEqual } from "node:util";
import { DurableObject } from "cloudflare:workers";

class Audit extends EventEmitter {
  #storage;

  constructor(storage) {
    super();
    this.#storage = storage;
    this.on("used", (tool, detail) => this.#append(format("%s: %j", tool, detail)));
  }

  get lines() {
    return this.#storage.kv.get("audit") ?? [];
  }

  #append(line) {
    this.#storage.kv.put("audit", [...this.lines, line]);
    this.emit("written", this.lines.length);
  }
}

const later = promisify((value, callback) => {
  setTimeout(() => (value ? callback(null, value) : callback(new Error("empty"))), 5);
});

export class App extends DurableObject {
  #audit = new Audit(this.ctx.storage);

  async fetch(request) {
    const url = new URL(request.url);
    const tool = url.pathname.slice(1);
    const written = once(this.#audit, "written");
    try {
      switch (`${request.method} ${tool}`) {
        case "POST hash":
          return Response.json(this.hash(Buffer.from(await request.arrayBuffer()), url.searchParams.get("key")));
        case "POST base64": {
          const { text, to = "base64" } = await request.json();
          const buffer = Buffer.from(await later(text), "utf8");
          this.#audit.emit("used", tool, { bytes: buffer.length });
          const [count] = await written;
          return Response.json({ encoded: buffer.toString(to), hex: buffer.toString("hex").slice(0, 8), count });
        }
        case "POST files":
          return await this.files(await request.formData());
        case "GET audit":
          return new Response(this.#audit.lines.join("\n"));
        case "POST same": {
          const [a, b] = await request.json();
          return Response.json({ same: isDeepStrictEqual(a, b), a: inspect(a), id: randomUUID().length });
        }
      }
    } catch (error) {
      return Response.json({ error: error.message }, { status: 400 });
    }
    return new Response("Not found", { status: 404 });
  }

  hash(buffer, key) {
    this.#audit.emit("used", "hash", { bytes: buffer.byteLength });
    const hex = (name) => createHash(name).update(buffer).digest("hex");
    const sums = Object.fromEntries(["md5", "sha1", "sha256"].map((name) => [name, hex(name)]));
    if (!key) return sums;
    const hmac = createHmac("sha256", key).update(buffer.subarray(0, 2)).update(buffer.subarray(2)).digest();
    return { ...sums, hmac: hmac.toString("base64"), self: timingSafeEqual(hmac, Buffer.from(hmac)) };
  }

  async files(form) {
    const answer = new FormData();
    const manifest = [];
    for (const [field, value] of form) {
      if (typeof value === "string") {
        answer.append(field, [...value].reverse().join(""));
        continue;
      }
      const { name, ext } = path.parse(value.name);
      const bytes = Buffer.from(await value.arrayBuffer());
      const target = path.join("/uploads", "..", "safe", path.basename(value.name));
      manifest.push({ path: target, size: value.size, type: value.type });
      answer.append("copy", new File([bytes.reverse()], `${name}.reversed${ext}`, { type: value.type }));
    }
    answer.set("manifest", new Blob([JSON.stringify(manifest)], { type: "application/json" }), "manifest.json");
    return new Response(answer);
  }
}
