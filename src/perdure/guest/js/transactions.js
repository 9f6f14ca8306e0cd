// Transactions that stay open while their code awaits. Each runs in a critical section, and is a savepoint of the unit.
import * as host from "./host.js";
import { endSection, requestSection, untilInnermost } from "./sections.js";

let endTransaction;

/** Runs `callback(txn)`; if it fails, what it wrote is undone, and the object goes on. */
export async function runTransaction(storage, callback) {
  const section = requestSection();
  await section.started;
  try {
    const transaction = new Transaction(storage, host.beginTransaction("async"));
    let result;
    try {
      result = await callback(transaction);
    } catch (error) {
      await untilInnermost(section);
      endTransaction(transaction, false);
      throw error;
    }
    await untilInnermost(section);
    endTransaction(transaction, true);
    return result;
  } finally {
    endSection(section);
  }
}

/** What the code of a transaction is given. `ctx.storage` itself is inside the transaction too. */
class Transaction {
  #storage;
  #number;
  #isRolledBack = false;
  #hasEnded = false;

  static {
    endTransaction = (transaction, isWell) => transaction.#end(isWell);
  }

  constructor(storage, number) {
    this.#storage = storage;
    this.#number = number;
  }

  async get(...given) {
    return await this.#checked("get()").get(...given);
  }

  async put(...given) {
    return await this.#checked("put()").put(...given);
  }

  async delete(...given) {
    return await this.#checked("delete()").delete(...given);
  }

  async list(...given) {
    return await this.#checked("list()").list(...given);
  }

  async deleteAll() {
    throw new Error("Cannot call deleteAll() within a transaction: call it before, or after");
  }

  async getAlarm(...given) {
    return await this.#checked("getAlarm()").getAlarm(...given);
  }

  async setAlarm(...given) {
    return await this.#checked("setAlarm()").setAlarm(...given);
  }

  async deleteAlarm(...given) {
    return await this.#checked("deleteAlarm()").deleteAlarm(...given);
  }

  /** Undoes what was written so far, and ends the transaction; its code may go on, outside of it. Twice is once. */
  rollback() {
    if (this.#isRolledBack) return;
    this.#checked("rollback()");
    host.rollBackTransaction(this.#number);
    this.#isRolledBack = true;
  }

  #end(isWell) {
    this.#hasEnded = true;
    if (this.#isRolledBack) return;
    if (isWell) host.releaseTransaction(this.#number);
    else host.rollBackTransaction(this.#number);
  }

  #checked(operation) {
    if (this.#isRolledBack) throw new Error(`Cannot ${operation} on rolled back transaction`);
    if (this.#hasEnded) {
      throw new Error(
        `Cannot call ${operation} on transaction that has already committed: did you move \`txn\` outside of the closure?`,
      );
    }
    return this.#storage;
  }
}
