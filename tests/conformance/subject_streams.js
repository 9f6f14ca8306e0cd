// Bodies under way: answers and requests that stream, pass through, fail, end early; as subject_streams.py says it.
import { DurableObject } from "cloudflare:workers";

const sleep = (seconds) => new Promise((resolve) => setTimeout(resolve, seconds * 1000));
const utf8 = new TextEncoder();
const queryOf = (request) => new URL(request.url).searchParams;

/** A stream of what an async generator gives, pulled as it is read. */
function streamOf(generator) {
  return new ReadableStream(
    {
      async pull(controller) {
        const { done, value } = await generator.next();
        if (done) controller.close();
        else controller.enqueue(typeof value === "string" ? utf8.encode(value) : value);
      },
      async cancel() {
        await generator.return();
      },
    },
    { highWaterMark: 0 },
  );
}

export class Subject extends DurableObject {
  constructor(ctx, env) {
    super(ctx, env);
    this.kv = ctx.storage.kv;
  }

  fetch(request) {
    const path = new URL(request.url).pathname.slice(1);
    return this[path.replace(/_(\w)/g, (_, letter) => letter.toUpperCase())](request);
  }

  other(request) {
    return this.ctx.exports.Subject.getByName(queryOf(request).get("to"));
  }

  // Answers

  count(request) {
    const { kv } = this;
    async function* body() {
      for (let number = 0; number < Number(queryOf(request).get("n")); number++) {
        kv.put("given", number + 1);
        yield `${number};`;
      }
    }
    return new Response(streamOf(body()), { headers: { "content-type": "text/event-stream" } });
  }

  ticks(request) {
    const { kv } = this;
    let number = 0;
    const body = new ReadableStream(
      {
        async pull(controller) {
          if (number > 0) await sleep(Number(queryOf(request).get("seconds")));
          kv.put("given", ++number);
          controller.enqueue(utf8.encode(`${number};`));
        },
        cancel() {
          kv.put("closed", true);
        },
      },
      { highWaterMark: 0 },
    );
    return new Response(body);
  }

  failing() {
    const { kv } = this;
    async function* body() {
      kv.put("given", 1);
      yield "a";
      throw new Error("torn");
    }
    return new Response(streamOf(body()));
  }

  aborting() {
    const { ctx } = this;
    async function* body() {
      yield "a";
      ctx.abort("enough");
    }
    return new Response(streamOf(body()));
  }

  large() {
    async function* body() {
      yield Uint8Array.from({ length: 256 * 1024 }, (_, index) => index % 256);
      yield "é".repeat(100_000);
    }
    return new Response(streamOf(body()));
  }

  wrong() {
    async function* body() {
      yield { no: "bytes" };
    }
    return new Response(streamOf(body()));
  }

  // Requests

  async upload(request) {
    let [size, chunks] = [0, 0];
    for await (const chunk of request.body) {
      size += chunk.length;
      chunks++;
    }
    return Response.json({ size, chunks });
  }

  async text(request) {
    return new Response(await request.text());
  }

  ignore() {
    return new Response("ignored");
  }

  shout(request) {
    const upper = new TransformStream({
      transform: (text, controller) => controller.enqueue(text.toUpperCase()),
    });
    const body = request.body.pipeThrough(new TextDecoderStream()).pipeThrough(upper).pipeThrough(new TextEncoderStream());
    return new Response(body);
  }

  // Through another object

  forward(request) {
    return this.other(request).fetch(queryOf(request).get("url"));
  }

  proxy(request) {
    const init = { method: "POST", body: request.body, duplex: "half" };
    return this.other(request).fetch(`http://it/${queryOf(request).get("path")}`, init);
  }

  async wrap(request) {
    const response = await this.other(request).fetch(queryOf(request).get("url"));
    async function* body() {
      for await (const chunk of response.body) {
        yield "<";
        yield chunk;
        yield ">";
      }
    }
    return new Response(streamOf(body()));
  }

  async read(request) {
    return new Response(await (await this.other(request).fetch(queryOf(request).get("url"))).text());
  }

  send(request) {
    const { kv } = this;
    async function* body() {
      for (let number = 0; number < 3; number++) {
        kv.put("given", number + 1);
        yield `${number};`;
        await sleep(0.01);
      }
    }
    return this.other(request).fetch("http://it/text", { method: "POST", body: streamOf(body()), duplex: "half" });
  }

  async sendInside(request) {
    return new Response(await this.ctx.blockConcurrencyWhile(async () => await (await this.send(request)).text()));
  }

  async keep(request) {
    this.kept = await this.other(request).fetch(queryOf(request).get("url"));
    return new Response("kept");
  }

  async drop() {
    await this.kept.body.cancel();
    this.kept = undefined;
    return new Response("dropped");
  }

  async twice(request) {
    const response = await this.other(request).fetch(queryOf(request).get("url"));
    const reader = response.body.getReader();
    const { value } = await reader.read();
    try {
      return new Response(response.body);
    } catch (error) {
      await reader.cancel();
      return new Response(`${new TextDecoder().decode(value)} ${error.message}`);
    }
  }

  get(key) {
    return this.kv.get(key) ?? null;
  }
}
