// Which methods may be called from afar: those of the class, never reserved names or properties of the instance.
import { DurableObject, WorkerEntrypoint } from "./classes.js";

const RESERVED = new Set([
  "fetch", "alarm", "connect", "constructor", "dup", "email", "queue", "scheduled", "startFacet", "tail", "test",
  "webSocketClose", "webSocketError", "webSocketMessage",
]);
const MORE_THAN_ANY_CLASS = 1_000;

/**
 * The method `name` of `receiver`, bound to it. A Python name finds the JavaScript method: `set_code` calls `setCode`.
 * A name that does not exist and one that may not be called read alike, so that nothing can be probed.
 */
export function rpcMethod(receiver, name) {
  const base = baseOf(receiver);
  for (const candidate of new Set([name, camelCase(name)])) {
    if (RESERVED.has(candidate)) throw new TypeError(`'${name}' is a reserved method and cannot be called over RPC`);
    const owner = ownerOf(receiver, candidate, base);
    if (owner === undefined) continue;
    const method = Reflect.get(owner, candidate, receiver);
    if (typeof method !== "function") throw new TypeError(`"${name}" is not a function`);
    return (...callArguments) => Reflect.apply(method, receiver, callArguments);
  }
  const there = methodNames(receiver, base).map((method) => `\`${method}\``).join(", ") || "none";
  throw new TypeError(`The RPC receiver does not implement the method "${name}"; \`${classOf(receiver)}\` has: ${there}`);
}

function baseOf(receiver) {
  for (const base of [DurableObject, WorkerEntrypoint]) if (receiver instanceof base) return base;
  const name = classOf(receiver);
  throw new TypeError(`class \`${name}\` does not support RPC: declare it as \`class ${name} extends DurableObject\``);
}

const classOf = (receiver) => receiver?.constructor?.name || "Object";

function* prototypesOf(receiver, base) {
  let prototype = Object.getPrototypeOf(receiver);
  for (let depth = 0; depth < MORE_THAN_ANY_CLASS; depth++) {
    if (prototype === null || prototype === base.prototype || prototype === Object.prototype) return;
    yield prototype;
    prototype = Object.getPrototypeOf(prototype);
  }
}

function ownerOf(receiver, name, base) {
  for (const prototype of prototypesOf(receiver, base)) if (Object.hasOwn(prototype, name)) return prototype;
  return undefined;
}

function methodNames(receiver, base) {
  const names = new Set();
  for (const prototype of prototypesOf(receiver, base)) {
    for (const [name, { value }] of Object.entries(Object.getOwnPropertyDescriptors(prototype))) {
      if (typeof value === "function" && !RESERVED.has(name)) names.add(name);
    }
  }
  return [...names].sort();
}

const camelCase = (name) => name.replace(/(?<=[A-Za-z0-9])_([a-z0-9])/g, (_, letter) => letter.toUpperCase());
