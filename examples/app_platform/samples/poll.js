// A poll with results
import { DurableObject } from "cloudflare:workers";

const QUESTION = "Where shall we go for lunch?";
const OPTIONS = ["The noodle place", "Pizza", "Salad bar", "I brought my own"];

export class App extends DurableObject {
  constructor(ctx, env) {
    super(ctx, env);
    this.sql = ctx.storage.sql;
    this.sql.exec("create table if not exists vote(option integer, at text default current_timestamp)");
  }

  async fetch(request) {
    if (request.method === "POST") {
      const option = Number((await request.formData()).get("option"));
      if (option in OPTIONS) this.sql.exec("insert into vote(option) values (?)", option);
      return Response.redirect(new URL("/", request.url), 303);
    }
    const votes = OPTIONS.map((_, option) => this.sql.exec("select count(*) as n from vote where option = ?", option).one().n);
    return new Response(page(votes), { headers: { "content-type": "text/html;charset=UTF-8" } });
  }
}

function page(votes) {
  const total = votes.reduce((sum, n) => sum + n, 0);
  const rows = OPTIONS.map((option, index) => {
    const percent = total ? Math.round((100 * votes[index]) / total) : 0;
    return `<button name="option" value="${index}" style="--share: ${percent}%">
      <span>${escape(option)}</span><span>${votes[index]} · ${percent}%</span></button>`;
  });
  return `<!doctype html>
    <html lang="en">
    <meta charset="utf-8">
    <meta name="viewport" content="width=device-width">
    <title>Poll</title>
    <link rel="icon" href="data:,">
    <style>
      :root { color-scheme: light dark; font: 1rem/1.5 system-ui, sans-serif }
      body { max-width: 32rem; margin: 10vh auto; padding: 0 1.25rem }
      h1 { font-size: 1.5rem }
      button { display: flex; justify-content: space-between; gap: 1rem; width: 100%; margin: .5rem 0; padding: .75rem 1rem;
               font: inherit; text-align: left; color: inherit; cursor: pointer; border: 1px solid #8886; border-radius: .5rem;
               background: linear-gradient(#4a7dff44 0 0) no-repeat 0 / var(--share) 100% }
      button:hover { border-color: #4a7dff }
      p { color: #888 }
    </style>
    <h1>${escape(QUESTION)}</h1>
    <form method="post">${rows.join("")}</form>
    <p>${total === 1 ? "1 vote" : `${total} votes`}. Choose one to vote.</p>`;
}

function escape(text) {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}
