// Stubs and promises as a worker sees them: whatever is read from one is a path, and calling a path is a call far away.
//
// A path makes no call by being looked at, printed, compared or passed to `await` where it is no promise.
import { ownOf } from "./capabilities.js";
import { RpcTarget } from "./classes.js";
import { Sent } from "./crossing.js";
import { LocalHook, ServiceHook } from "./hooks.js";
import { Request, requestToWire, responseFromWire } from "./http.js";
import { pinned } from "./pins.js";
import { Result } from "./results.js";
import { shownAs } from "./show.js";

const PATH_STEPS_MAX = 64;

// Names that the language itself looks for, beside those of Object.prototype: an awaited or printed stub makes no calls.
const NEVER_REMOTE = new Set(["then", "catch", "finally", "toJSON"]);

const aims = new WeakMap(); // of a stub or promise: { hook, path, isPromise }

/** What a stub or promise stands for: `{ hook, path, isPromise }`; undefined for anything else. */
export const aimOf = (value) => aims.get(value);

/** A live object elsewhere: its methods are called by name, and it is itself called if it is a function. */
export class RpcStub {
  /** A stub of what lives here, a function or an RpcTarget, for those who should not know the difference. */
  constructor(target) {
    if (typeof target !== "function" && !(target instanceof RpcTarget)) {
      throw new TypeError("new RpcStub(target) takes a function or an RpcTarget");
    }
    return aims.has(target) ? target : stubFor(new LocalHook(ownOf(target)));
  }

  /** Another stub of the same, to be disposed of by itself. */
  dup() {
    const { hook, path, isPromise } = aims.get(this);
    return isPromise ? promiseFor(hook.get(path)) : stubFor(hook.dup());
  }

  /** Nobody here needs it any more. Twice is once. */
  [Symbol.dispose]() {
    const aim = aims.get(this);
    if (!aim.isPromise) aim.hook.dispose();
    else if (aim.hook instanceof Result && aim.path.length === 0) aim.hook.dispose();
    else aim.result?.dispose();
  }
}

/** What a call will give, or a property: `await` it, or call what will be in it. */
export class RpcPromise extends RpcStub {
  constructor() {
    throw new TypeError("Illegal constructor: a call on a stub makes an RpcPromise");
  }

  then(onDone, onFailed) {
    return promiseOf(this).then(onDone, onFailed);
  }

  catch(onFailed) {
    return promiseOf(this).catch(onFailed);
  }

  finally(onSettled) {
    return promiseOf(this).finally(onSettled);
  }
}

function promiseOf(value) {
  const aim = aims.get(value);
  if (aim === undefined) throw new TypeError("this is no RpcPromise");
  if (aim.hook instanceof Result && aim.path.length === 0) return aim.hook.promise;
  aim.result ??= aim.hook.get(aim.path);
  return aim.result.promise;
}

// ── functions of a path ──────────────────────────────────────────────────────────────────────────────────────

// What the proxies stand before: functions, so that they can be called, without a property of their own.
function bareFunction(prototype, bare = () => {}) {
  for (const name of Object.getOwnPropertyNames(bare)) delete bare[name];
  return Object.setPrototypeOf(bare, prototype);
}
const stubTarget = bareFunction(RpcStub.prototype);
const promiseTarget = bareFunction(RpcPromise.prototype);

const refuse = () => {
  throw new TypeError("a stub has no properties of its own to be set: keep them elsewhere");
};

/** The traps of one stub or promise. */
class Aim {
  result = undefined; // of reading it, once somebody has awaited it

  constructor(hook, path, isPromise) {
    this.hook = hook;
    this.path = path;
    this.isPromise = isPromise;
  }

  get(target, name, proxy) {
    if (typeof name === "symbol" || name in target) return Reflect.get(target, name, proxy);
    return NEVER_REMOTE.has(name) ? undefined : pathFor(this.hook, [...this.path, name]);
  }

