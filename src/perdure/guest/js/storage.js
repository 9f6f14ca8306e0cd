// `ctx.storage`: one object's SQLite database.
//
// `kv` and `sql` are synchronous; `get`, `put` and the like are the asynchronous face of the same table, and do their work
// at the call too: what they return is settled already, so that awaiting it never ends the turn.
import { deleteAlarm, getAlarm, pastTime, setAlarm } from "./alarms.js";
import { Sender, storedReceiver } from "./crossing.js";
import * as host from "./host.js";
import { startOperation } from "./operations.js";
import { cancelCursors, Sql } from "./sql.js";
import { runTransaction } from "./transactions.js";
import * as values from "./values.js";

const BATCH_KEYS_MAX = 10_000; // The same number as in perdure.limits.

const storing = Sender.ofStorage();
const encode = (value) => values.encode(value, storing);
const decode = (text) => values.decode(text, storedReceiver);
const fromExpression = (tree) => values.fromExpression(tree, storedReceiver);

/** The database of this object, and of no other: `kv` for values by key, `sql` for SQLite. */
export class Storage {
  kv = new Kv();
  sql = new Sql();

  /** The value of a key, or undefined; of several keys a Map in the order of list(), missing ones left out. */
  async get(key, options) {
    void options; // allowConcurrency and noCache change nothing here.
    return Array.isArray(key) ? getMany(key) : this.kv.get(key);
  }

  /** Stores a value, or all entries of an object, or none of them if one is refused. */
  async put(key, value, options) {
    if (typeof key === "object" && key !== null) {
      if (value !== undefined && (typeof value !== "object" || value === null)) {
        throw new TypeError(
          "put() may only be called with a single key-value pair and optional options as put(key, value, options), " +
            "or with several entries and optional options as put(entries, options)",
        );
      }
      const entries = Object.entries(key).filter(([, content]) => content !== undefined);
      write({ p: entries.flatMap(([name, content]) => [checkedKey(name), encode(content)]) }, value);
      return;
    }
    if (value === undefined) throw new TypeError("put() called with undefined value: use delete() to forget a key");
    write({ p: [checkedKey(key), encode(value)] }, options);
  }

  /** Forgets a key, true if it was there; or several, how many were. */
  async delete(key, options) {
    if (Array.isArray(key)) return write({ d: key.map(checkedKey) }, options);
    return write({ d: [checkedKey(key)] }, options) === 1;
  }

  /** The entries of a range, in a Map in the order of their keys. */
  async list(options) {
    const entries = new Map();
    for (const page of pages(checkedRange(options))) {
      for (const [key, tree] of page) entries.set(key, fromExpression(tree));
    }
    return entries;
  }

  /** Has `alarm(info)` called at `when`, even if the object is not in memory then. There is one alarm: this one. */
  setAlarm(when, options) {
    setAlarm(when, options);
    return Promise.resolve();
  }

  /** When the alarm is due, in milliseconds. null without one, and in its handler unless that set a new one. */
  getAlarm() {
    return Promise.resolve(getAlarm());
  }

  /** Has no alarm. In its handler only one that was set there is deleted. */
  deleteAlarm(options) {
    deleteAlarm(options);
    return Promise.resolve();
  }

  /** The name of the present state of this object and its facets; later ones are greater. */
  getCurrentBookmark() {
    return startOperation("bookmark", { a: "current", v: null });
  }

  /** The bookmark of what was last committed until a time: a Date, or milliseconds since 1970. */
  async getBookmarkForTime(when) {
    return await startOperation("bookmark", { a: "at", v: pastTime(when) });
  }

  /** Brings this object back to `bookmark` at its next start; the bookmark of the state just before that. */
  onNextSessionRestoreBookmark(bookmark) {
    return startOperation("bookmark", { a: "restore", v: String(bookmark) });
  }

  /** Forgets everything: entries, tables, facets, and the alarm unless `deleteAlarm` is false. */
  async deleteAll({ deleteAlarm = true } = {}) {
    host.deleteAll(!deleteAlarm);
    cancelCursors();
  }

  /** Until everything written before the call is durable. */
  async sync() {
    await startOperation("sync", {});
  }

