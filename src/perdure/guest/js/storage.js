// `ctx.storage`: the synchronous face of one object's SQLite database.
import * as host from "./host.js";
import { Sql } from "./sql.js";
import { decode, encode, fromExpression } from "./values.js";

/** The database of this object, and of no other: `kv` for values by key, `sql` for SQLite. */
export class Storage {
  kv = new Kv();
  sql = new Sql();
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
  list({ start, startAfter, end, prefix, reverse = false, limit } = {}) {
    if (start !== undefined && startAfter !== undefined) {
      throw new TypeError("kv.list() got both start and startAfter: give one of them");
    }
    if (limit !== undefined && !(limit > 0)) throw new TypeError(`List limit must be positive, not \`${limit}\``);
    const range = { start, start_after: startAfter, end, prefix, reverse: reverse || undefined, limit };
    return this.#walk(range, ++this.#listing);
  }

  *#walk(range, listing) {
    for (;;) {
      this.#checkLive(listing);
      const page = host.kvList(range);
      for (const [key, tree] of page) {
        this.#checkLive(listing);
        yield [key, fromExpression(tree)];
      }
      if (range.limit !== undefined) range.limit -= page.length;
      if (page.length === 0 || range.limit === 0) return;
      const last = page.at(-1)[0];
      if (range.reverse) range.end = last;
      else Object.assign(range, { start: undefined, start_after: last });
    }
  }

  #checkLive(listing) {
    if (listing === this.#listing) return;
    throw new Error(
      "this kv.list() iterator was invalidated by a new call to kv.list(): read one to its end first, or spread it into an array",
    );
  }
}

function checkedKey(key) {
  if (typeof key !== "string") {
    throw new TypeError(`a key of storage.kv is a string, not \`${key === null ? "null" : typeof key}\`: use String(key)`);
  }
  if (key === "") throw new TypeError("a key of storage.kv must not be empty");
  return key;
}
