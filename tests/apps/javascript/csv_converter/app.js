// CSV to JSON, Markdown or HTML. POST the text, or a form with a file.
function* records(text, separator) {
  let [field, row, quoted] = ["", [], false];
  for (let i = 0; i < text.length; i++) {
    const c = text[i];
    if (quoted) {
      if (c !== '"') field += c;
      else if (text[i + 1] === '"') field += text[++i];
      else quoted = false;
    } else if (c === '"' && field === "") {
      quoted = true;
    } else if (c === separator) {
      row.push(field);
      field = "";
    } else if (c === "\n" || c === "\r") {
      if (c === "\r" && text[i + 1] === "\n") i++;
      yield [...row, field];
      [field, row] = ["", []];
    } else {
      field += c;
    }
  }
  if (quoted) throw new SyntaxError("a quote is not closed");
  if (field || row.length) yield [...row, field];
}

function typed(value) {
  if (/^-?(0|[1-9]\d*)(\.\d+)?$/.test(value)) return Number(value);
  return { true: true, false: false, "": null }[value] ?? (value === "" ? null : value);
}

const entities = { "&": "&amp;", "<": "&lt;", ">": "&gt;" };
const writers = {
  "application/json": ({ header, rows }) =>
    JSON.stringify(rows.map((row) =>
      Object.fromEntries(header.map((name, i) => [name, typed(row[i] ?? "")]))), null, 2),
  "text/markdown": ({ header, rows }) =>
    [header, header.map(() => "---"), ...rows]
      .map((row) => `| ${row.map((f) => f.replace(/[|\n]/g, " ")).join(" | ")} |`).join("\n"),
  "text/html": ({ header, rows }) => {
    const line = (tag) => (row) =>
      `<tr>${row.map((f) => `<${tag}>${f.replace(/[&<>]/g, (c) => entities[c])}</${tag}>`).join("")}</tr>`;
    return `<table>${[line("th")(header), ...rows.map(line("td"))].join("\n")}</table>`;
  },
};

function negotiate(accept) {
  const wanted = (accept ?? "*/*").split(",").map((part) => {
    const [type, ...params] = part.trim().split(";");
    return { type, q: Number(params.find((p) => p.trim().startsWith("q="))?.trim().slice(2) ?? 1) };
  });
  for (const { type } of wanted.sort((a, b) => b.q - a.q)) {
    const found = type === "*/*" ? "application/json" : Object.keys(writers).find((name) => name === type);
    if (found) return found;
  }
  return null;
}

async function input(request) {
  const type = request.headers.get("content-type") ?? "";
  if (!type.startsWith("multipart/form-data")) return { text: await request.text() };
  const form = await request.formData();
  const file = form.get("file");
  if (!(file instanceof File)) throw new SyntaxError("no file in the form");
  return { text: await file.text(), name: file.name, separator: form.get("separator") || undefined };
}

export default {
  async fetch(request, env, ctx) {
    if (request.method !== "POST") return new Response("POST some CSV\n", { status: 405, headers: { allow: "POST" } });
    const type = negotiate(request.headers.get("accept"));
    if (!type) return new Response(`There are ${Object.keys(writers).join(", ")}\n`, { status: 406 });
    try {
      const { text, name = "table.csv", separator = "," } = await input(request);
      const [header, ...rows] = records(text.replace(/^\ufeff/, ""), separator);
      if (!header) throw new SyntaxError("it is empty");
      const bad = rows.findIndex((row) => row.length > header.length);
      if (bad !== -1) throw new SyntaxError(`row ${bad + 1} has ${rows[bad].length} fields`);
      return new Response(writers[type]({ header, rows }), {
        headers: {
          "content-type": `${type}; charset=utf-8`,
          "x-source": encodeURIComponent(name),
          "x-rows": rows.length,
        },
      });
    } catch (error) {
      if (!(error instanceof SyntaxError)) throw error;
      return new Response(`${error.message}\n`, { status: 422 });
    }
  },
};
