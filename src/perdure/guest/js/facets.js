// `ctx.facets`: child objects with databases of their own, under this object's supervision.
import * as host from "./host.js";
import { releaseStub, startOperation } from "./operations.js";
import { fromExpression, neverCloned, toExpression } from "./values.js";
import { Request, requestToWire, responseFromWire } from "./http.js";

const NAME_BYTES_MAX = 256;
const DEFAULT_ABORT_REASON = "the facet was aborted by its parent";

const numbers = new Map();
const starts = new Map();
let lastStub = 0;
const collected = new FinalizationRegistry((number) => releaseStub(number));

export class Facets {
  /** A stub for facet `name`. Nothing runs yet: `start` is called when the stub is used and the facet is cold. */
  get(name, start) {
    checkName(name);
    if (typeof start !== "function") {
      throw new TypeError(`facets.get(\`${name}\`, start): start is a function that returns { class }, not \`${typeof start}\``);
    }
    if (!numbers.has(name)) numbers.set(name, numbers.size + 1);
    const number = numbers.get(name);
    starts.set(number, start); // The latest callback of a name is the one that starts it.
    return facetStub({ f: name, cb: number, n: ++lastStub });
  }

  /** Stops facet `name` and its descendants: calls under way fail with `reason`, data stays. */
  abort(name, reason = DEFAULT_ABORT_REASON) {
    checkName(name);
    order("facet.abort", { f: name, reason: reason instanceof Error ? reason.message : String(reason) });
  }

  /** Stops facet `name` and forgets its data and that of its descendants. */
  delete(name) {
    checkName(name);
    order("facet.delete", { f: name });
  }

  /** The names of the facets that have data, sorted. */
  list() {
    return host.facetList();
  }
}

/** The start callback that the host asks to be run. */
export const startCallback = (number) => starts.get(number);

/** Something for the host to do, of which nobody waits to hear. */
function order(kind, payload) {
  startOperation(kind, payload).catch(() => {});
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

// Names that the language itself looks for: an awaited or printed stub must not make calls.
const NEVER_REMOTE = new Set(["then", "catch", "finally", "toJSON", "constructor"]);

const NOT_SERIALIZABLE =
  "Durable Object facets are not serializable: a facet's stub stays with its parent; give others a method of the parent that calls it";

/** What `facet.n` reaches first is what it means from then on; the host is told when nobody holds the stub any more. */
function facetStub(facet) {
  let isUsed = false;
  const start = async (kind, payload) => {
    if (!isUsed) collected.register(facet, facet.n);
    isUsed = true;
    return await startOperation(kind, { ...facet, ...payload }); // What waits here holds `facet`, too.
  };
  const fetch = async (input, init) => {
    const request = new Request(input, init);
    return responseFromWire(await start("facet.fetch", { r: requestToWire(request) }));
  };
  const call = (method, callArguments) => {
    const payload = { m: method, a: callArguments.map((argument) => toExpression(argument)) };
    return start("facet.call", payload).then((tree) => fromExpression(tree));
  };
  const stub = new Proxy(Object.create(null), {
    get(own, name) {
      if (name === "fetch") return fetch;
      if (typeof name === "symbol" || NEVER_REMOTE.has(name) || name in own) return own[name];
      return (...callArguments) => call(name, callArguments);
    },
  });
  neverCloned.set(stub, NOT_SERIALIZABLE);
  return stub;
}
