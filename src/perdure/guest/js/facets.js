// `ctx.facets`: child objects with databases of their own, under this object's supervision.
import { pastTime } from "./alarms.js";
import * as host from "./host.js";
import { instance } from "./instance.js";
import { beginOperation, startOperation } from "./operations.js";
import { pinned } from "./pins.js";
import { remoteStub } from "./stubs.js";
import { neverCloned } from "./values.js";

// The same numbers as in perdure.limits.
const NAME_BYTES_MAX = 256;
const LIST_PAGE_NAMES = 1_000;
const DEFAULT_ABORT_REASON = "the facet was aborted by its parent";

const numbers = new Map();
const starts = new Map();

export class Facets {
  /**
   * A stub for facet `name`. Nothing runs yet: `start` is called when the stub is used and the facet is cold. Without it
   * `startFacet(name)` of the object's class is called, which is also what wakes a facet whose alarm is due.
   */
  get(name, start = startByName(name)) {
    checkName(name);
    if (typeof start !== "function") {
      throw new TypeError(`facets.get(\`${name}\`, start): start is a function that returns { class }, not \`${typeof start}\``);
    }
    if (!numbers.has(name)) numbers.set(name, numbers.size + 1);
    const number = numbers.get(name);
    starts.set(number, start); // The latest callback of a name is the one that starts it.
    return facetStub({ f: name, cb: number });
  }

  /** Stops facet `name` and its descendants: calls under way fail with `reason`, data stays. */
  abort(name, reason = DEFAULT_ABORT_REASON) {
    checkName(name);
    order("facet.abort", { f: name, reason: reason instanceof Error ? reason.message : String(reason) });
  }

  /** Stops facet `name` and forgets its data and that of its descendants. */
  delete(name) {
    checkName(name);
    host.checkFacetChange(name);
    order("facet.delete", { f: name });
  }

  /**
   * Stops facet `target` and makes it a copy of facet `source`, with all facets below it; `source` goes on. Whoever uses
   * `target` waits until it is done, so the promise only tells when, and whether it failed.
   */
  clone(source, target) {
    checkName(source);
    checkName(target);
    host.checkFacetChange(target);
    return order("facet.clone", { f: source, to: target });
  }

  /** The names of the facets that exist, sorted: those behind `startAfter`, `limit` of them at most. */
  list({ startAfter = "", limit = Infinity } = {}) {
    const names = [];
    while (names.length < limit) {
      const wanted = Math.min(limit - names.length, LIST_PAGE_NAMES);
      const page = host.facetList(names.at(-1) ?? String(startAfter), wanted);
      names.push(...page);
      if (page.length < wanted) break;
    }
    return names;
  }

  /** Brings facet `name`, with all below it, back to a bookmark or a time; the bookmark that takes it back. */
  async rewind(name, to) {
    checkName(name);
    return await startOperation("facet.rewind", { f: name, to: typeof to === "string" ? to : pastTime(to) });
  }

  /** What facet `name` and all facets below it hold and have used; without a name all facets of this object. */
  async usage(name) {
    if (name !== undefined) checkName(name);
    const usage = await startOperation("facet.usage", { f: name ?? null });
    const lastUsed = usage.last_used === null ? null : new Date(usage.last_used);
    return {
      databaseBytes: usage.database_bytes, pages: usage.pages, facets: usage.facets, requests: usage.requests, cpuMs: usage.cpu_ms,
      rowsRead: usage.rows_read, rowsWritten: usage.rows_written, memoryBytes: usage.memory_bytes, lastUsed,
    };
  }

  /** Gives facet `name`, which is in memory, another budget. When it starts anew its start callback says again. */
  setBudget(name, budget) {
    checkName(name);
    order("facet.budget", { f: name, budget: budget ?? null });
  }

  events() {
    throw new TypeError("facets.events() is for trusted supervisors: ask facets.usage(name) instead");
  }
}

/** What starts a facet when nobody gave a callback: `startFacet(name)` of the object's class. */
function startByName(name) {
  if (instance !== undefined && typeof instance.startFacet !== "function") {
    throw new TypeError(
      `facet \`${String(name).slice(0, 32)}\` has no start callback, and the class no method \`startFacet(name)\` that would stand for it: give facets.get(name, start) a callback, or define the method`,
    );
  }
  return () => instance.startFacet(name);
}

/** The start callback that the host asks to be run. */
export const startCallback = (number) => starts.get(number);

/** Something for the host to do; nobody need wait to hear of it. Throws at once when too much is under way. */
function order(kind, payload) {
  const { promise, resolve, reject } = Promise.withResolvers();
  beginOperation(kind, payload, (isDone, result) => (isDone ? resolve() : reject(result)));
  promise.catch(() => {});
  return promise;
}

function checkName(name) {
  if (typeof name !== "string" || name === "") {
    throw new TypeError(`a facet's name is a string with at least one character, not \`${String(name)}\``);
  }
  const size = new TextEncoder().encode(name).length;
  if (size > NAME_BYTES_MAX) {
    throw new TypeError(`Facet name is too long (max ${NAME_BYTES_MAX} characters): \`${name.slice(0, 32)}…\` is ${size} bytes; use a hash of it`);
  }
}

const NOT_SERIALIZABLE =
  "Durable Object facets are not serializable: a facet's stub stays with its parent; give others a method of the parent that calls it";

function facetStub(facet) {
  const stub = remoteStub("facet", pinned(facet));
  neverCloned.set(stub, NOT_SERIALIZABLE);
  return stub;
}