  /** Runs `callback` inside a transaction of this turn: if it throws, what it wrote is undone. */
  transactionSync(callback) {
    const number = host.beginTransaction("sync");
    let result;
    try {
      result = callback();
      if (typeof result?.then === "function") {
        result.then(undefined, () => {});
        throw new TypeError("transactionSync() takes a function that is not async: use `await storage.transaction(callback)`");
      }
    } catch (error) {
      host.rollBackTransaction(number);
      throw error;
    }
    host.releaseTransaction(number);
    return result;
  }

  /**
   * Runs `await callback(txn)` in a transaction that stays open over its awaits, and in a critical section. An error undoes
   * what was written, and is thrown; the object goes on, unless it takes more than 30 s. They nest.
   */
  transaction(callback) {
    return runTransaction(this, callback);
  }
}

function getMany(keys) {
  checkBatch(keys.map(checkedKey), BATCH_KEYS_MAX);
  const entries = new Map();
  for (let rest = keys; rest.length > 0; ) {
    const page = host.kvGetMany(rest);
    for (const [key, tree] of page.r) entries.set(key, fromExpression(tree));
    rest = page.m;
  }
  return entries;
}

/** One batch: all of it happens, or nothing. How many keys were deleted. */
function write(batch, options) {
  checkBatch(batch.d ?? batch.p, batch.d ? BATCH_KEYS_MAX : 2 * BATCH_KEYS_MAX);
  return host.kvWrite(options?.allowUnconfirmed ? { ...batch, u: 1 } : batch);
}

function checkBatch(texts, textsMax) {
  if (texts.length > textsMax) {
    throw new TypeError(`more than ${BATCH_KEYS_MAX} keys in one call: call it several times`);
  }
}

/** Values by string key, in the order of the keys' UTF-8 bytes. */
class Kv {
  #listing = 0;

  get(key) {
    const text = host.kvGet(checkedKey(key));
    return text === "" ? undefined : decode(text);
  }

  put(key, value) {
    if (value === undefined) throw new TypeError("put() called with undefined value: use delete() to forget a key");
    host.kvPut(checkedKey(key), encode(value));
  }

  delete(key) {
    return host.kvDelete(checkedKey(key));
  }

  /** The entries of a range, lazily. Only the newest listing of an object is live. */
  list(options) {
    return this.#walk(checkedRange(options), ++this.#listing);
  }

  *#walk(range, listing) {
    this.#checkLive(listing);
    for (const page of pages(range)) {
      for (const [key, tree] of page) {
        this.#checkLive(listing);
        yield [key, fromExpression(tree)];
      }
      this.#checkLive(listing);
    }
  }

  #checkLive(listing) {
    if (listing === this.#listing) return;
    throw new Error(
      "this kv.list() iterator was invalidated by a new call to kv.list(): read one to its end first, or spread it into an array",
    );
  }
}

function checkedRange({ start, startAfter, end, prefix, reverse = false, limit } = {}) {
  if (start !== undefined && startAfter !== undefined) {
    throw new TypeError("list() got both start and startAfter: give one of them");
  }
  const entries = limit === undefined ? undefined : Math.trunc(limit);
  if (entries !== undefined && !(entries > 0)) throw new TypeError(`List limit must be positive, not \`${limit}\``);
  return { start, start_after: startAfter, end, prefix, reverse: reverse ? true : undefined, limit: entries };
}

/** The entries of a range, some at a time, as they are when they are reached. */
function* pages(range) {
  for (;;) {
    const page = host.kvList(range);
    yield page;
    if (range.limit !== undefined) range.limit -= page.length;
    if (page.length === 0 || range.limit === 0) return;
    const last = page.at(-1)[0];
    if (range.reverse) range.end = last;
    else Object.assign(range, { start: undefined, start_after: last });
  }
}

function checkedKey(key) {
  if (typeof key !== "string") {
    throw new TypeError(`a key of storage.kv is a string, not \`${key === null ? "null" : typeof key}\`: use String(key)`);
  }
  if (key === "") throw new TypeError("a key of storage.kv must not be empty");
  return key;
}
