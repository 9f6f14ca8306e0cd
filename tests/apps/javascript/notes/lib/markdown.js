// A small part of Markdown: headings, lists, code, emphasis, links.
import { escapeHtml } from "./util.js";

export function render(source) {
  const blocks = [];
  for (const part of source.replaceAll("\r\n", "\n").split(/^(```[^]*?^```)$/m)) {
    if (part.startsWith("```")) {
      const [, language, code] = /^```(\w*)\n([^]*?)```$/.exec(part) ?? [null, "", part];
      blocks.push(`<pre><code class="${language || "text"}">${escapeHtml(code)}</code></pre>`);
    } else {
      blocks.push(...part.split(/\n{2,}/).map((block) => block.trim()).filter(Boolean).map(renderBlock));
    }
  }
  return blocks.join("\n");
}

function renderBlock(block) {
  const heading = /^(#{1,6}) (.*)$/.exec(block);
  if (heading) return `<h${heading[1].length}>${inline(heading[2])}</h${heading[1].length}>`;
  const lines = block.split("\n");
  if (lines.every((line) => /^[-*] /.test(line))) return list("ul", lines.map((line) => line.slice(2)));
  if (lines.every((line) => /^\d+\. /.test(line))) return list("ol", lines.map((line) => line.replace(/^\d+\. /, "")));
  return `<p>${lines.map(inline).join("<br>")}</p>`;
}

function list(tag, items) {
  return `<${tag}>${items.map((item) => `<li>${inline(item)}</li>`).join("")}</${tag}>`;
}

function inline(text) {
  return escapeHtml(text)
    .replace(/`([^`]+)`/g, "<code>$1</code>")
    .replace(/\*\*(?<strong>.+?)\*\*/g, "<strong>$<strong></strong>")
    .replace(/(?<!\w)\*(.+?)\*/g, "<em>$1</em>")
    .replace(/\[([^\]]+)\]\((https?:\/\/[^)\s]+|\/[^)\s]*)\)/g, '<a href="$2">$1</a>');
}
