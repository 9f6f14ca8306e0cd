// What the cases of stubs, clones, ids and levers ask of an object, as subject_levers.py says it.
import { DurableObject } from "cloudflare:workers";

const sleep = (seconds) => new Promise((resolve) => setTimeout(resolve, seconds * 1000));

export class Subject extends DurableObject {
  constructor(ctx, env) {
    super(ctx, env);
    this.memory = 0;
    this.kept = {};
  }

  facet(name) {
    return this.ctx.facets.get(name, () => ({ class: this.ctx.exports.Subject }));
  }

  async relay(path, method, ...args) {
    if (path.length > 0) return await this.facet(path[0]).relay(path.slice(1), method, ...args);
    return await this[method](...args);
  }

  // As a facet

  count() {
    return ++this.memory;
  }

  put(key, value) {
    this.ctx.storage.kv.put(key, value);
  }

  read(key) {
    return this.ctx.storage.kv.get(key);
  }

  names() {
    return this.ctx.facets.list();
  }

  identity() {
    return { id: String(this.ctx.id), name: this.ctx.id.name };
  }

  take(value) {
    return value;
  }

  // Stubs

  keep(key, name) {
    this.kept[key] = this.facet(name);
  }

  async useKept(key) {
    return await this.kept[key].count();
  }

  async useAndDrop(name, times) {
    let last;
    for (let index = 0; index < times; index++) last = await this.facet(name).count();
    return last;
  }

  abortFacet(name, reason) {
    this.ctx.facets.abort(name, reason);
  }

  deleteFacet(name) {
    this.ctx.facets.delete(name);
  }

  async sendStub() {
    await this.facet("a").take(this.facet("b"));
  }

  async sendStubWithin() {
    await this.facet("a").take({ deep: [this.facet("b")] });
  }

  storeStub() {
    this.ctx.storage.kv.put("stub", this.facet("b"));
  }

  async stubAsProps() {
    const kind = this.ctx.exports.Subject({ props: { stub: this.facet("b") } });
    await this.ctx.facets.get("c", () => ({ class: kind })).count();
  }

  returnStub() {
    return this.facet("b");
  }

  // Ids

  async inheriting(name) {
    return await this.ctx.facets.get(name, () => ({ class: this.ctx.exports.Subject, inheritId: true })).identity();
  }

  async bothIds(name) {
    return await this.ctx.facets.get(name, () => ({ class: this.ctx.exports.Subject, id: "x", inheritId: true })).identity();
  }

  // Levers

  under(name, limits, budget) {
    return this.ctx.facets.get(name, () => ({ class: this.ctx.exports.Subject, limits, budget }));
  }

  async relayUnder(name, limits, budget, method, ...args) {
    return await this.under(name, limits, budget)[method](...args);
  }

  async usage(name) {
    return await this.ctx.facets.usage(name ?? undefined);
  }

  raiseBudget(name, budget) {
    this.ctx.facets.setBudget(name, budget);
  }

  fill(size) {
    try {
      this.ctx.storage.kv.put("large", "x".repeat(size));
    } catch (error) {
      this.ctx.storage.kv.put("told", error.name);
      throw error;
    }
  }

  async clear() {
    await this.ctx.storage.deleteAll();
  }

  scribble(count) {
    for (let number = 0; number < count; number++) this.ctx.storage.kv.put(`row ${number}`, number);
  }

  forget(name) {
    this.ctx.facets.delete(name);
  }

  burn(rounds) {
    let total = 0;
    for (let number = 0; number < rounds; number++) total += number % 7;
    return total;
  }

  fail(text) {
    console.log("about to fail");
    const error = new Error(text);
    error.name = "ValueError";
    throw error;
  }

  someNames(startAfter, limit) {
    return this.ctx.facets.list({ startAfter, limit });
  }

  async listen() {
    return this.ctx.facets.events();
  }

  // Clones

  async clone(source, target) {
    await this.ctx.facets.clone(source, target);
  }

  cloneUnawaited(source, target) {
    this.ctx.facets.clone(source, target);
  }

  async putAndClone(source, target) {
    await this.facet(source).put("n", "just now");
    this.ctx.facets.clone(source, target);
    return await this.facet(target).read("n");
  }

  // While the root object is in a turn, or in a transaction

  spin(rows) {
    const query = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n LIMIT ?) SELECT max(x) AS m FROM n";
    return this.ctx.storage.sql.exec(query, rows).one().m;
  }

  writeAndSpin(rows, stops) {
    this.ctx.storage.kv.put("half", 1);
    this.spin(rows);
    if (stops) this.ctx.abort("stopped in the middle");
    this.ctx.storage.kv.put("half", 2);
  }

  wipe(rows = 0) {
    this.ctx.storage.deleteAll();
    if (rows) this.spin(rows);
  }

  async drop(name, seconds) {
    this.ctx.facets.delete(name);
    await sleep(seconds);
  }

  async later(seconds, path, method, ...args) {
    await sleep(seconds);
    return await this.relay(path, method, ...args);
  }

  async transact(seconds) {
    await this.ctx.storage.transaction(async (txn) => {
      await txn.put("n", 1);
      await sleep(seconds);
      await txn.put("n", 2);
    });
  }

  async transactOver(path, method, ...args) {
    let text;
    await this.ctx.storage.transaction(async (txn) => {
      await txn.put("n", 1);
      try {
        text = String(await this.relay(path, method, ...args));
      } catch (error) {
        text = error.message;
      }
    });
    return text;
  }
}
