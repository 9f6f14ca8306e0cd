import { DurableObject } from "cloudflare:workers";

const PAGE = 50;

class LineSplitter extends TransformStream {
  constructor() {
    let rest = "";
    super({
      transform(chunk, controller) {
        const lines = (rest + chunk).split("\n");
        rest = lines.pop();
        for (const line of lines) controller.enqueue(line);
      },
      flush(controller) {
        if (rest) controller.enqueue(rest);
      },
    });
  }
}

export class App extends DurableObject {
  constructor(ctx, env) {
    super(ctx, env);
    this.sql = ctx.storage.sql;
    this.sql.exec("CREATE TABLE IF NOT EXISTS readings (id INTEGER PRIMARY KEY, sensor TEXT, value REAL)");
  }

  async fetch(request) {
    const { pathname, searchParams } = new URL(request.url);
    if (request.method === "POST" && pathname === "/readings") return this.import(request);
    switch (pathname) {
      case "/export.ndjson":
        return new Response(this.ndjson(searchParams.get("sensor")), {
          headers: { "content-type": "application/x-ndjson" },
        });
      case "/export.ndjson.gz":
        return new Response(this.ndjson(null).pipeThrough(new CompressionStream("gzip")), {
          headers: {
            "content-type": "application/gzip",
            "content-disposition": 'attachment; filename="export.ndjson.gz"',
          },
        });
      case "/export.csv":
        return new Response(this.csv(), { headers: { "content-type": "text/csv" } });
      case "/summary": {
        const query = "SELECT sensor, COUNT(*) AS n, AVG(value) AS mean FROM readings GROUP BY sensor";
        const rows = this.sql.exec(query).toArray();
        return Response.json(Object.fromEntries(rows.map(({ sensor, ...rest }) => [sensor, rest])));
      }
    }
    return new Response("Not found", { status: 404 });
  }

  async import(request) {
    const lines = request.body?.pipeThrough(new TextDecoderStream()).pipeThrough(new LineSplitter());
    if (!lines) return Response.json({ error: "send NDJSON" }, { status: 400 });
    let [accepted, errors, number] = [0, [], 0];
    for await (const line of lines) {
      number++;
      if (!line.trim()) continue;
      try {
        const { sensor, value } = JSON.parse(line);
        if (!sensor || typeof value !== "number") throw new TypeError("sensor and value, please");
        this.sql.exec("INSERT INTO readings (sensor, value) VALUES (?, ?)", sensor, value);
        accepted++;
      } catch (error) {
        errors.push({ line: number, error: error.name });
      }
    }
    return Response.json({ accepted, errors }, { status: errors.length ? 207 : 201 });
  }

  *page(after, sensor) {
    yield* this.sql.exec(
      "SELECT * FROM readings WHERE id > ?1 AND (?2 IS NULL OR sensor = ?2) ORDER BY id LIMIT ?3", after, sensor, PAGE);
  }

  ndjson(sensor) {
    let last = 0;
    const encoder = new TextEncoder();
    return new ReadableStream({
      pull: (controller) => {
        const rows = [...this.page(last, sensor)];
        if (rows.length === 0) return controller.close();
        last = rows.at(-1).id;
        controller.enqueue(encoder.encode(rows.map((row) => `${JSON.stringify(row)}\n`).join("")));
      },
    });
  }

  async *csv() {
    const encoder = new TextEncoder();
    yield encoder.encode("id,sensor,value\n");
    for (let last = 0, rows; (rows = [...this.page(last, null)]).length; last = rows.at(-1).id) {
      await scheduler.wait(1);
      for (const { id, sensor, value } of rows)
        yield encoder.encode(`${id},"${sensor.replaceAll('"', '""')}",${value}\n`);
    }
  }
}
