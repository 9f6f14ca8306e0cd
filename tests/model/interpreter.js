// The same as interpreter.py.
import { DurableObject } from "cloudflare:workers";

class Undo extends Error {}

const nap = (seconds) => new Promise((done) => setTimeout(done, seconds * 1000));

export class Interpreter extends DurableObject {
  constructor(ctx, env) {
    super(ctx, env);
    this.turns = 0;
    ctx.storage.sql.exec("create table if not exists item(n integer primary key, text)");
  }

  async run(path, operations) {
    if (path.length) return await this.facet(path[0]).run(path.slice(1), operations);
    this.turns += 1;
    const turns = this.turns, results = [];
    for (const operation of operations) {
      const result = this.do(...operation);
      results.push(result instanceof Promise ? await result : result);
    }
    return [turns, results];
  }

  startFacet(name) {
    return { class: this.ctx.exports.Interpreter };
  }

  facet(name) {
    return this.ctx.facets.get(name);
  }

  alarm() {
    const { kv } = this.ctx.storage;
    kv.put("rang", (kv.get("rang") ?? 0) + 1);
  }

  do(verb, ...operands) {
    const { kv, sql } = this.ctx.storage;
    switch (verb) {
      case "put": kv.put(...operands); return null;
      case "get": return kv.get(operands[0]) ?? null;
      case "delete": return kv.delete(operands[0]);
      case "batch":
        this.ctx.storage.put(Object.fromEntries(operands[0]));
        this.ctx.storage.delete(operands[1]);
        return null;
      case "entries": return [...kv.list()];
      case "insert": sql.exec("insert or replace into item values (?, ?)", ...operands); return null;
      case "remove": sql.exec("delete from item where n = ?", ...operands); return null;
      case "rows": return [...sql.exec("select n, text from item order by n").raw()];
      case "alarm": this.ctx.storage.setAlarm(Date.now() + operands[0] * 1000); return null;
      case "no_alarm": this.ctx.storage.deleteAlarm(); return null;
      case "transaction": return this.transaction(...operands);
      case "open": return this.open(...operands);
      case "clone": return this.clone(...operands);
      case "forget":
        this.ctx.storage.deleteAll();
        sql.exec("create table if not exists item(n integer primary key, text)");
        return null;
      case "facets": return this.ctx.facets.list();
      case "delete_facet": this.ctx.facets.delete(operands[0]); return null;
      case "abort_facet": this.ctx.facets.abort(operands[0], "aborted as asked"); return null;
      case "fail": throw new Error("failed as asked");
      case "abort": this.ctx.abort("aborted as asked");
    }
    throw new Error(`no such verb: ${verb}`);
  }

  async clone(source, target) {
    await this.ctx.facets.clone(source, target);
    return null;
  }

  async open(operations, fails, napS) {
    const results = [];
    try {
      await this.ctx.storage.transaction(async () => {
        for (const operation of operations) {
          results.push(this.do(...operation));
          await nap(0);
        }
        await nap(napS);
        if (fails) throw new Undo();
      });
    } catch (error) {
      if (!(error instanceof Undo)) throw error;
    }
    return results;
  }

  transaction(operations, fails) {
    const results = [];
    try {
      this.ctx.storage.transactionSync(() => {
        for (const operation of operations) results.push(this.do(...operation));
        if (fails) throw new Undo();
      });
    } catch (error) {
      if (!(error instanceof Undo)) throw error;
    }
    return results;
  }
}
