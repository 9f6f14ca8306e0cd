// What the cases of calls ask of an object, as subject_calls.py says it.
import { DurableObject, RpcStub, RpcTarget, WorkerEntrypoint } from "cloudflare:workers";

class Counter extends RpcTarget {
  constructor(value, log) {
    super();
    this.value = value;
    this.log = log;
  }

  increment(by = 1) {
    this.value += by;
    return this.value;
  }

  get total() {
    return this.value;
  }

  [Symbol.dispose]() {
    this.log.push("disposed");
  }
}

class Money {}

export class Subject extends DurableObject {
  constructor(ctx, env) {
    super(ctx, env);
    this.log = [];
    this.secret = "own";
    this.kept = {};
  }

  // As callee

  get settings() {
    return { deep: { number: 7, add: (first, second) => first + second } };
  }

  counter(value) {
    return new Counter(value, this.log);
  }

  logged() {
    return this.log;
  }

  async callBack(callback, ...values) {
    return await callback(...values);
  }

  async useTwice(counter) {
    return [await counter.increment(1), await counter.increment(1)];
  }

  keep(name, stub) {
    this.kept[name] = stub.dup();
  }

  async useKept(name) {
    return await this.kept[name].increment(1);
  }

  drop(name) {
    this.kept[name][Symbol.dispose]();
  }

  echo(value) {
    return value;
  }

  fail() {
    throw new TypeError("it failed");
  }

  stop() {
    this.ctx.abort("stopped");
  }

  get(value) {
    return `get ${value}`;
  }

  put(key, value) {
    return `put ${key} ${value}`;
  }

  delete(key) {
    return `delete ${key}`;
  }

  // As caller

  async attempt(peer, path, ...values) {
    let found = peer;
    for (const name of path) found = found[name];
    try {
      return await found(...values);
    } catch (error) {
      return [error.message, error.remote ?? false, error.durableObjectReset ?? false];
    }
  }

  async pipelined(peer) {
    const counter = peer.counter(1);
    const calls = [counter.increment(2), counter.increment(3), counter.total];
    const values = [];
    for (const call of calls) values.push(await call);
    return [...values, await peer.settings.deep.number, await peer.settings.deep.add(1, 2)];
  }

  async baseFails(peer) {
    const base = peer.fail();
    const seen = [];
    for (const call of [base.x.y(), base.z, base]) await call.catch((error) => seen.push(error.message));
    return seen;
  }

  async inOrder(peer) {
    const counter = peer.counter(0);
    return await Promise.all(Array.from({ length: 6 }, () => counter.increment(1)));
  }

  async withCallback(peer) {
    return await peer.callBack((first, second) => [first, second, this.secret], 1, "b");
  }

  async methodAsFunction(peer) {
    const counter = await peer.counter(1);
    const increment = await counter.increment;
    return [await increment(4), await counter.total];
  }

  async lend(peer, times) {
    const counter = new Counter(0, this.log);
    const seen = [];
    for (let time = 0; time < times; time++) seen.push(await peer.useTwice(counter));
    return seen;
  }

  async lendStub(peer) {
    const stub = (this.kept.own = new RpcStub(new Counter(0, this.log)));
    return [await peer.useTwice(stub), await peer.useTwice(stub), await stub.total];
  }

  async lendToKeep(peer) {
    await peer.keep("a", new Counter(10, this.log));
  }

  async usedAfterDisposal(peer) {
    const counter = await peer.counter(1);
    const second = counter.dup();
    counter[Symbol.dispose]();
    counter[Symbol.dispose]();
    const seen = [await second.increment(1)];
    second[Symbol.dispose]();
    for (const stub of [counter, second]) await stub.increment(1).catch((error) => seen.push(error.message));
    return seen;
  }

  async through(middle, peer) {
    const theirs = await peer.counter(1);
    const back = await middle.echo({ mine: new Counter(100, this.log), theirs, peer });
    return [
      await back.mine.increment(1),
      await back.theirs.increment(1),
      await theirs.increment(1),
      await back.peer.counter(5).total,
    ];
  }

  async refused(peer, what) {
    const value = { instance: () => new Money(), promise: () => peer.counter(1), property: () => peer.counter }[what]();
    try {
      await peer.echo([value]);
    } catch (error) {
      return error.message;
    }
    return null;
  }

  tooDeep(peer) {
    let found = peer;
    for (let step = 0; step < 64; step++) found = found.x;
    try {
      found.x;
    } catch (error) {
      return error.message;
    }
    return null;
  }

  // What can be stored

  store(what) {
    const { Entry } = this.ctx.exports;
    this.ctx.storage.kv.put("stub", { entry: what === "called" ? Entry({ props: { n: 1 } }) : Entry });
  }

  async stored() {
    return await this.ctx.storage.kv.get("stub").entry.show();
  }

  async acrossRequests() {
    const entry = this.ctx.exports.Entry({});
    const seen = [await entry.hold(() => "held")];
    await entry.useHeld().catch((error) => seen.push(error.message));
    return seen;
  }
}

let held;

export class Entry extends WorkerEntrypoint {
  show() {
    return this.ctx.props;
  }

  async hold(callback) {
    held = callback.dup();
    return await held();
  }

  async useHeld() {
    return await held();
  }
}
