// What the cases of storage ask of an object, as subject_storage.py says it.
import { DurableObject } from "cloudflare:workers";

const sleep = (seconds) => new Promise((resolve) => setTimeout(resolve, seconds * 1000));

export class Subject extends DurableObject {
  constructor(ctx, env) {
    super(ctx, env);
    this.storage = ctx.storage;
    this.memory = 0;
    this.events = [];
    if (Date.now() < (this.storage.kv.get("fail_until") ?? 0)) {
      ctx.blockConcurrencyWhile(async () => {
        await sleep(0.5);
        throw new Error("the start failed");
      });
    }
  }

  failFor(milliseconds) {
    this.storage.kv.put("fail_until", Date.now() + milliseconds);
  }

  // Plain steps

  count() {
    return this.memory++;
  }

  note(label) {
    this.events.push(label);
    return this.events;
  }

  read(key) {
    return this.storage.kv.get(key);
  }

  sql(query, ...bindings) {
    return [...this.storage.sql.exec(query, ...bindings).raw()];
  }

  columns(query, ...bindings) {
    return this.storage.sql.exec(query, ...bindings).columnNames;
  }

  // The asynchronous face

  async get(key) {
    return await this.storage.get(key);
  }

  async getEntries(keys) {
    return [...(await this.storage.get(keys))];
  }

  async put(key, value) {
    await this.storage.put(key, value);
  }

  async putAll(entries) {
    await this.storage.put(entries);
  }

  async putNothing() {
    await this.storage.put("k", undefined);
  }

  async putEntriesAndAValue() {
    await this.storage.put({ a: 1 }, 2);
  }

  async putOneBad() {
    try {
      await this.storage.put({ a: 1, b: () => 1 });
    } catch (error) {
      return error.message;
    }
  }

  async putSkippingUndefined() {
    await this.storage.put({ a: 1, b: undefined });
  }

  async forget(key) {
    return await this.storage.delete(key);
  }

  async list(options) {
    return [...(await this.storage.list(options))];
  }

  async writeOverAwaits() {
    await this.storage.put("a", 1);
    await this.storage.get("a");
    await this.storage.put("b", 2);
    this.ctx.abort("between");
  }

  async unconfirmed(what) {
    const options = { allowUnconfirmed: true };
    if (["put", "mixed", "then sql"].includes(what)) this.storage.put("u", 1, options);
    if (what === "many") this.storage.put({ u: 1, v: 2 }, options);
    if (what === "delete") this.storage.delete("u", options);
    if (what === "mixed") this.storage.put("c", 1);
    if (what === "then sql") this.storage.sql.exec("INSERT INTO t VALUES (1)");
    if (what === "rolled back") {
      this.storage.put("u", 1, options);
      try {
        this.storage.transactionSync(() => {
          this.storage.put("c", 1);
          throw new Error("undo it");
        });
      } catch {}
    }
    return "answered";
  }

  async unconfirmedThenSync() {
    this.storage.put("u", 1, { allowUnconfirmed: true });
    await this.storage.sync();
    return "synced";
  }

  async sync() {
    await this.storage.sync();
    return "synced";
  }

  async syncBeforeMore() {
    this.storage.put("u", 1, { allowUnconfirmed: true });
    const synced = this.storage.sync();
    this.events.push("syncing");
    await synced;
    this.events.push("synced");
    return "synced";
  }

  // Transactions of one turn

  syncTransaction(key, value, fails) {
    try {
      return this.storage.transactionSync(() => {
        this.storage.kv.put(key, value);
        if (fails) throw new Error("undo it");
        return "foo";
      });
    } catch (error) {
      return error.message;
    }
  }

  nestedSyncTransactions() {
    this.storage.transactionSync(() => {
      this.storage.kv.put("outer", 1);
      try {
        this.storage.transactionSync(() => {
          this.storage.kv.put("inner", 1);
          this.storage.kv.put("outer", 2);
          throw new Error("undo it");
        });
      } catch {}
    });
  }

  syncTransactionWithBadSql() {
    try {
      this.storage.transactionSync(() => {
        this.storage.sql.exec("CREATE TABLE made (x)");
        this.storage.sql.exec("SELECT * FROM no_such_table");
      });
    } catch (error) {
      return error.message;
    }
  }

  asyncInASyncTransaction() {
    this.storage.transactionSync(async () => {});
  }

