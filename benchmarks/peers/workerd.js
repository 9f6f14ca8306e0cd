import { DurableObject } from "cloudflare:workers";

// For the purpose of this example, we'll use this static
// application code, but in the real world this might be generated
// by AI (or even, perhaps, a human user).
const AGENT_CODE = `
  import { DurableObject } from "cloudflare:workers";

  // Simple app that remembers how many times it has been invoked
  // and returns it.
  export class App extends DurableObject {
    fetch(request) {
      // We use storage.kv here for simplicity, but storage.sql is
      // also available. Both are backed by SQLite.
      let counter = this.ctx.storage.kv.get("counter") || 0;
      ++counter;
      this.ctx.storage.kv.put("counter", counter);

      return new Response("You've made " + counter + " requests.\\n");
    }
  }
`;

// AppRunner is a Durable Object you write that is responsible for
// dynamically loading applications and delivering requests to them.
// Each instance of AppRunner contains a different app.
export class AppRunner extends DurableObject {
  async fetch(request) {
    // We've received an HTTP request, which we want to forward into
    // the app.

    // The app itself runs as a child facet named "app". One Durable
    // Object can have any number of facets (subject to storage limits)
    // with different names, but in this case we have only one. Call
    // this.ctx.facets.get() to get a stub pointing to it.
    let facet = this.ctx.facets.get("app", async () => {
      // If this callback is called, it means the facet hasn't
      // started yet (or has hibernated). In this callback, we can
      // tell the system what code we want it to load.

      // Load the Dynamic Worker.
      let worker = this.#loadDynamicWorker();

      // Get the exported class we're interested in.
      let appClass = worker.getDurableObjectClass("App");

      return { class: appClass };
    });

    // Forward request to the facet.
    // (Alternatively, you could call RPC methods here.)
    return await facet.fetch(request);
  }

  // RPC method that a client can call to set the dynamic code
  // for this app.
  setCode(code) {
    // Store the code in the AppRunner's SQLite storage.
    // Each unique code must have a unique ID to pass to the
    // Dynamic Worker Loader API, so we generate one randomly.
    this.ctx.storage.kv.put("codeId", crypto.randomUUID());
    this.ctx.storage.kv.put("code", code);
  }

  #loadDynamicWorker() {
    // Use the Dynamic Worker Loader API like normal. Use get()
    // rather than load() since we may load the same Worker many
    // times.
    let codeId = this.ctx.storage.kv.get("codeId");
    return this.env.LOADER.get(codeId, async () => {
      // This Worker hasn't been loaded yet. Load its code from
      // our own storage.
      let code = this.ctx.storage.kv.get("code");

      return {
        compatibilityDate: "2026-04-01",
        mainModule: "worker.js",
        modules: { "worker.js": code },
        globalOutbound: null,  // block network access
      }
    });
  }
}

// One AppRunner per path name: /app/NAME asks the app, /init/NAME sets its code first, /cold loads a worker nobody has seen,
// /c/NAME is one durable put in a plain object. Everything above this line is the seed's worker.js.
export class Counter extends DurableObject {
  fetch(request) {
    const counter = (this.ctx.storage.kv.get("counter") || 0) + 1;
    this.ctx.storage.kv.put("counter", counter);
    return new Response("You've made " + counter + " requests.\n");
  }
}

// /rpc/WHAT: twenty calls one after the other, or one of a megabyte. /bundle: a cold load of a megabyte. /passed: what a
// dynamic worker's fetch got through its way out.
import { WorkerEntrypoint } from "cloudflare:workers";

const CALLS = 20;
const MEGABYTE = "m".repeat(2 ** 20);
const CALLED = `
  import { DurableObject } from "cloudflare:workers";
  export class App extends DurableObject {
    add(number) { return number + 1; }
    back(callback, number) { return callback(number); }
    size(text) { return text.length; }
  }
`;
const PASSING = `export default { fetch(request) { return fetch("http://outside/megabyte"); } }`;
const codeOf = (source, globalOutbound = null) =>
  ({ compatibilityDate: "2026-04-01", mainModule: "worker.js", modules: { "worker.js": source }, globalOutbound });

export class Caller extends DurableObject {
  async rpc(what) {
    const app = this.ctx.facets.get("app", () => {
      const worker = this.env.LOADER.get("called", () => codeOf(CALLED));
      return { class: worker.getDurableObjectClass("App") };
    });
    if (what === "megabyte") return await app.size(MEGABYTE);
    let total = 0;
    for (let n = 0; n < CALLS; n++) total = await (what === "callback" ? app.back((m) => m + 1, total) : app.add(total));
    return total;
  }
}

export class Near extends DurableObject {
  async relay(calls) {
    const far = this.ctx.exports.Far.getByName("far");
    let sum = 0;
    for (let n = 0; n < calls; n++) sum = await far.add(sum);
    return sum;
  }
}

export class Far extends DurableObject {
  add(number) { return number + 1; }
}

export class Outside extends WorkerEntrypoint {
  fetch(request) { return new Response(MEGABYTE); }
}

const COLD = `export default { fetch(request) { return new Response("cold\\n"); } }`;
const unused = (_, n) => `\nfunction unused${n}() { return "${"x".repeat(64)} ${n}"; }`;
const BUNDLE = COLD + Array.from({ length: 10_000 }, unused).join("");
let loaded = 0;

async function rpc(what, exports) {
  if (what === "guests") return await exports.Near.getByName("near").relay(CALLS);
  return await exports.Caller.getByName("caller").rpc(what);
}

export default {
  async fetch(request, env, ctx) {
    const [, kind, name] = new URL(request.url).pathname.split("/");
    if (kind === "c") return ctx.exports.Counter.getByName(name).fetch(request);
    if (kind === "cold") {
      const code = { compatibilityDate: "2026-04-01", mainModule: "worker.js", modules: { "worker.js": COLD }, globalOutbound: null };
      return env.LOADER.get(`cold-${++loaded}`, () => code).getEntrypoint().fetch(request);
    }
    if (kind === "rpc") return new Response(`${await rpc(name, ctx.exports)}\n`);
    if (kind === "bundle") return env.LOADER.get(`bundle-${++loaded}`, () => codeOf(BUNDLE)).getEntrypoint().fetch(request);
    if (kind === "passed") {
      return env.LOADER.get("passing", () => codeOf(PASSING, ctx.exports.Outside)).getEntrypoint().fetch(request);
    }
    const runner = ctx.exports.AppRunner.getByName(name);
    if (kind === "init") await runner.setCode(AGENT_CODE);
    return runner.fetch(request);
  }
}
