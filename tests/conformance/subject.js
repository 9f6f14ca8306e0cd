// What the behaviour cases ask of an object, as subject.py says it.
import { DurableObject } from "cloudflare:workers";

const sleep = (seconds) => new Promise((resolve) => setTimeout(resolve, seconds * 1000));

export class Subject extends DurableObject {
  constructor(ctx, env) {
    super(ctx, env);
    this.memory = 0;
    this.events = [];
    this.starts = 0;
    this.kv = ctx.storage.kv;
    if (Date.now() < (this.kv.get("fail_until") ?? 0)) throw new Error("the constructor failed");
    this.kv.put("constructed", (this.kv.get("constructed") ?? 0) + 1);
  }

  // Life

  fetch(request) {
    this.kv.put("fetched", (this.kv.get("fetched") ?? 0) + 1);
    return new Response(`${request.method} ${request.url} ${this.kv.get("fetched")}`);
  }

  count() {
    return this.memory++;
  }

  constructed() {
    return this.kv.get("constructed");
  }

  put(key, value) {
    this.kv.put(key, value);
  }

  read(key) {
    return this.kv.get(key);
  }

  failFor(milliseconds) {
    this.kv.put("fail_until", Date.now() + milliseconds);
  }

  boom() {
    this.kv.put("before boom", 1);
    const error = new Error("boom");
    error.name = "ValueError";
    throw error;
  }

  stop(reason) {
    this.kv.put("n", 888);
    this.ctx.abort(reason);
  }

  stopWithWorkQueued() {
    Promise.resolve().then(() => this.kv.put("late", 1));
    setTimeout(() => this.kv.put("late", 1), 0);
    this.ctx.abort("stopped");
  }

  identity() {
    return { id: String(this.ctx.id), name: this.ctx.id.name ?? null, props: this.ctx.props };
  }

  now() {
    return Date.now();
  }

  // Gates

  async nap(seconds) {
    await sleep(seconds);
    return this.memory;
  }

  pin(seconds) {
    this.ctx.waitUntil(sleep(seconds));
  }

  failInBackground() {
    this.ctx.waitUntil(sleep(1).then(() => { throw new Error("nobody waits for this"); }));
  }

  note(label) {
    this.events.push(label);
    return this.events;
  }

  async section(label, seconds) {
    return await this.ctx.blockConcurrencyWhile(async () => {
      this.events.push(`begin ${label}`);
      await sleep(seconds);
      this.events.push(`end ${label}`);
      return label;
    });
  }

  async failingSection() {
    try {
      await this.ctx.blockConcurrencyWhile(async () => {
        await sleep(1);
        throw new Error("the section failed");
      });
    } catch {
      this.kv.put("survived", 1);
    }
  }

  async writeAroundANap(seconds) {
    this.kv.put("first", 1);
    await sleep(seconds);
    this.kv.put("second", 1);
  }

  // KV

  keys(options) {
    return [...this.kv.list(options)].map(([key]) => key);
  }

  forget(key) {
    return this.kv.delete(key);
  }

  staleListing() {
    const first = this.kv.list();
    first.next();
    [...this.kv.list()];
    first.next();
  }

  writeWhileListing() {
    const seen = [];
    for (const [key] of this.kv.list()) {
      seen.push(key);
      this.kv.delete(key);
    }
    return seen;
  }

  // SQL

  sql(query, ...bindings) {
    const cursor = this.ctx.storage.sql.exec(query, ...bindings);
    return { names: cursor.columnNames, rows: [...cursor.raw()] };
  }

  rows(query) {
    return this.ctx.storage.sql.exec(query).toArray();
  }

  one(query) {
    return this.ctx.storage.sql.exec(query).one();
  }

  readAndWritten(query, count) {
    const cursor = this.ctx.storage.sql.exec(query);
    const rows = cursor.raw();
    for (let i = 0; i < count; i++) rows.next();
    return [cursor.rowsRead, cursor.rowsWritten];
  }

  twoCursors() {
    const query = "SELECT column1 AS n FROM (VALUES (1), (2))";
    const first = this.ctx.storage.sql.exec(query);
    const second = this.ctx.storage.sql.exec(query);
    return [first.next().value.n, second.next().value.n, first.next().value.n, second.next().value.n];
  }

  blob() {
    const row = this.ctx.storage.sql.exec("SELECT ? AS a, zeroblob(2) AS b, ? AS c", new Uint8Array([1, 255]), null).one();
    return [[...new Uint8Array(row.a)], [...new Uint8Array(row.b)], row.c];
  }

  databaseSize() {
    return this.ctx.storage.sql.databaseSize;
  }

  // Facets

  start() {
    this.starts += 1;
    return { class: this.ctx.exports.Subject };
  }

  facet(name) {
    return this.ctx.facets.get(name, () => this.start());
  }

  async relay(path, method, ...callArguments) {
    const facet = this.facet(path[0]);
    if (path.length > 1) return await facet.relay(path.slice(1), method, ...callArguments);
    return await facet[method](...callArguments);
  }

  async relayFetch(name, url) {
    return await (await this.facet(name).fetch(url)).text();
  }

  started() {
    return this.starts;
  }

  async withFailingStart(name) {
    return await this.ctx.facets.get(name, () => { throw new Error("this start callback failed"); }).count();
  }

  async withSlowStart(name, seconds) {
    return await this.ctx.facets.get(name, async () => {
      await sleep(seconds);
      return this.start();
    }).count();
  }

  async withIdentity(name, id) {
    return await this.ctx.facets.get(name, () => ({ class: this.ctx.exports.Subject, id })).identity();
  }

  async withProps(name, props) {
    return await this.ctx.facets.get(name, () => ({ class: this.ctx.exports.Subject({ props }) })).identity();
  }

  async withAnotherClass(name) {
    return await this.ctx.facets.get(name, () => ({ class: this.ctx.exports.Another })).read("n");
  }

  keepStub(name) {
    this.kept = this.facet(name);
  }

  async useKeptStub() {
    return await this.kept.count();
  }

  abortFacet(name, reason) {
    this.ctx.facets.abort(name, reason);
  }

  deleteFacet(name) {
    this.ctx.facets.delete(name);
  }

  facetNames() {
    return this.ctx.facets.list();
  }

  nameAFacet(name) {
    this.ctx.facets.get(name, () => this.start());
  }
}

export class Another extends DurableObject {
  read(key) {
    return `another class reads ${this.ctx.storage.kv.get(key)}`;
  }
}
