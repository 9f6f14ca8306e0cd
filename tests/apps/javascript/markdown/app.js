import { WorkerEntrypoint } from "cloudflare:workers";

const escapeHtml = (s) => s.replace(/[&<>"]/g, (c) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" })[c]);
const slugs = (text) => text.toLowerCase().replace(/[^\p{L}\p{N}]+/gu, "-").replace(/^-+|-+$/g, "");

function inline(source) {
  const codes = [];
  return escapeHtml(source)
    .replace(/`([^`]+)`/g, (_, code) => `\0${codes.push(code) - 1}\0`)
    .replace(/!\[(?<alt>[^\]]*)\]\((?<src>[^\s)]+)\)/g, '<img src="$<src>" alt="$<alt>">')
    .replace(/\[(?<text>[^\]]+)\]\((?<href>[^\s)]+)\)/g, (...args) => {
      const { text, href } = args.at(-1);
      return /^(https?:|mailto:|\/|#)/i.test(href) ? `<a href="${href}">${text}</a>` : text;
    })
    .replace(/(?<![\w*])\*\*(?=\S)(.+?)(?<=\S)\*\*/g, "<strong>$1</strong>")
    .replace(/(?<![\w*])\*(?=\S)(.+?)(?<=\S)\*(?!\*)/g, "<em>$1</em>")
    .replace(/~~(.+?)~~/g, "<del>$1</del>")
    .replace(/\0(\d+)\0/g, (_, i) => `<code>${codes[i]}</code>`);
}

class Blocks {
  #lines;
  #at = 0;
  headings = [];

  constructor(text) {
    this.#lines = text.replaceAll("\r\n", "\n").split("\n");
  }

  #take(pattern) {
    const match = this.#lines[this.#at]?.match(pattern);
    if (match) this.#at++;
    return match;
  }

  #all(pattern) {
    const found = [];
    for (let match; (match = this.#take(pattern)); ) found.push(match);
    return found;
  }

  *[Symbol.iterator]() {
    while (this.#at < this.#lines.length) {
      let match;
      if (this.#take(/^\s*$/)) continue;
      if ((match = this.#take(/^(?<marks>#{1,6})\s+(?<title>.+?)\s*#*$/))) {
        const { marks: { length: level }, title } = match.groups;
        this.headings.push({ level, title });
        yield `<h${level} id="${slugs(title)}">${inline(title)}</h${level}>`;
      } else if ((match = this.#take(/^```(?<language>\w*)\s*$/))) {
        const code = this.#all(/^(?!```).*$/).map(([line]) => escapeHtml(line));
        this.#take(/^```/);
        yield `<pre><code class="language-${match.groups.language || "text"}">${code.join("\n")}</code></pre>`;
      } else if (this.#take(/^(?:---+|\*\*\*+)$/)) {
        yield "<hr>";
      } else if ((match = this.#all(/^>\s?(.*)$/)).length) {
        yield `<blockquote>${[...new Blocks(match.map(([, line]) => line).join("\n"))].join("")}</blockquote>`;
      } else if ((match = this.#all(/^[-*+]\s+(.*)$/)).length) {
        yield `<ul>${match.map(([, item]) => `<li>${inline(item)}</li>`).join("")}</ul>`;
      } else if ((match = this.#all(/^\d+[.)]\s+(.*)$/)).length) {
        yield `<ol>${match.map(([, item]) => `<li>${inline(item)}</li>`).join("")}</ol>`;
      } else {
        const lines = [this.#lines[this.#at++]];
        for (let more; (more = this.#take(/^(?!#{1,6}\s|```|>|[-*+]\s|\d+[.)]\s)\s*\S.*$/)); ) lines.push(more[0]);
        yield `<p>${inline(lines.join("\n"))}</p>`;
      }
    }
  }
}

export default class extends WorkerEntrypoint {
  async fetch(request) {
    const { pathname } = new URL(request.url);
    if (request.method === "GET" && pathname === "/") {
      return this.#page(`# Markdown\n\n*${this.env.GREETING}*, **POST** some \`text/markdown\`.`);
    }
    if (request.method !== "POST") return new Response("not here", { status: 404 });
    if (!/^text\/(markdown|plain)\b/.test(request.headers.get("content-type"))) {
      return new Response("text/markdown, please", { status: 415 });
    }
    const text = await request.text();
    if (pathname !== "/outline") return this.#page(text);
    const blocks = new Blocks(text);
    const count = [...blocks].length;
    return Response.json({ blocks: count, headings: blocks.headings.map(({ level, title }) => `${level} ${title}`) });
  }

  #page(text) {
    return new Response([...new Blocks(text)].join("\n"), { headers: { "content-type": "text/html; charset=utf-8" } });
  }
}
