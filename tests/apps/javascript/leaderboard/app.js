import { DurableObject } from "cloudflare:workers";

// Everything lives in one value: a Map of players, a Set of those who are banned, and a Date.
const EMPTY = { players: new Map(), banned: new Set(), changed: null };

export class App extends DurableObject {
  get board() {
    return this.ctx.storage.kv.get("board") ?? structuredClone(EMPTY);
  }

  #update(change) {
    const { board } = this;
    const before = structuredClone(board);
    const result = change(board);
    board.changed = new Date();
    this.ctx.storage.kv.put("undo", before);
    this.ctx.storage.kv.put("board", board);
    return result;
  }

  async fetch(request) {
    const url = new URL(request.url);
    const [resource, name] = url.pathname.slice(1).split("/").map(decodeURIComponent);
    switch (`${request.method} ${resource}`) {
      case "POST scores":
        return this.#submit(await request.json());
      case "GET top":
        return Response.json(this.#ranking().slice(0, Number(url.searchParams.get("n") ?? 3)));
      case "GET players": {
        const found = this.#ranking().find((entry) => entry.name === name);
        return found ? Response.json(found) : Response.json({ error: `no player ${name}` }, { status: 404 });
      }
      case "PUT banned":
        this.#update(({ banned }) => banned.add(name));
        return Response.json({ banned: [...this.board.banned] });
      case "POST undo": {
        const undo = this.ctx.storage.kv.get("undo");
        if (!undo) return Response.json({ error: "nothing to undo" }, { status: 409 });
        this.ctx.storage.kv.put("board", undo);
        this.ctx.storage.kv.delete("undo");
        return Response.json({ players: undo.players.size });
      }
      case "GET about": {
        const { players, banned, changed } = this.board;
        return Response.json({
          types: [players instanceof Map, banned instanceof Set, changed instanceof Date],
          since: changed?.getUTCFullYear() >= 2000,
          undo: this.ctx.storage.kv.get("undo") !== undefined,
        });
      }
    }
    return new Response("Not found", { status: 404 });
  }

  #submit({ name, points, level = 1n }) {
    if (typeof name !== "string" || !Number.isFinite(points)) {
      return Response.json({ error: "name and points are required" }, { status: 400 });
    }
    if (this.board.banned.has(name)) return Response.json({ error: `${name} is banned` }, { status: 403 });
    return this.#update(({ players }) => {
      const old = players.get(name);
      const best = Math.max(points, old?.best ?? -Infinity);
      const history = [...(old?.history ?? []), points].slice(-5);
      const plays = (old?.plays ?? 0n) + 1n;
      players.set(name, { best, plays, history: new Float64Array(history), level: BigInt(level) });
      return Response.json({ best, record: best !== old?.best }, { status: 201 });
    });
  }

  #ranking() {
    const { players, banned } = this.board;
    const entries = [...players]
      .filter(([name]) => !banned.has(name))
      .map(([name, { best, plays, history }]) => ({ name, best, plays: Number(plays), recent: [...history] }))
      .toSorted((a, b) => b.best - a.best || a.name.localeCompare(b.name));
    let rank = 0;
    return entries.map((entry, i) => {
      if (entry.best !== entries[i - 1]?.best) rank = i + 1;
      return { rank, ...entry };
    });
  }
}
