// A kanban board. Cards are dragged between columns and within them; the order is a fractional position.
import { DurableObject } from "cloudflare:workers";

const COLUMNS = ["todo", "doing", "done"];

class HttpError extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

export class App extends DurableObject {
  sql = this.ctx.storage.sql;

  constructor(ctx, env) {
    super(ctx, env);
    this.sql.exec(`
      CREATE TABLE IF NOT EXISTS cards (id INTEGER PRIMARY KEY, title TEXT, lane TEXT, position REAL);
      CREATE INDEX IF NOT EXISTS cards_by_place ON cards (lane, position);
    `);
  }

  async fetch(request) {
    const { pathname } = new URL(request.url);
    try {
      const [, root, id, action] = pathname.split("/");
      if (pathname === "/board" && request.method === "GET") return Response.json(this.board());
      if (root !== "cards") throw new HttpError(404, "Not found");
      if (id === undefined) {
        if (request.method !== "POST") throw new HttpError(405, "POST a card");
        return Response.json(this.add(await request.json()), { status: 201 });
      }
      const card = this.card(Number(id));
      if (action === "move" && request.method === "POST") return Response.json(this.move(card, await request.json()));
      if (request.method === "DELETE") {
        this.sql.exec("DELETE FROM cards WHERE id = ?", card.id);
        return new Response(null, { status: 204 });
      }
      throw new HttpError(405, "Method not allowed");
    } catch (error) {
      if (error instanceof HttpError) return Response.json({ error: error.message }, { status: error.status });
      if (error instanceof SyntaxError) return Response.json({ error: "Not JSON" }, { status: 400 });
      throw error;
    }
  }

  board() {
    const board = {};
    for (const lane of COLUMNS) {
      board[lane] = this.sql.exec("SELECT id, title FROM cards WHERE lane = ? ORDER BY position", lane).toArray();
    }
    return board;
  }

  card(id) {
    const [card] = this.sql.exec("SELECT * FROM cards WHERE id = ?", id).toArray();
    if (!card) throw new HttpError(404, "No such card");
    return card;
  }

  add({ title, lane = "todo" }) {
    if (typeof title !== "string" || !title.trim()) throw new HttpError(422, "A card needs a title");
    if (!COLUMNS.includes(lane)) throw new HttpError(422, "No such column");
    const last = this.sql.exec("SELECT MAX(position) AS position FROM cards WHERE lane = ?", lane).one().position ?? 0;
    return this.sql
      .exec("INSERT INTO cards (title, lane, position) VALUES (?, ?, ?) RETURNING id, title, lane", title.trim(), lane, last + 1)
      .one();
  }

  // Put a card into a column, in front of the card `before`, or at its end.
  move(card, { lane, before = null }) {
    if (!COLUMNS.includes(lane)) throw new HttpError(422, "No such column");
    this.ctx.storage.transactionSync(() => {
      let position;
      if (before === null) {
        position = (this.sql.exec("SELECT MAX(position) AS p FROM cards WHERE lane = ?", lane).one().p ?? 0) + 1;
      } else {
        const next = this.card(before);
        if (next.lane !== lane) throw new HttpError(409, "That card is in another column");
        const previous = this.sql
          .exec("SELECT MAX(position) AS p FROM cards WHERE lane = ? AND position < ? AND id <> ?", lane, next.position, card.id)
          .one().p;
        position = ((previous ?? next.position - 2) + next.position) / 2;
      }
      this.sql.exec("UPDATE cards SET lane = ?, position = ? WHERE id = ?", lane, position, card.id);
      if (!Number.isInteger(position * 2 ** 20)) this.renumber(lane);
    });
    return this.board();
  }

  renumber(lane) {
    const ids = [...this.sql.exec("SELECT id FROM cards WHERE lane = ? ORDER BY position", lane).raw()].flat();
    ids.forEach((id, index) => this.sql.exec("UPDATE cards SET position = ? WHERE id = ?", index + 1, id));
  }
}