  apply(target, self, callArguments) {
    return callThrough(this.hook, this.path, callArguments);
  }

  set() {
    refuse();
  }

  defineProperty() {
    refuse();
  }

  setPrototypeOf() {
    return false;
  }

  preventExtensions() {
    return false;
  }
}

function proxyFor(target, aim, label) {
  const proxy = new Proxy(target, aim);
  aims.set(proxy, aim);
  shownAs.set(proxy, label);
  return proxy;
}

function pathFor(hook, path) {
  if (path.length > PATH_STEPS_MAX) {
    throw new TypeError(`the RPC property path is too deep: it has more than ${PATH_STEPS_MAX} names (max ${PATH_STEPS_MAX}); await a part of it first`);
  }
  return proxyFor(promiseTarget, new Aim(hook, path, true), "RpcProperty");
}

/** What a call gives: at once, as it has started. */
const promiseFor = (result) => proxyFor(promiseTarget, new Aim(result, [], true), "RpcPromise");

function callThrough(hook, path, callArguments) {
  let sent;
  try {
    sent = new Sent(callArguments);
  } catch (error) {
    return promiseFor(Result.failed(error)); // A call never throws: its promise is rejected.
  }
  return promiseFor(hook.call(path, sent));
}

/** The stub for a capability. */
export function stubFor(hook) {
  return hook.isService ? serviceStub(hook) : proxyFor(stubTarget, new Aim(hook, [], false), hook.label);
}

// ── services: what has `fetch` ───────────────────────────────────────────────────────────────────────────────

class Fetcher {
  dup() {
    return stubFor(aims.get(this).hook.dup());
  }

  [Symbol.dispose]() {
    aims.get(this).hook.dispose();
  }
}

/** The traps of a stub that answers HTTP, and may have properties of its own. */
class ServiceAim {
  path = [];
  isPromise = false;

  constructor(hook) {
    this.hook = hook;
    this.fetch = async (input, init) => {
      const wire = requestToWire(new Request(input, init));
      return responseFromWire(await hook.fetch(wire));
    };
  }

  get(target, name, proxy) {
    if (name === "fetch") return this.fetch;
    if (typeof name === "symbol" || name in target) return Reflect.get(target, name, proxy);
    return NEVER_REMOTE.has(name) ? undefined : pathFor(this.hook, [name]);
  }
}

function serviceStub(hook, { own = {}, apply } = {}) {
  const target = apply === undefined ? Object.create(Fetcher.prototype) : bareFunction(Fetcher.prototype, apply);
  const aim = new ServiceAim(hook);
  const proxy = new Proxy(Object.assign(target, own), aim);
  aims.set(proxy, aim);
  return proxy;
}

/**
 * A stub of what the host reaches by `fields`, with operations `kind`.fetch, `kind`.call and `kind`.get. Its own properties
 * are those of `own`, and what its holder sets. `apply` is what it does when it is itself called, `keeps` what its props
 * refer to.
 */
export const remoteStub = (kind, fields, { own, apply, keeps } = {}) => serviceStub(new ServiceHook(kind, fields, keeps), { own, apply });

/** A stub of the worker's own that was sent or stored: without `id` and `name`. */
export function openChannel(kind, fields) {
  const { x, i, name, p = {} } = fields ?? {};
  if (typeof x === "string" && kind === "export") return remoteStub("export", { x, p });
  if (typeof x === "string" && typeof i === "string" && kind === "stub") {
    return remoteStub("stub", pinned(typeof name === "string" ? { x, i, name } : { x, i }));
  }
  throw new DOMException("a `channel` value is malformed: it leads nowhere", "DataCloneError");
}

// How they are called when they are converted to text.
for (const [kind, label] of [[RpcStub, "RpcStub"], [RpcPromise, "RpcPromise"], [Fetcher, "Fetcher"]]) {
  Object.defineProperty(kind.prototype, Symbol.toStringTag, { value: label, configurable: true });
}
