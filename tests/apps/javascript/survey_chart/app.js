import { DurableObject } from "cloudflare:workers";

const QUESTIONS = {
  language: { text: "Which language do you like most?", options: ["Python", "JavaScript", "C & C++", "Rust"] },
  editor: { text: "Which editor?", options: ["vim", "emacs", "VS Code"] },
};
const COLORS = ["#4e79a7", "#f28e2b", "#e15759", "#76b7b2"];

const esc = (s) =>
  `${s}`.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;");

export class App extends DurableObject {
  constructor(ctx, env) {
    super(ctx, env);
    this.sql = ctx.storage.sql;
    this.sql.exec(`CREATE TABLE IF NOT EXISTS answers (
      voter TEXT, question TEXT, choice INTEGER, PRIMARY KEY (voter, question)) WITHOUT ROWID`);
  }

  async fetch(request) {
    const { pathname } = new URL(request.url);
    const cookies = Object.fromEntries(
      (request.headers.get("cookie") ?? "").split(/;\s*/).filter(Boolean).map((pair) => pair.split("=")),
    );
    const voter = cookies.voter ?? crypto.randomUUID();
    const headers = new Headers({ "content-type": "text/html; charset=utf-8" });
    if (!cookies.voter) {
      headers.append("set-cookie", `voter=${voter}; Path=/; HttpOnly; SameSite=Lax; Max-Age=31536000`);
    }

    const chart = pathname.match(/^\/chart\/(?<id>[a-z]+)\.(?<kind>svg|json)$/);
    if (chart) {
      const { id, kind } = chart.groups;
      if (!Object.hasOwn(QUESTIONS, id)) return new Response("no such question", { status: 404 });
      const counts = this.count(id);
      if (kind === "json") return Response.json(counts);
      return new Response(this.svg(QUESTIONS[id], counts), { headers: { "content-type": "image/svg+xml" } });
    }
    if (request.method === "POST") {
      const form = await request.formData();
      const given = [...form.entries()].filter(([id]) => id in QUESTIONS);
      for (const [id, value] of given) {
        if (!QUESTIONS[id].options[value]) return new Response(`no such answer to ${esc(id)}`, { status: 422 });
      }
      for (const [id, value] of given) {
        this.sql.exec(
          `INSERT INTO answers VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET choice = excluded.choice`,
          voter, id, Number(value),
        );
      }
      headers.set("location", "/results");
      return new Response(null, { status: 303, headers });
    }
    return new Response(pathname === "/results" ? this.results() : this.form(), { headers });
  }

  count(id) {
    const counts = QUESTIONS[id].options.map(() => 0);
    for (const [choice, n] of this.sql
      .exec("SELECT choice, COUNT(*) FROM answers WHERE question = ? GROUP BY choice", id)
      .raw()) counts[choice] = n;
    return counts;
  }

  form() {
    const radio = (id) => (option, i) => `<label><input type="radio" name="${id}" value="${i}">${esc(option)}</label>`;
    const fields = Object.entries(QUESTIONS).map(
      ([id, { text, options }]) =>
        `<fieldset><legend>${esc(text)}</legend>${options.map(radio(id)).join("")}</fieldset>`,
    );
    return `<!doctype html><title>Survey</title><form method="post">${fields.join("")}<button>Send</button></form>`;
  }

  results() {
    return Object.keys(QUESTIONS)
      .map((id) => `<img src="/chart/${id}.svg" alt="${esc(QUESTIONS[id].text)}">`)
      .join("\n");
  }

  svg({ text, options }, counts) {
    const total = counts.reduce((a, b) => a + b, 0) || 1;
    const bars = options.map((option, i) => {
      const width = ((counts[i] / total) * 300).toFixed(1);
      return `<g transform="translate(0 ${30 + i * 28})"><text x="90" y="16" text-anchor="end">${esc(option)}</text>
        <rect x="100" width="${width}" height="22" fill="${COLORS[i % COLORS.length]}"/>
        <text x="${108 + Number(width)}" y="16">${counts[i]}</text></g>`;
    });
    return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 450 ${40 + options.length * 28}">
      <title>${esc(text)}</title>${bars.join("")}</svg>`;
  }
}
