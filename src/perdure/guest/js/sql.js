// `ctx.storage.sql`: SQLite, synchronously. Cells cross as JSON: `["b", base64]` is a blob, `["i", digits]` an integer that
// a number cannot hold.
import * as host from "./host.js";

let deletions = 0;

/** Lets no cursor give more rows: what they were read from is deleted. */
export function cancelCursors() {
  deletions++;
}

export class Sql {
  /** Runs `query` with `?` placeholders bound to null, boolean, number, bigint, string or bytes. */
  exec(query, ...bindings) {
    if (typeof query !== "string") throw new TypeError(`a query is a string, not \`${typeof query}\``);
    return new Cursor(host.sqlExecute(query, bindings.map(toCell)));
  }

  /** Bytes in use by this database. */
  get databaseSize() {
    return host.databaseSize();
  }
}

/** The rows of one statement. It ends with its turn: read it before the next `await` on anything outside. */
class Cursor {
  #columns;
  #page;
  #position = 0;
  #readBefore = 0; // by the pages before this one
  #deletions = deletions;

  constructor(page) {
    this.#columns = page.n ?? [];
    this.#page = page;
  }

  /** The names of the columns, repeated ones kept. */
  get columnNames() {
    return [...this.#columns];
  }

  /**
   * Rows scanned so far, one row ahead of what was given. Rows come in pages, whose counts are SQLite's; within a page,
   * what was scanned is shared among its rows.
   */
  get rowsRead() {
    const size = this.#page.r.length;
    if (size === 0) return this.#page.i[0];
    const scanned = this.#page.i[0] - this.#readBefore;
    return this.#readBefore + Math.floor((scanned * Math.min(this.#position + 1, size)) / size);
  }

  get rowsWritten() {
    return this.#page.i[1];
  }

  next() {
    const cells = this.#nextCells();
    return cells === undefined ? { done: true, value: undefined } : { done: false, value: this.#row(cells) };
  }

  [Symbol.iterator]() {
    return this;
  }

  /** Every row that is left. */
  toArray() {
    return [...this];
  }

  /** The only row. */
  one() {
    const cells = this.#nextCells();
    if (cells === undefined) throw new Error("Expected exactly one result from SQL query, but got no results");
    if (this.#nextCells() !== undefined) {
      throw new Error("Expected exactly one result from SQL query, but got multiple results");
    }
    return this.#row(cells);
  }

  /** The rows as arrays of values; shares its position with the cursor. */
  raw() {
    return Iterator.from({ next: () => this.#nextRaw() });
  }

  #nextRaw() {
    const cells = this.#nextCells();
    return cells === undefined ? { done: true, value: undefined } : { done: false, value: cells.map(fromCell) };
  }

  #nextCells() {
    while (this.#position >= this.#page.r.length) {
      if (!this.#page.c) return undefined;
      this.#readBefore = this.#page.i[0];
      this.#page = host.sqlNext(this.#page.c);
      this.#position = 0;
    }
    if (this.#deletions !== deletions) throw new Error("query was canceled because the database was deleted");
    return this.#page.r[this.#position++];
  }

  #row(cells) {
    const row = {};
    for (let column = 0; column < cells.length; column++) {
      const name = this.#columns[column];
      if (name === "__proto__") defineOwn(row, name, fromCell(cells[column]));
      else row[name] = fromCell(cells[column]);
    }
    return row;
  }
}

/** A property of its own even where assigning it would do something else. */
function defineOwn(row, name, value) {
  Object.defineProperty(row, name, { value, writable: true, enumerable: true, configurable: true });
}

function toCell(value, index) {
  switch (typeof value) {
    case "undefined":
      return null;
    case "string":
      return value.toWellFormed();
    case "boolean":
      return value ? 1 : 0;
    case "bigint":
      return ["i", String(value)];
    case "number":
      if (Number.isFinite(value)) return value;
      return Number.isNaN(value) ? null : [value > 0 ? "inf" : "-inf"];
  }
  if (value === null) return null;
  if (value instanceof ArrayBuffer) return ["b", new Uint8Array(value).toBase64()];
  if (ArrayBuffer.isView(value)) return ["b", new Uint8Array(value.buffer, value.byteOffset, value.byteLength).toBase64()];
  const kind = typeof value === "object" ? value.constructor?.name : typeof value;
  throw new TypeError(
    `binding ${index + 1} is a \`${kind}\`, SQLite stores null, boolean, number, bigint, string and bytes: ` +
      "convert it first (JSON.stringify(…) for objects, .toISOString() for dates)",
  );
}

const SPECIAL_NUMBERS = { inf: Infinity, "-inf": -Infinity };

function fromCell(cell) {
  if (!Array.isArray(cell)) return cell;
  if (cell[0] === "b") return Uint8Array.fromBase64(cell[1]).buffer;
  return cell[0] === "i" ? Number(cell[1]) : SPECIAL_NUMBERS[cell[0]];
}
