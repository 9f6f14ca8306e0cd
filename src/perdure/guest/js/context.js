// `ctx`: what an object or an entry point knows about itself and may ask of the platform.
import { Facets } from "./facets.js";
import { abort, blockConcurrencyWhile, waitUntil } from "./life.js";
import { openScopeInside } from "./scopes.js";
import { Storage } from "./storage.js";

/** The identity of an object: 64 hex digits, and the name it was made from when there was one. */
export class ObjectId {
  #text;

  constructor(text, name, jurisdiction) {
    this.#text = text;
    if (name != null) this.name = name;
    if (jurisdiction != null) this.jurisdiction = jurisdiction;
  }

  toString() {
    return this.#text;
  }

  /** True when both mean the same object; names are not compared. */
  equals(other) {
    return other instanceof ObjectId && other.#text === this.#text;
  }
}

/** Given to the constructor of every DurableObject. */
export class ObjectContext {
  facets = new Facets();
  storage = new Storage();

  constructor({ id, props, exports }) {
    this.id = id;
    this.props = props;
    this.exports = exports;
  }

  waitUntil(work) {
    waitUntil(work);
  }

  blockConcurrencyWhile(callback) {
    return blockConcurrencyWhile(callback);
  }

  abort(reason, options) {
    abort(reason, options);
  }
}

/** Given to stateless entry points. */
export class WorkerContext {
  #scope;

  constructor({ props, exports, scope }) {
    this.props = props;
    this.exports = exports;
    this.#scope = scope;
  }

  waitUntil(work) {
    waitUntil(work, openScopeInside(this.#scope));
  }

  /** Accepted and without effect: there is nothing to pass a failed request through to. */
  passThroughOnException() {}
}
