import { DurableObject } from "cloudflare:workers";

const LINES = [[0, 1, 2], [3, 4, 5], [6, 7, 8], [0, 3, 6], [1, 4, 7], [2, 5, 8], [0, 4, 8], [2, 4, 6]];

class Game {
  constructor({ cells = Array(9).fill(""), players = {}, version = 0 } = {}) {
    Object.assign(this, { cells, players, version });
  }

  get turn() {
    return this.cells.filter(Boolean).length % 2 ? "O" : "X";
  }

  get winner() {
    const { cells } = this;
    const line = LINES.find(([a, b, c]) => cells[a] && cells[a] === cells[b] && cells[b] === cells[c]);
    return line ? this.cells[line[0]] : this.cells.every(Boolean) ? "draw" : null;
  }

  view(token) {
    const { cells, players, version, turn, winner } = this;
    const you = Object.keys(players).find((sign) => players[sign].token === token) ?? null;
    const names = Object.fromEntries(Object.entries(players).map(([sign, { name }]) => [sign, name]));
    return { board: cells.map((c) => c || ".").join(""), names, version, turn: winner ? null : turn, winner, you };
  }
}

export class App extends DurableObject {
  #waiting = new Map();

  async fetch(request) {
    const url = new URL(request.url);
    const { id, action } = /^\/games\/(?<id>[\w-]+)\/?(?<action>\w*)$/.exec(url.pathname)?.groups ?? {};
    if (!id) return Response.json({ error: "not found" }, { status: 404 });
    const token = request.headers.get("authorization")?.replace(/^Bearer /, "");
    const saved = this.ctx.storage.kv.get(`game/${id}`);
    const game = new Game(saved);

    if (request.method === "POST" && action === "join") {
      const { name } = await request.json();
      const sign = ["X", "O"].find((s) => !game.players[s]);
      if (!sign) return Response.json({ error: "the game is full" }, { status: 409 });
      const secret = crypto.randomUUID();
      game.players[sign] = { name, token: secret };
      this.#save(id, game);
      return Response.json({ sign, token: secret }, { status: 201 });
    }
    if (!saved) return Response.json({ error: "no such game" }, { status: 404 });
    if (request.method === "POST" && action === "move") return this.#move(id, game, token, await request.json());
    // Polling: ?since=3 waits a little for version 4.
    const since = Number(url.searchParams.get("since") ?? -1);
    if (game.version <= since) {
      const changed = await Promise.race([
        new Promise((resolve) => this.#waiting.set(id, [...(this.#waiting.get(id) ?? []), resolve])),
        new Promise((resolve) => setTimeout(resolve, 200, false)),
      ]);
      if (!changed) return new Response(null, { status: 204 });
    }
    return Response.json(new Game(this.ctx.storage.kv.get(`game/${id}`)).view(token));
  }

  #move(id, game, token, { cell }) {
    const { you, turn, winner } = game.view(token);
    const refuse = (status, error) => Response.json({ error }, { status });
    if (!you) return refuse(403, "you do not play here");
    if (winner) return refuse(409, "the game is over");
    if (Object.keys(game.players).length < 2) return refuse(409, "wait for the other player");
    if (you !== turn) return refuse(409, "it is not your turn");
    if (game.cells[cell] !== "") return refuse(422, "that cell is not free");
    game.cells[cell] = you;
    this.#save(id, game);
    return Response.json(game.view(token));
  }

  #save(id, game) {
    game.version++;
    this.ctx.storage.kv.put(`game/${id}`, { ...game });
    this.#waiting.get(id)?.forEach((resolve) => resolve(true));
    this.#waiting.delete(id);
  }
}
