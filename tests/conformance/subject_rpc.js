// What the behaviour cases ask of calls: of who makes them, and of who answers.
import { DurableObject, RpcStub, RpcTarget, WorkerEntrypoint } from "cloudflare:workers";

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

// Counts; tells its maker when nobody holds it any more.
class Counter extends RpcTarget {
  #owner;
  #count;

  constructor(owner, start) {
    super();
    this.#owner = owner;
    this.own = "own";
    this.#count = start;
  }

  increment(by) {
    return (this.#count += by);
  }

  get value() {
    return this.#count;
  }

  fail() {
    throw new RangeError("counted out");
  }

  another() {
    return new Counter(this.#owner, 100);
  }

  [Symbol.dispose]() {
    this.#owner.disposals += 1;
  }
}

// No data, and no RpcTarget.
class Strange {
  method() {
    return "never";
  }
}

async function failure(work) {
  try {
    await (typeof work === "function" ? work() : work);
  } catch (error) {
    return [error.name, error.message];
  }
  return null;
}

export class Subject extends DurableObject {
  disposals = 0;
  kept = null;
  secret = "secret";
  ownFunction = () => "own";
  log = [];

  // ── as who answers ──────────────────────────────────────────────────────────────────────────────────────

  get greeting() {
    return `hello from ${this.ctx.id.name}`;
  }

  get tools() {
    return { add: (a, b) => a + b, deep: { er: { name: "bottom", double: (a) => 2 * a } } };
  }

  makeCounter(start) {
    return new Counter(this, start);
  }

  counters() {
    return { first: new Counter(this, 1), more: [new Counter(this, 10), new Counter(this, 20)], plain: 5 };
  }

  add(a, b) {
    return a + b;
  }

  count() {
    this.log.push(this.log.length + 1);
    return this.log.at(-1);
  }

  get(key) {
    return `got ${key}`;
  }

  put(key, value) {
    return `put ${key} ${value}`;
  }

  delete(key) {
    return `deleted ${key}`;
  }

  async callBack(callback, ...given) {
    return await callback(...given);
  }

  async callMany(callback, count) {
    const results = [];
    for (let number = 0; number < count; number++) results.push(await callback(number));
    return results;
  }

  async incrementIt(counter, by) {
    return await counter.increment(by);
  }

  async readIt(counter) {
    return await counter.value;
  }

  echo(value) {
    return value;
  }

  keep(stub) {
    this.kept = stub.dup();
  }

  keepAsItIs(stub) {
    this.kept = stub;
  }

  async useKept(...given) {
    return await this.kept(...given);
  }

  async incrementKept(by) {
    return await this.kept.increment(by);
  }

  dropKept() {
    this.kept[Symbol.dispose]();
    this.kept = null;
  }

  disposed() {
    return this.disposals;
  }

  failWith(properties) {
    throw Object.assign(new RangeError("it failed"), properties);
  }

  strange() {
    return new Strange();
  }

  nothing() {
    return null;
  }

  // ── as who calls ────────────────────────────────────────────────────────────────────────────────────────

  async pipelined(peer) {
    const counter = peer.makeCounter(1);
    const counters = peer.counters();
    return [
      await counter.increment(2),
      await counter.value,
      await peer.makeCounter(7).value,
      await counters.first.increment(1),
      await counters.more[1].value,
      await counters.plain,
      await counter.another().increment(1),
      await peer.tools.add(2, 3),
      await peer.tools.deep.er.name,
      await peer.tools.deep.er.double(4),
      await peer.greeting,
    ];
  }

  // The same, but the result is there already.
  async pipelinedLate(peer) {
    const promise = peer.counters();
    await promise;
    return [await promise.first.increment(1), await promise.plain, await promise.more[0].another().value];
  }

  async pipelineFailures(peer) {
    const broken = peer.failWith({});
    const chained = [broken.anything.at.all(1), broken.property];
    return [
      await failure(broken),
      await failure(chained[0]),
      await failure(chained[1]),
      await failure(peer.nothing().method()),
      await failure(peer.makeCounter(1).fail()),
      await failure(peer.counters().plain.method()),
    ];
  }

  async methodAsProperty(peer) {
    using add = await peer.add;
    using increment = await peer.makeCounter(5).increment;
    return [await add(1, 2), await increment(1), await increment(1)];
  }

  async inOrder(peer, count) {
    const calls = [];
    for (let number = 0; number < count; number++) calls.push(peer.count());
    return await Promise.all(calls);
  }

  async neverAwaited(peer) {
    peer.count();
    peer.count();
    return await peer.count();
  }

  async ask(peer, method, ...given) {
    return await peer[method](...given);
  }

  async failureOf(peer, method, ...given) {
    return await failure(() => peer[method](...given));
  }

  async failureOfPath(peer, ...path) {
    return await failure(async () => {
      let step = peer;
      for (const name of path.slice(0, -1)) step = step[name];
      return await step[path.at(-1)]();
    });
  }

  async tooDeep(peer) {
    let step = peer;
    try {
      for (let number = 0; number < 64; number++) step = step.a;
    } catch (error) {
      return [`early ${error}`];
    }
    try {
      step = step.a;
    } catch (error) {
      return [error.name, error.message];
    }
    return null;
  }

  async withFunction(peer) {
    const offset = 40;
    return await peer.callBack((a, b) => a + b + offset, 1, 1);
  }

  async withAsyncFunction(peer) {
    return await peer.callMany(async (number) => {
      await sleep(10);
      return number * number;
    }, 4);
  }

  async withTarget(peer) {
    const counter = new Counter(this, 5);
    return [await peer.incrementIt(counter, 1), await peer.incrementIt(counter, 1), await peer.readIt(counter)];
  }

  async withFailingFunction(peer) {
    try {
      await peer.callBack(() => {
        throw Object.assign(new RangeError("called back"), { detail: { a: 1 } });
      });
    } catch (error) {
      return { type: error.name, message: error.message, remote: error.remote, detail: error.detail };
    }
  }

  // A stub of somebody else's, through the one in the middle.
  async withStub(peer, other) {
    using counter = await other.makeCounter(3);
    const first = await peer.incrementIt(counter, 1);
    return [first, await counter.increment(1), await peer.readIt(counter)];
  }

  // A stub of an object; it may be kept.
  async withObject(peer, other) {
    await peer.keepAsItIs(other);
    return await peer.askKept("add", 2, 3);
  }

  async askKept(method, ...given) {
    return await this.kept[method](...given);
  }

  // A stub of this very object.
  async withOwnStub(peer) {
    const own = this.ctx.exports.Subject.getByName(this.ctx.id.name);
    return await peer.ask(own, "greetingIs");
  }

  greetingIs() {
    return this.greeting;
  }

  async echoed(peer) {
    const [counter, callback, plain] = await peer.echo([new Counter(this, 1), () => "called", 7]);
    const results = [await counter.increment(1), await callback(), plain];
    counter[Symbol.dispose]();
    callback[Symbol.dispose]();
    return results;
  }

  async inSection(peer) {
    return await this.ctx.blockConcurrencyWhile(async () => await peer.callBack(() => "called in the section"));
  }

  async leaveAFunction(peer) {
    await peer.keep((number) => number + 1);
  }

  async leaveACounter(peer) {
    await peer.keep(new Counter(this, 1));
  }

  async leaveACounterUndupped(peer) {
    await peer.keepAsItIs(new Counter(this, 1));
  }

  async holdCounter(peer) {
    this.held = await peer.makeCounter(1);
    return await this.held.increment(1);
  }

  async incrementHeld() {
    return await this.held.increment(1);
  }

  async releaseCounter() {
    this.held[Symbol.dispose]();
  }

  // How many of the peer's targets had been disposed of, before and after.
  async disposalsOf(peer, act) {
    const counts = [await peer.disposed()];
    if (act === "once") {
      using counter = await peer.makeCounter(1);
      await counter.increment(1);
    } else if (act === "dup") {
      const counter = await peer.makeCounter(1);
      const other = counter.dup();
      counter[Symbol.dispose]();
      counter[Symbol.dispose]();
      await sleep(50);
      counts.push(await peer.disposed());
      await other.increment(1);
      other[Symbol.dispose]();
    } else if (act === "promise") {
      using promise = peer.counters();
      await promise.first.increment(1);
    } else {
      using counter = await peer.makeCounter(1);
      await peer.incrementIt(counter, 1);
      await peer.incrementIt(counter, 1);
    }
    await sleep(50);
    return [...counts, await peer.disposed()];
  }

  // How many of this object's targets were disposed of, after so many calls that took one along.
  async ownDisposals(peer, calls) {
    const before = this.disposals;
    for (let number = 0; number < calls; number++) await peer.incrementIt(new Counter(this, 1), 1);
    await sleep(50);
    return this.disposals - before;
  }

  async afterDispose(peer) {
    const counter = await peer.makeCounter(1);
    counter[Symbol.dispose]();
    counter[Symbol.dispose]();
    const add = await peer.tools.add;
    add[Symbol.dispose]();
    const promise = peer.makeCounter(1);
    promise[Symbol.dispose]();
    return [
      await failure(() => counter.increment(1)),
      await failure(async () => await counter.value),
      await failure(() => add(1, 2)),
      await failure(() => peer.incrementIt(counter, 1)),
      await failure(promise),
    ];
  }

  async refused(peer) {
    const promise = peer.add(1, 2);
    const results = [
      await failure(() => peer.echo(new Strange())),
      await failure(() => peer.echo({ a: [promise] })),
      await failure(() => peer.echo(peer.greeting)),
      await failure(peer.strange()),
    ];
    await promise;
    return results;
  }

  async failedCall(peer) {
    try {
      await peer.failWith({ tag: "a", count: 3 });
    } catch (error) {
      return { type: error.name, remote: error.remote, reset: error.durableObjectReset ?? false, tag: error.tag };
    }
  }

  // A stub of something of one's own.
  async wrapped() {
    const stub = new RpcStub(new Counter(this, 1));
    const other = stub.dup();
    const first = await stub.increment(1);
    stub[Symbol.dispose]();
    const second = await other.increment(1);
    const before = this.disposals;
    other[Symbol.dispose]();
    await sleep(50);
    return [first, second, this.disposals - before];
  }

  // ── storage, exports ────────────────────────────────────────────────────────────────────────────────────

  async entry(method, ...given) {
    return await this.ctx.exports.Entry({ props: { a: 1 } })[method](...given);
  }

  async cacheInEntry() {
    await this.entry("cache", () => 1);
    return await this.entry("useCached");
  }

  store(what) {
    const { Entry: entry, Subject: own } = this.ctx.exports;
    const things = {
      entry: () => entry,
      called: () => entry({ props: { a: 1 } }),
      stub: () => own.getByName("stored"),
      function: () => () => 1,
    };
    this.ctx.storage.kv.put("stub", { it: things[what]() });
  }

  async useStored(method, ...given) {
    return await this.ctx.storage.kv.get("stub").it[method](...given);
  }
}

let cached = null;

export class Entry extends WorkerEntrypoint {
  disposals = 0;

  show() {
    return this.ctx.props;
  }

  makeCounter(start) {
    return new Counter(this, start);
  }

  async callBack(callback, ...given) {
    return await callback(...given);
  }

  cache(stub) {
    cached = stub.dup();
  }

  async useCached() {
    try {
      return await cached();
    } catch (error) {
      return error.message;
    }
  }

  async fetch() {
    return new Response("fetched");
  }
}
