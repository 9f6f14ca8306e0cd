import { DurableObject } from "cloudflare:workers";

const handlers = {
  async sum({ numbers }) {
    await new Promise((resolve) => setTimeout(resolve, 20));
    return numbers.reduce((a, b) => a + b, 0);
  },
  async shout({ text }) {
    return text.toUpperCase();
  },
  async flaky({ failures }, attempt) {
    if (attempt <= failures) throw new Error(`attempt ${attempt} failed`);
    return `done at attempt ${attempt}`;
  },
};

export class App extends DurableObject {
  static MAX_ATTEMPTS = 3;

  constructor(ctx, env) {
    super(ctx, env);
    this.sql = ctx.storage.sql;
    this.sql.exec(`CREATE TABLE IF NOT EXISTS jobs (
      id INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, payload TEXT NOT NULL,
      state TEXT NOT NULL DEFAULT 'queued', attempts INTEGER NOT NULL DEFAULT 0,
      due INTEGER NOT NULL, result TEXT, error TEXT)`);
  }

  async fetch(request) {
    const { pathname, searchParams } = new URL(request.url);
    const id = pathname.match(/^\/jobs\/(\d+)$/)?.[1];
    if (request.method === "POST" && pathname === "/jobs") {
      const { kind, payload = {}, delay = 0 } = await request.json();
      if (!Object.hasOwn(handlers, kind)) {
        return Response.json({ error: `unknown kind, try ${Object.keys(handlers).join(", ")}` }, { status: 400 });
      }
      const job = this.sql
        .exec("INSERT INTO jobs (kind, payload, due) VALUES (?, ?, ?) RETURNING id, state",
          kind, JSON.stringify(payload), Date.now() + delay * 1000)
        .one();
      await this.#schedule();
      return Response.json(job, { status: 202 });
    }
    if (request.method === "DELETE" && id) {
      const gone = this.sql.exec("DELETE FROM jobs WHERE id = ? AND state = 'queued'", id).rowsWritten;
      await this.#schedule();
      return new Response(null, { status: gone ? 204 : 409 });
    }
    if (id) {
      const [job] = this.sql.exec("SELECT * FROM jobs WHERE id = ?", id).toArray();
      if (!job) return Response.json({ error: "no such job" }, { status: 404 });
      const { due, payload, result, ...rest } = job;
      return Response.json({ ...rest, result: result && JSON.parse(result) });
    }
    const state = searchParams.get("state") ?? "%";
    const jobs = this.sql.exec("SELECT id, state FROM jobs WHERE state LIKE ? ORDER BY id", state).toArray();
    return Response.json({ jobs, alarm: (await this.ctx.storage.getAlarm()) !== null });
  }

  async alarm() {
    const due = this.sql
      .exec("SELECT * FROM jobs WHERE state = 'queued' AND due <= ? ORDER BY due, id LIMIT 10", Date.now())
      .toArray();
    const outcomes = await Promise.allSettled(
      due.map(async ({ kind, payload, attempts }) => handlers[kind](JSON.parse(payload), attempts + 1)),
    );
    outcomes.forEach(({ status, value, reason }, i) => {
      const { id, attempts } = due[i];
      if (status === "fulfilled") {
        this.sql.exec("UPDATE jobs SET state = 'done', attempts = attempts + 1, result = ?, error = NULL WHERE id = ?",
          JSON.stringify(value), id);
        return;
      }
      const state = attempts + 1 >= App.MAX_ATTEMPTS ? "failed" : "queued";
      this.sql.exec("UPDATE jobs SET state = ?, attempts = attempts + 1, error = ?, due = ? WHERE id = ?",
        state, String(reason), Date.now() + 60_000 * 2 ** attempts, id);
    });
    await this.#schedule();
  }

  async #schedule() {
    const { due } = this.sql.exec("SELECT MIN(due) AS due FROM jobs WHERE state = 'queued'").one();
    if (due == null) await this.ctx.storage.deleteAlarm();
    else await this.ctx.storage.setAlarm(due);
  }
}