  syncTransactionAfterACriticalError(query) {
    try {
      this.storage.transactionSync(() => {
        try {
          this.storage.sql.exec(query);
        } catch {}
      });
    } catch (error) {
      return error.message;
    }
  }

  catchSql(query) {
    try {
      this.storage.sql.exec(query);
    } catch (error) {
      return error.message;
    }
  }

  async afterACriticalError(query) {
    const texts = [];
    for (const operation of [
      () => this.storage.sql.exec(query),
      () => this.storage.kv.get("a"),
      () => this.storage.kv.put("a", 1),
      () => this.storage.sql.exec("SELECT 1"),
      () => this.storage.put("a", 1),
      () => this.storage.deleteAll(),
    ]) {
      try {
        await operation();
        texts.push("nothing");
      } catch (error) {
        texts.push(error.message);
      }
    }
    return texts;
  }

  // The end of it all

  async putAndDeleteAll() {
    this.storage.kv.put("late", 1);
    await this.storage.deleteAll();
    return [this.storage.kv.get("late") ?? null, this.storage.kv.get("early") ?? null];
  }

  async deleteAll() {
    await this.storage.deleteAll();
  }

  async deleteAllAndAbort() {
    await this.storage.deleteAll();
    this.ctx.abort("after all");
  }

  readBeyondTheEnd() {
    const rows = this.storage.sql
      .exec("WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n LIMIT 1000) SELECT x FROM n");
    rows.next();
    this.storage.deleteAll();
    return [1, 2].map(() => {
      try {
        return [...rows];
      } catch (error) {
        return error.message;
      }
    });
  }

  async deleteAllInASyncTransaction() {
    let deleting;
    this.storage.transactionSync(() => {
      deleting = this.storage.deleteAll();
    });
    await deleting;
  }

  // Alarms

  alarm() {
    this.storage.kv.put("rang", 1);
  }

  async alarmAndDeleteAll(keeps) {
    await this.storage.setAlarm(3_000_000_000_000);
    await this.storage.deleteAll({ deleteAlarm: !keeps });
    return (await this.storage.getAlarm()) !== null;
  }

  async alarmInATransaction(how) {
    await this.storage.transaction(async (txn) => {
      await txn.setAlarm(3_000_000_000_000);
      await sleep(1);
      if (how === "rollback") txn.rollback();
    });
    return (await this.storage.getAlarm()) !== null;
  }

  alarmInASyncTransaction() {
    try {
      this.storage.transactionSync(() => {
        this.storage.setAlarm(3_000_000_000_000);
        throw new Error("undo it");
      });
    } catch {}
  }

  async hasAlarm() {
    return (await this.storage.getAlarm()) !== null;
  }

  async catchIn(kind, query) {
    const inside = () => {
      try {
        this.storage.sql.exec(query);
      } catch {}
    };
    if (kind === "sync") this.storage.transactionSync(inside);
    else if (kind === "async") await this.storage.transaction(async () => inside());
    else inside();
    return "caught";
  }

  // Transactions that last

  async transact(key, value, how, seconds = 0) {
    try {
      return await this.storage.transaction(async (txn) => {
        await txn.put(key, value);
        if (seconds) await sleep(seconds);
        this.storage.kv.put(key + " too", value);
        if (how === "throw") throw new Error("undo it");
        if (how === "rollback") {
          txn.rollback();
          txn.rollback();
        }
        return "foo";
      });
    } catch (error) {
      return error.message;
    }
  }

  async implicitThenTransaction() {
    this.storage.kv.put("implicit", 1);
    await this.storage.transaction(async (txn) => {
      this.storage.kv.put("explicit", 1);
      txn.rollback();
    });
  }

  async nestedTransactions(seconds, innerFails, outerFails) {
    await this.storage.transaction(async (txn) => {
      await txn.put("outer", 1);
      try {
        await this.storage.transaction(async (inner) => {
          await inner.put("inner", 1);
          if (seconds) await sleep(seconds);
          if (innerFails) throw new Error("undo it");
        });
      } catch {}
      if (outerFails) txn.rollback();
    });
  }

  async transactionAroundASyncOne() {
    await this.storage.transaction(async (txn) => {
      await txn.put("outer", 1);
      this.syncTransaction("inner", 1, true);
      await sleep(1);
      this.syncTransaction("other", 1, false);
    });
  }

