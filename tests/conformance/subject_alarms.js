// What the cases of alarms ask of an object: each run of its handler is noted, then it does what its mode says.
import { DurableObject } from "cloudflare:workers";

const sleep = (seconds) => new Promise((resolve) => setTimeout(resolve, seconds * 1000));
const fail = () => {
  const error = new Error("this alarm fails");
  error.name = "ValueError";
  throw error;
};

export class Subject extends DurableObject {
  constructor(ctx, env) {
    super(ctx, env);
    this.storage = ctx.storage;
    this.kv = ctx.storage.kv;
    if ((this.kv.get("fail_until") ?? 0) > Date.now()) throw new Error("the constructor failed");
  }

  async alarm(info) {
    const inside = await this.storage.getAlarm();
    const run = {
      at: Date.now(),
      scheduled: info.scheduledTime,
      retries: info.retryCount,
      is_retry: info.isRetry,
      inside,
      name: this.ctx.id.name,
    };
    this.kv.put("runs", [...this.runs(), run]);
    await this[`run_${this.kv.get("mode") ?? "plain"}`]();
  }

  runs() {
    return this.kv.get("runs") ?? [];
  }

  ranAt() {
    return this.runs().map((run) => run.at);
  }

  setMode(mode) {
    this.kv.put("mode", mode);
  }

  async setIn(spanMs) {
    const at = Date.now() + spanMs;
    await this.storage.setAlarm(new Date(at));
    return at;
  }

  setAt(at) {
    this.storage.setAlarm(at);
  }

  async setBad(which) {
    await this.storage.setAlarm({ nan: NaN, text: "soon", zero: 0, negative: -1, late: 253_402_300_800_000 }[which]);
  }

  get() {
    return this.storage.getAlarm();
  }

  async clear() {
    await this.storage.deleteAlarm();
  }

  async setAndAbort(spanMs) {
    await this.storage.setAlarm(Date.now() + spanMs);
    this.ctx.abort("dropped");
  }

  async setUnconfirmed(spanMs) {
    await this.storage.setAlarm(Date.now() + spanMs, { allowUnconfirmed: true });
  }

  undo(spanMs) {
    try {
      this.storage.transactionSync(() => {
        this.storage.setAlarm(Date.now() + spanMs);
        fail();
      });
    } catch {
      // It is undone.
    }
  }

  async undoLater(spanMs) {
    const undone = this.storage.transaction(async (txn) => {
      await txn.setAlarm(Date.now() + spanMs);
      await sleep(1);
      fail();
    });
    await undone.catch(() => {});
  }

  async keepLater(spanMs) {
    const at = Date.now() + spanMs;
    await this.storage.transaction(async (txn) => {
      await txn.setAlarm(at);
      await sleep(1);
    });
    return at;
  }

  async setTwice(firstMs, secondMs) {
    const start = Date.now();
    await this.storage.setAlarm(start + firstMs);
    await this.storage.setAlarm(start + secondMs);
  }

  failConstructor(spanMs) {
    this.kv.put("fail_until", Date.now() + spanMs);
  }

  ownName() {
    return this.ctx.id.name;
  }

  getNow() {
    return Date.now();
  }

  // What the handler does, by mode.

  async run_plain() {}

  async run_fail() {
    fail();
  }

  async run_fail_and_clear() {
    await this.storage.deleteAlarm();
    fail();
  }

  async run_clear() {
    await this.storage.deleteAlarm();
  }

  async run_set_and_clear() {
    await this.storage.setAlarm(Date.now() + 5_000);
    await this.storage.deleteAlarm();
  }

  async run_again() {
    if (this.runs().length < 3) await this.storage.setAlarm(Date.now() + 10_000);
  }

  async run_set_and_fail() {
    if (this.runs().length === 1) {
      await this.storage.setAlarm(Date.now() + 100_000);
      fail();
    }
  }

  async run_abort() {
    if (this.runs().length === 1) {
      await sleep(1);
      this.ctx.abort("enough");
    }
  }

  async run_abort_for_good() {
    await sleep(1);
    this.ctx.abort("enough", { retryAlarm: false });
  }

  async run_set_and_abort_for_good() {
    if (this.runs().length === 1) {
      await this.storage.setAlarm(Date.now() + 50_000);
      await sleep(1);
      this.ctx.abort("enough", { retryAlarm: false });
    }
  }

  async run_break_commit() {
    if (this.kv.get("is_mended")) return;
    this.storage.sql.exec("CREATE TABLE IF NOT EXISTS parent(id INTEGER PRIMARY KEY)");
    this.storage.sql.exec("CREATE TABLE IF NOT EXISTS child(p INTEGER REFERENCES parent(id))");
    this.storage.sql.exec("PRAGMA defer_foreign_keys = ON");
    this.storage.sql.exec("INSERT INTO child VALUES (42)");
  }

  mend() {
    this.kv.put("is_mended", true);
  }

  async run_sleep_long() {
    await sleep(1_000);
  }

  async run_write_late() {
    await sleep(5);
    this.kv.put("late", 1);
  }

  late() {
    return this.kv.get("late");
  }

  // Facets

  startFacet(name) {
    return { class: this.ctx.exports[name === "handless" ? "Handless" : "Subject"] };
  }

  async clone(source, target) {
    await this.ctx.facets.clone(source, target);
  }

  relay(path, method, ...callArguments) {
    const facet = this.ctx.facets.get(path[0]);
    return path.length > 1 ? facet.relay(path.slice(1), method, ...callArguments) : facet[method](...callArguments);
  }

  belowDullParent() {
    return this.ctx.facets.get("dull", () => ({ class: this.ctx.exports.Dull })).childAlarm();
  }

  async span() {
    await this.setIn(7_000);
    return (await this.get()) - Date.now();
  }
}

/** It has no alarm handler. */
export class Handless extends DurableObject {
  constructor(ctx, env) {
    super(ctx, env);
    if (ctx.storage.kv.get("sets_in_constructor")) ctx.storage.setAlarm(Date.now() + 1_000);
  }

  async setIn(spanMs) {
    await this.ctx.storage.setAlarm(Date.now() + spanMs);
  }

  letConstructorSet() {
    this.ctx.storage.kv.put("sets_in_constructor", true);
  }

  get() {
    return this.ctx.storage.getAlarm();
  }
}

/** It does not say how to start its facets, and has an alarm of its own. */
export class Dull extends DurableObject {
  async childAlarm() {
    const own = Date.now() + 60_000;
    await this.ctx.storage.setAlarm(own);
    try {
      await this.ctx.facets.get("child", () => ({ class: this.ctx.exports.Subject })).setIn(1_000);
    } catch (error) {
      return [error.message, (await this.ctx.storage.getAlarm()) === own];
    }
    return ["no error", true];
  }

  alarm() {}
}
