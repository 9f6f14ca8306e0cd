// Where a path of names leads inside a value, and what may be reached there from afar.
//
// Of an instance of a class only what the class says: methods and getters, never what the constructor put on it. Of plain
// objects, arrays and functions their own properties. Of anything else nothing.
import { DurableObject, RpcTarget, WorkerEntrypoint } from "./classes.js";
import { Sent } from "./crossing.js";
import { failedBefore, Result } from "./results.js";
import { aimOf, stubFor } from "./stubs.js";

const RESERVED = new Set([
  "fetch", "alarm", "connect", "constructor", "dup", "email", "queue", "scheduled", "startFacet", "tail", "test",
  "webSocketClose", "webSocketError", "webSocketMessage",
]);
const RESERVED_OF_TARGETS = new Set(["constructor", "dup"]);
const MORE_THAN_ANY_CLASS = 1_000;
const BASES = [RpcTarget, DurableObject, WorkerEntrypoint];
const objectPrototype = Object.prototype;

/**
 * Does what the host asks of `root`: calls what the path leads to, or reads it when `callArguments` is undefined. A Python
 * name finds the JavaScript method: `set_code` calls `setCode`.
 */
export function perform(root, path, callArguments) {
  const { owner, value, hook, rest } = walk(root, path, true);
  if (hook !== undefined) {
    if (callArguments !== undefined) return hook.call(rest, new Sent(callArguments)).promise;
    return rest.length === 0 ? value : hook.get(rest).promise;
  }
  if (callArguments === undefined) return typeof value === "function" && baseOf(owner) !== undefined ? bound(value, owner) : value;
  if (typeof value !== "function") throw new TypeError(`"${path.join(".")}" is not a function`);
  return Reflect.apply(value, owner, callArguments);
}

const bound = (method, owner) => (...callArguments) => Reflect.apply(method, owner, callArguments);

/** The same inside a value that has come: `sent` are the arguments, undefined for a read. */
export function follow(root, path, sent) {
  try {
    const { value, hook, rest } = walk(root, path, false);
    if (hook === undefined) {
      if (sent === undefined) return Result.of(value);
      throw new TypeError(`"${path.join(".")}" is not a function`);
    }
    if (sent !== undefined) return hook.call(rest, sent);
    if (rest.length > 0) return hook.get(rest);
    const duplicate = hook.dup();
    return Result.of(stubFor(duplicate), [duplicate]);
  } catch (error) {
    return failedBefore(sent, error);
  }
}

/** Goes along the path, to its end or to the first stub: `hook`, with the `rest` of the path. */
function walk(root, path, isEntry) {
  let owner;
  let value = root;
  for (let depth = 0; ; depth++) {
    const aim = aimOf(value);
    if (aim !== undefined && !(aim.isPromise && depth === path.length)) {
      return { value, hook: aim.hook, rest: [...aim.path, ...path.slice(depth)] };
    }
    if (depth === path.length) return { owner, value };
    [owner, value] = [value, stepInto(value, path[depth], isEntry && depth === 0)];
  }
}

function stepInto(value, name, isRoot) {
  if (typeof name !== "string") throw new TypeError("a path consists of names");
  if (value === null || (typeof value !== "object" && typeof value !== "function")) throw notImplemented(name);
  if (typeof value !== "function") {
    const base = baseOf(value);
    if (base === RpcTarget || (base !== undefined && isRoot)) return memberOf(value, name, base);
    if (isRoot && base === undefined && !isPlain(value)) throw noRpc(value);
    if (!isPlain(value)) throw notImplemented(name);
  }
  const descriptor = Object.getOwnPropertyDescriptor(value, name);
  if (descriptor === undefined || !(descriptor.enumerable || (name === "length" && Array.isArray(value)))) throw notImplemented(name);
  return value[name];
}

function isPlain(value) {
  return Array.isArray(value) || Object.getPrototypeOf(value) === objectPrototype;
}

function baseOf(value) {
  if (typeof value !== "object" || value === null) return undefined;
  return BASES.find((base) => value instanceof base);
}

/**
 * A member of the class of an instance. A name that does not exist and one that may not be called read alike, so that
 * nothing can be probed.
 */
function memberOf(receiver, name, base) {
  const reserved = base === RpcTarget ? RESERVED_OF_TARGETS : RESERVED;
  for (const candidate of new Set([name, camelCase(name)])) {
    if (reserved.has(candidate)) throw new TypeError(`'${name}' is a reserved method and cannot be called over RPC`);
    if (candidate === "__proto__" || Object.hasOwn(receiver, candidate)) continue;
    const value = receiver[candidate]; // Not looked up in the prototypes: a proxy may make its methods as they are asked for.
    const isOfBase = candidate in base.prototype && value === base.prototype[candidate];
    if (!isOfBase && (value !== undefined || candidate in receiver)) return value;
  }
  const there = methodNames(receiver, base, reserved).map((method) => `\`${method}\``).join(", ") || "none";
  throw new TypeError(`The RPC receiver does not implement the method "${name}"; \`${classOf(receiver)}\` has: ${there}`);
}

const notImplemented = (name) => new TypeError(`The RPC receiver does not implement the method "${name}"`);

function noRpc(receiver) {
  const name = classOf(receiver);
  return new TypeError(`class \`${name}\` does not support RPC: declare it as \`class ${name} extends DurableObject\``);
}

const classOf = (receiver) => receiver?.constructor?.name || "Object";

function methodNames(receiver, base, reserved) {
  const names = new Set();
  let prototype = Object.getPrototypeOf(receiver);
  for (let depth = 0; depth < MORE_THAN_ANY_CLASS; depth++) {
    if (prototype === null || prototype === base.prototype || prototype === objectPrototype) break;
    for (const [name, { value }] of Object.entries(Object.getOwnPropertyDescriptors(prototype))) {
      if (typeof value === "function" && !reserved.has(name)) names.add(name);
    }
    prototype = Object.getPrototypeOf(prototype);
  }
  return [...names].sort();
}

const camelCase = (name) => name.replace(/(?<=[A-Za-z0-9])_([a-z0-9])/g, (_, letter) => letter.toUpperCase());

/** Calls or reads a method of `export default { … }`: with one argument, and `env` and `ctx` behind it. */
export function performOnHandler(handler, path, callArguments, env, ctx) {
  const [name] = path;
  const isMethod = Object.hasOwn(handler, name) && typeof handler[name] === "function" && !RESERVED.has(name);
  if (path.length === 0 || !isMethod) throw notImplemented(name);
  const call = (...given) => callHandler(handler, name, given, env, ctx);
  if (path.length > 1) return perform(handler[name], path.slice(1), callArguments);
  return callArguments === undefined ? call : call(...callArguments);
}

const HANDLER_ARGUMENTS_MAX = 3;

function callHandler(handler, name, given, env, ctx) {
  if (given.length !== 1) {
    throw new TypeError(`Attempted to call RPC method "${name}" of a handler object with ${given.length} arguments: callers must always send exactly one argument`);
  }
  if (handler[name].length > HANDLER_ARGUMENTS_MAX) {
    throw new TypeError(`"${name}" has the wrong number of arguments: a handler's methods take exactly the arguments (arg, env, ctx)`);
  }
  return handler[name](given[0], env, ctx);
}
