// Stubs: how a worker calls an object, a facet or an entry point that it cannot touch.
import { Request, requestToWire, responseFromWire } from "./http.js";
import { releaseStub, startOperation } from "./operations.js";
import { fromExpression, toExpression } from "./values.js";

// Names that the language itself looks for: an awaited or printed stub must not make calls.
const NEVER_REMOTE = new Set(["then", "catch", "finally", "toJSON", "constructor"]);

let lastStub = 0;
const collected = new FinalizationRegistry((number) => releaseStub(number));
const used = new WeakSet();

/**
 * `fields` of a stub that means, from its first use on, what it reached then. The host is told when nobody holds it any
 * more.
 */
export const pinned = (fields) => ({ ...fields, n: ++lastStub });

/** From now on the host knows the number of these fields: it is told when nobody holds them. */
export function held(fields) {
  if (used.has(fields)) return;
  used.add(fields);
  collected.register(fields, fields.n);
}

/**
 * A stub whose operations are called `kind`.fetch and `kind`.call and carry `fields`. Its own properties are those of
 * `own`, and what its holder sets; anything else is a method of what it points at. `apply` is what it does when it is
 * itself called.
 */
export function remoteStub(kind, fields, { own = {}, apply } = {}) {
  const start = async (act, payload) => {
    if (fields.n !== undefined) held(fields);
    return await startOperation(`${kind}.${act}`, { ...fields, ...payload }); // What waits here holds `fields`, too.
  };
  const fetch = async (input, init) => {
    const wire = requestToWire(new Request(input, init));
    return responseFromWire(await start("fetch", { r: wire instanceof Promise ? await wire : wire }));
  };
  const call = (method, callArguments) => {
    const payload = { m: method, a: callArguments.map((argument) => toExpression(argument)) };
    return start("call", payload).then((tree) => fromExpression(tree));
  };
  return new Proxy(targetOf(own, apply), {
    get(target, name) {
      if (name === "fetch") return fetch;
      if (typeof name === "symbol" || NEVER_REMOTE.has(name) || name in target) return target[name];
      return (...callArguments) => call(name, callArguments);
    },
  });
}

function targetOf(own, apply) {
  if (apply === undefined) return Object.assign(Object.create(null), own);
  const target = Object.setPrototypeOf(apply, null);
  for (const name of Object.getOwnPropertyNames(target)) delete target[name];
  return Object.assign(target, own);
}
