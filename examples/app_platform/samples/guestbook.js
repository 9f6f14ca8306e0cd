// A guestbook
import { DurableObject } from "cloudflare:workers";

const STYLE = `
  :root { color-scheme: light dark; font: 1rem/1.5 system-ui, sans-serif }
  body { max-width: 32rem; margin: 10vh auto; padding: 0 1.25rem }
  h1 { font-size: 1.5rem }
  form { display: grid; gap: .75rem; margin-bottom: 2rem }
  input, textarea, button { font: inherit; color: inherit; padding: .5rem .75rem; border: 1px solid #8886; border-radius: .5rem }
  input, textarea { background: none }
  button { justify-self: start; background: #8881; cursor: pointer }
  article { border-top: 1px solid #8883; padding: .75rem 0 }
  article p { margin: 0; white-space: pre-wrap; overflow-wrap: anywhere }
  small { color: #888 }`;

export class App extends DurableObject {
  constructor(ctx, env) {
    super(ctx, env);
    this.sql = ctx.storage.sql;
    this.sql.exec("create table if not exists entry(id integer primary key, name, message, at default current_timestamp)");
  }

  async fetch(request) {
    if (request.method === "POST") {
      const form = await request.formData();
      const [name, message] = ["name", "message"].map((field) => (form.get(field) ?? "").trim().slice(0, 1000));
      if (name && message) this.sql.exec("insert into entry(name, message) values (?, ?)", name, message);
      return Response.redirect(new URL("/", request.url), 303);
    }
    const entries = this.sql.exec("select * from entry order by id desc limit 50").toArray();
    return new Response(page(entries), { headers: { "content-type": "text/html;charset=UTF-8" } });
  }
}

function page(entries) {
  const articles = entries.map(
    ({ name, message, at }) => `<article><p>${escape(message)}</p><small>${escape(name)}, ${at} UTC</small></article>`,
  );
  return `<!doctype html>
    <html lang="en">
    <meta charset="utf-8">
    <meta name="viewport" content="width=device-width">
    <title>Guestbook</title>
    <link rel="icon" href="data:,">
    <style>${STYLE}</style>
    <h1>Guestbook</h1>
    <form method="post">
      <input name="name" aria-label="Your name" placeholder="Your name" required maxlength="60">
      <textarea name="message" aria-label="Message" placeholder="What would you like to say?" required rows="3"></textarea>
      <button>Sign</button>
    </form>
    ${articles.join("") || "<p>Nobody has signed yet: be the first.</p>"}`;
}

function escape(text) {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}
