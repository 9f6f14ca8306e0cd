// Chat rooms for polling clients. GET waits a little when there is nothing new.
import { DurableObject } from "cloudflare:workers";

const WAIT_MS = 2000;
const KEEP = 50;

export class App extends DurableObject {
  waiting = new Map(); // room -> functions to call when there is a message

  async fetch(request) {
    const url = new URL(request.url);
    const match = /^\/rooms\/([a-z0-9-]+)(\/presence)?$/.exec(url.pathname);
    if (url.pathname === "/rooms") return Response.json(await this.rooms());
    if (!match) return new Response("Not found", { status: 404 });
    const [, room, presence] = match;

    if (request.method === "POST" && !presence) return this.say(room, request);
    if (request.method !== "GET") return new Response("Method not allowed", { status: 405 });
    if (presence) return Response.json([...((await this.ctx.storage.get(`people:${room}`)) ?? [])].sort());

    const since = Number.parseInt(url.searchParams.get("since") ?? "0", 10);
    if (Number.isNaN(since)) return Response.json({ error: "since must be a number" }, { status: 400 });
    let messages = await this.messages(room, since);
    if (messages.length === 0 && url.searchParams.has("wait")) {
      await Promise.race([this.nextMessage(room), new Promise((resolve) => setTimeout(resolve, WAIT_MS))]);
      messages = await this.messages(room, since);
    }
    return Response.json({ messages, last: messages.at(-1)?.id ?? since });
  }

  async say(room, request) {
    const type = request.headers.get("content-type") ?? "";
    if (!type.startsWith("application/json")) return Response.json({ error: "send JSON" }, { status: 415 });
    const { from, text } = await request.json().catch(() => ({}));
    if (!from?.trim() || !text?.trim()) return Response.json({ error: "from and text are required" }, { status: 400 });
    if (text.length > 500) return Response.json({ error: "too long" }, { status: 413 });

    const id = ((await this.ctx.storage.get(`last:${room}`)) ?? 0) + 1;
    const people = (await this.ctx.storage.get(`people:${room}`)) ?? new Set();
    const message = { id, from, text, at: new Date() };
    await this.ctx.storage.put({
      [`last:${room}`]: id,
      [`people:${room}`]: people.add(from),
      [key(room, id)]: message,
    });
    if (id > KEEP) await this.ctx.storage.delete(key(room, id - KEEP));
    for (const wake of this.waiting.get(room) ?? []) wake();
    this.waiting.delete(room);
    return Response.json(message, { status: 201 });
  }

  async messages(room, since) {
    const found = await this.ctx.storage.list({ start: key(room, since + 1), end: `message:${room}:~` });
    return [...found.values()];
  }

  nextMessage(room) {
    const { promise, resolve } = Promise.withResolvers();
    const others = this.waiting.get(room) ?? [];
    this.waiting.set(room, [...others, resolve]);
    return promise;
  }

  async rooms() {
    const entries = await this.ctx.storage.list({ prefix: "last:" });
    return Object.fromEntries([...entries].map(([name, count]) => [name.slice("last:".length), count]));
  }
}

function key(room, id) {
  return `message:${room}:${String(id).padStart(8, "0")}`;
}
