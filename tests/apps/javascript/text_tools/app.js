// Text tools over HTTP: nothing is stored, bodies stream through.
const TOOLS = {
  upper: () => mapText((text) => text.toUpperCase()),
  rot13: () => mapText((text) => text.replace(/[a-z]/gi, rotate)),
  numbered: () => numberLines(),
  gzip: () => new CompressionStream("gzip"),
};

export default {
  async fetch(request, env, ctx) {
    const { pathname, searchParams } = new URL(request.url);
    if (pathname === "/") return new Response(`${env.GREETING}\nPOST text to: ${Object.keys(TOOLS).join(", ")}\n`);
    if (pathname === "/count") return Response.json(await count(request));
    if (pathname === "/countdown") return countdown(Number(searchParams.get("from") ?? 3));

    const names = pathname.slice(1).split("+");
    const unknown = names.find((name) => !Object.hasOwn(TOOLS, name));
    if (unknown !== undefined) return Response.json({ error: `unknown tool: ${unknown}` }, { status: 404 });
    if (request.method !== "POST") return Response.json({ error: "POST some text" }, { status: 405, headers: { allow: "POST" } });
    if (!request.body) return Response.json({ error: "the body is empty" }, { status: 400 });

    let stream = request.body;
    for (const name of names) stream = stream.pipeThrough(TOOLS[name]());
    const type = names.at(-1) === "gzip" ? "application/gzip" : "text/plain; charset=utf-8";
    return new Response(stream, { headers: { "content-type": type } });
  },
};

function rotate(letter) {
  const base = letter <= "Z" ? 65 : 97;
  return String.fromCharCode(((letter.charCodeAt(0) - base + 13) % 26) + base);
}

function mapText(change) {
  const decoder = new TextDecoder();
  const encoder = new TextEncoder();
  return new TransformStream({
    transform(chunk, controller) {
      controller.enqueue(encoder.encode(change(decoder.decode(chunk, { stream: true }))));
    },
    flush(controller) {
      const rest = decoder.decode();
      if (rest) controller.enqueue(encoder.encode(change(rest)));
    },
  });
}

function numberLines() {
  const decoder = new TextDecoder();
  const encoder = new TextEncoder();
  let line = 0;
  let pending = "";
  const numbered = (text) => encoder.encode(`${String(++line).padStart(3)}  ${text}\n`);
  return new TransformStream({
    transform(chunk, controller) {
      const lines = (pending + decoder.decode(chunk, { stream: true })).split("\n");
      pending = lines.pop();
      for (const text of lines) controller.enqueue(numbered(text));
    },
    flush(controller) {
      if (pending) controller.enqueue(numbered(pending));
    },
  });
}

async function count(request) {
  let bytes = 0;
  let lines = 0;
  for await (const chunk of request.body ?? []) {
    bytes += chunk.byteLength;
    lines += chunk.filter((byte) => byte === 10).length;
  }
  return { bytes, lines };
}

function countdown(from) {
  if (!Number.isInteger(from) || from < 1 || from > 10) return Response.json({ error: "from 1 to 10" }, { status: 400 });
  const { readable, writable } = new TransformStream();
  (async () => {
    const writer = writable.getWriter();
    for (let n = from; n > 0; n--) {
      await writer.write(new TextEncoder().encode(`${n}...\n`));
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    await writer.write(new TextEncoder().encode("lift-off\n"));
    await writer.close();
  })();
  return new Response(readable, { headers: { "content-type": "text/plain" } });
}
