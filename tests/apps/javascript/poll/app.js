// A poll with live counts. Votes are in the database that the house lends; a cookie keeps people to one vote.
import { DurableObject } from "cloudflare:workers";

const OPTIONS = { tabs: "Tabs", spaces: "Spaces", both: "Both, in one line" };

export class App extends DurableObject {
  constructor(ctx, env) {
    super(ctx, env);
    this.watchers = new Set();
    ctx.blockConcurrencyWhile(async () => {
      await env.DB.execute("CREATE TABLE IF NOT EXISTS votes (voter TEXT PRIMARY KEY, choice TEXT NOT NULL)");
    });
  }

  async fetch(request) {
    const { pathname } = new URL(request.url);
    const voter = /(?:^|;\s*)voter=([\w-]+)/.exec(request.headers.get("Cookie") ?? "")?.[1];

    if (pathname === "/results" && request.method === "GET") return Response.json(await this.results(voter));
    if (pathname === "/live") return this.live();
    if (pathname === "/vote") {
      if (request.method !== "POST") return Response.json({ error: "POST your vote" }, { status: 405 });
      return this.vote(request, voter);
    }
    if (pathname === "/") return this.page();
    return new Response("Not found", { status: 404 });
  }

  async vote(request, voter) {
    const choice = new URLSearchParams(await request.text()).get("choice");
    if (!Object.hasOwn(OPTIONS, choice)) return Response.json({ error: "no such option" }, { status: 400 });
    const headers = new Headers();
    if (!voter) {
      voter = crypto.randomUUID();
      headers.append("Set-Cookie", `voter=${voter}; Path=/; HttpOnly; SameSite=Lax`);
      headers.append("Set-Cookie", "theme=plain; Path=/");
    }
    await this.env.DB.execute(
      "INSERT INTO votes (voter, choice) VALUES (?, ?) ON CONFLICT (voter) DO UPDATE SET choice = excluded.choice",
      voter,
      choice,
    );
    const results = await this.results(voter);
    for (const send of this.watchers) send(results.counts);
    return Response.json(results, { status: 201, headers });
  }

  async results(voter) {
    const counts = Object.fromEntries(Object.keys(OPTIONS).map((option) => [option, 0]));
    for (const row of await this.env.DB.query("SELECT choice, COUNT(*) AS n FROM votes GROUP BY choice")) {
      counts[row.choice] = row.n;
    }
    const [mine] = voter ? await this.env.DB.query("SELECT choice FROM votes WHERE voter = ?", voter) : [];
    const total = Object.values(counts).reduce((a, b) => a + b, 0);
    return { counts, total, mine: mine?.choice ?? null };
  }

  // The counts now and after the next vote, as server-sent events.
  async live() {
    const encoder = new TextEncoder();
    const { counts } = await this.results();
    const watchers = this.watchers;
    let send;
    const stream = new ReadableStream({
      start(controller) {
        const event = (data) => controller.enqueue(encoder.encode(`event: counts\ndata: ${JSON.stringify(data)}\n\n`));
        event(counts);
        send = (newCounts) => {
          event(newCounts);
          controller.close();
          watchers.delete(send);
        };
        watchers.add(send);
      },
      cancel() {
        watchers.delete(send);
      },
    });
    return new Response(stream, { headers: { "Content-Type": "text/event-stream", "Cache-Control": "no-cache" } });
  }

  async page() {
    const { counts, total } = await this.results();
    const bars = Object.entries(OPTIONS).map(
      ([key, label]) => `<button name="choice" value="${key}">${label}</button>
        <meter max="${Math.max(total, 1)}" value="${counts[key]}"></meter> ${counts[key]}<br>`,
    );
    return new Response(`<!doctype html><h1>Tabs or spaces?</h1><form method="post" action="/vote">${bars.join("")}</form>`, {
      headers: { "Content-Type": "text/html" },
    });
  }
}
