// What the behaviour cases ask of ids, stubs and exports, as subject_exports.py says it.
import { DurableObject, WorkerEntrypoint } from "cloudflare:workers";

const sleep = (seconds) => new Promise((resolve) => setTimeout(resolve, seconds * 1000));

export class Subject extends DurableObject {
  constructor(ctx, env) {
    super(ctx, env);
    this.memory = 0;
    this.kept = {};
    this.kv = ctx.storage.kv;
    this.own = ctx.exports[this.constructor.name];
  }

  fetch(request) {
    return new Response(`${this.ctx.id.name} ${request.url}`);
  }

  // As callee

  count() {
    return this.memory++;
  }

  identity() {
    const { id } = this.ctx;
    return { id: String(id), name: id.name ?? null, jurisdiction: id.jurisdiction ?? null };
  }

  put(key, value) {
    this.kv.put(key, value);
  }

  read(key) {
    return this.kv.get(key);
  }

  stop(reason) {
    this.kv.put("n", 888);
    this.ctx.abort(reason);
  }

  fail(properties) {
    const error = Object.assign(new Error("it failed"), properties);
    error.name = "ValueError";
    Object.defineProperty(error, "name", { enumerable: false });
    throw error;
  }

  async nap(seconds) {
    await sleep(seconds);
    return "rested";
  }

  tick(seconds) {
    setInterval(() => this.kv.put("ticks", (this.kv.get("ticks") ?? 0) + 1), seconds * 1000);
  }

  pin(seconds) {
    this.ctx.waitUntil(sleep(seconds));
  }

  // Ids

  ids(names) {
    return names.map((name) => String(this.own.idFromName(name)));
  }

  parsed(text) {
    const id = this.own.idFromString(text);
    const again = this.own.idFromString(String(id));
    return { text: String(id), name: id.name ?? null, equal: id.equals(again) };
  }

  same(name) {
    const named = this.own.idFromName(name);
    const other = this.own.idFromString(String(named));
    return [named.name, other.name ?? null, named.equals(other), named.equals(this.own.idFromName(`${name}x`))];
  }

  unique(options) {
    const id = this.own.newUniqueId(options);
    return { text: String(id), name: id.name ?? null, jurisdiction: id.jurisdiction ?? null };
  }

  idWithin(jurisdiction, name) {
    return String(this.own.jurisdiction(jurisdiction).idFromName(name));
  }

  parsedWithin(jurisdiction, text) {
    return this.own.jurisdiction(jurisdiction).idFromString(text).jurisdiction ?? null;
  }

  async askWithin(jurisdiction, text) {
    return await this.own.jurisdiction(jurisdiction).get(this.own.idFromString(text)).identity();
  }

  // Stubs

  async ask(name, method, ...callArguments) {
    return await this.own.getByName(name)[method](...callArguments);
  }

  async askById(text, method, ...callArguments) {
    return await this.own.get(this.own.idFromString(text))[method](...callArguments);
  }

  async askByEveryWay(name) {
    const space = this.own;
    const stubs = [
      space.getByName(name),
      space.get(space.idFromName(name)),
      space.getByName(name, { locationHint: "weur" }),
      space.get(space.idFromName(name), { locationHint: "enam", routingMode: "primary-only" }),
    ];
    const counts = [];
    for (const stub of stubs) counts.push(await stub.count());
    return counts;
  }

  withRoutingMode(routingMode) {
    this.own.getByName("a", { routingMode });
  }

  async fetchOf(name, url) {
    return await (await this.own.getByName(name).fetch(url)).text();
  }

  keep(label, name) {
    this.kept[label] = this.own.getByName(name);
  }

  async use(label, method, ...callArguments) {
    return await this.kept[label][method](...callArguments);
  }

  async failureOf(label, method, ...callArguments) {
    try {
      await this.use(label, method, ...callArguments);
    } catch (error) {
      return {
        message: error.message,
        type: error.name,
        reset: error.durableObjectReset === true,
        remote: error.remote === true,
        retryable: error.retryable === true,
        tag: error.tag ?? null,
      };
    }
    return null;
  }

  stubProperties(name) {
    const stub = this.own.getByName(name);
    const before = Object.keys(stub).sort();
    stub.mine = () => "local";
    return [before, String(stub.id), stub.name, stub.mine(), Object.keys(stub).sort()];
  }

  async allAtOnce(name, count) {
    const stub = this.own.getByName(name);
    return await Promise.all(Array.from({ length: count }, () => stub.count()));
  }

  async writeAndAsk(name) {
    this.kv.put("before", 1);
    return await this.own.getByName(name).count();
  }

  async storeStub(what) {
    this.kv.put("stub", this.thing(what));
  }

  thing(what) {
    const { exports } = this.ctx;
    return { namespace: this.own, stub: this.own.getByName("a"), entry: exports.Entry }[what];
  }

  // Exports

  async entry(options, method, ...callArguments) {
    const { Entry } = this.ctx.exports;
    const stub = options === null ? Entry : Entry(options);
    return await stub[method](...callArguments);
  }

  async fetchEntry(url) {
    return await (await this.ctx.exports.Entry({ props: { a: 1 } }).fetch(url)).text();
  }

  kinds() {
    const { exports } = this.ctx;
    return [exports.Subject, exports.Plain].map((exported) => typeof exported.getByName === "function");
  }

  missing() {
    if (this.ctx.exports.Missing === undefined) throw new TypeError("the worker exports no `Missing`");
  }

  async inFacet(props, method, ...callArguments) {
    const facet = this.ctx.facets.get(`plain ${JSON.stringify(props)}`, () => ({ class: this.ctx.exports.Plain({ props }) }));
    return await facet[method](...callArguments);
  }
}

export class Plain extends DurableObject {
  show() {
    return this.ctx.props;
  }

  async entry(props) {
    return await this.ctx.exports.Entry({ props }).show();
  }

  async ask(name, method) {
    return await this.ctx.exports.Subject.getByName(name)[method]();
  }
}

export class Entry extends WorkerEntrypoint {
  async fetch(request) {
    return new Response(`${request.method} ${request.url} ${this.ctx.props.a}`);
  }

  show() {
    return this.ctx.props;
  }

  async ask(name, method, ...callArguments) {
    return await this.ctx.exports.Subject.getByName(name)[method](...callArguments);
  }

  async twice(props) {
    return [this.ctx.props, await this.ctx.exports.Entry({ props }).show()];
  }
}