  async useAfter(how) {
    let kept;
    await this.storage.transaction(async (txn) => {
      kept = txn;
      if (how === "rolled back") {
        txn.rollback();
        await txn.put("k", 1);
      }
    });
    await kept.get("k");
  }

  async rollBackTheOuterOne() {
    const texts = [];
    await this.storage.transaction(async (txn) => {
      await this.storage.transaction(async () => {
        await sleep(1);
        try {
          txn.rollback();
        } catch (error) {
          texts.push(error.message);
        }
      });
    });
    return texts;
  }

  async deleteAllInATransaction(through) {
    await this.storage.transaction(async (txn) => {
      await (through === "txn" ? txn : this.storage).deleteAll();
    });
  }

  async twoTransactions() {
    const one = (label) => this.storage.transaction(async (txn) => {
      this.events.push(`begin ${label}`);
      const before = (await txn.get("n")) ?? 0;
      await sleep(1);
      await txn.put("n", before + 1);
      this.events.push(`end ${label}`);
    });
    await Promise.all([one("a"), one("b")]);
    return this.events;
  }

  async outsideOfATransaction() {
    this.ctx.waitUntil(sleep(2).then(() => {
      this.events.push("outside");
      this.storage.kv.put("outside", 1);
    }));
    await this.storage.transaction(async (txn) => {
      await txn.put("k", 1);
      await sleep(5);
      this.events.push("inside");
      txn.rollback();
    });
    this.events.push("after");
  }

  async transactionThatCounts(seconds) {
    await this.storage.transaction(async (txn) => {
      await txn.put("n", 1);
      await sleep(seconds);
      await txn.put("n", 2);
    });
    return "done";
  }

  // Critical sections

  async nestedSections(depth) {
    return await this.ctx.blockConcurrencyWhile(async () => {
      if (depth > 1) return await this.nestedSections(depth - 1);
      return "at the bottom";
    });
  }

  async tooDeep(depth) {
    return await this.ctx.blockConcurrencyWhile(async () => {
      if (depth > 1) return await this.tooDeep(depth - 1);
      try {
        this.ctx.blockConcurrencyWhile(async () => {});
      } catch (error) {
        return error.message;
      }
    });
  }

  async twoSections() {
    const one = async (label) => {
      await this.ctx.blockConcurrencyWhile(async () => {
        this.events.push(`begin ${label}`);
        await sleep(1);
        this.events.push(`end ${label}`);
      });
      this.events.push(`after ${label}`);
    };
    await Promise.all([one("a"), one("b")]);
    return this.events;
  }

  async twoNestedSections() {
    const one = (label) => this.ctx.blockConcurrencyWhile(async () => {
      this.events.push(`begin ${label}`);
      await sleep(1);
      this.events.push(`end ${label}`);
    });
    await this.ctx.blockConcurrencyWhile(async () => {
      this.events.push("begin outer");
      await Promise.all([one("a"), one("b")]);
      this.events.push("end outer");
    });
    return this.events;
  }

  async nap(seconds) {
    await sleep(seconds);
    this.events.push("napped");
    return this.events;
  }

  async section(seconds) {
    await this.ctx.blockConcurrencyWhile(async () => {
      this.events.push("begin section");
      await sleep(seconds);
      this.events.push("end section");
    });
    this.events.push("after section");
    return this.events;
  }

  async failingInnerSection() {
    await this.ctx.blockConcurrencyWhile(async () => {
      try {
        await this.ctx.blockConcurrencyWhile(async () => {
          throw new Error("the inner section failed");
        });
      } catch {
        this.storage.kv.put("survived", 1);
      }
    });
  }

  // Facets

  facet(name) {
    return this.ctx.facets.get(name, () => ({ class: this.ctx.exports.Subject }));
  }

  async putInFacet(name, key, value) {
    await this.facet(name).put(key, value);
  }

  async readInFacet(name, key) {
    return await this.facet(name).read(key);
  }

  facetNames() {
    return this.ctx.facets.list();
  }

  async transactionOverAFacetCall(name) {
    await this.storage.transaction(async (txn) => {
      await txn.put("k", 1);
      await txn.put("answer", await this.facet(name).count());
    });
    return await this.storage.get("answer");
  }

  async sectionThatStartsAFacet(name) {
    return await this.ctx.blockConcurrencyWhile(() => this.facet(name).count());
  }
}
