// structuredClone.
import { Blob, contentOfBlob, File, fileOf } from "./blob.js";
import { neverCloned } from "./values.js";

const { isArray } = Array;
const { defineProperty, getPrototypeOf, hasOwn, keys } = Object;

const uncurried = (method) => Function.prototype.call.bind(method);
const getter = (prototype, key) => uncurried(Object.getOwnPropertyDescriptor(prototype, key).get);
const tagOf = uncurried(Object.prototype.toString);
const typedArray = getPrototypeOf(Uint8Array.prototype);
const kindOf = getter(typedArray, Symbol.toStringTag);
const timeOf = uncurried(Date.prototype.getTime);

// What only a real one answers, by the name it goes under.
const PROBES = {
  "[object Map]": getter(Map.prototype, "size"),
  "[object Set]": getter(Set.prototype, "size"),
  "[object Date]": timeOf,
  "[object ArrayBuffer]": getter(ArrayBuffer.prototype, "byteLength"),
  "[object RegExp]": getter(RegExp.prototype, "source"),
  "[object Boolean]": uncurried(Boolean.prototype.valueOf),
  "[object Number]": uncurried(Number.prototype.valueOf),
  "[object String]": uncurried(String.prototype.valueOf),
  "[object BigInt]": uncurried(BigInt.prototype.valueOf),
};

const VIEWS = Object.fromEntries(
  [
    Int8Array, Uint8Array, Uint8ClampedArray, Int16Array, Uint16Array, Int32Array, Uint32Array, Float32Array, Float64Array,
    BigInt64Array, BigUint64Array, globalThis.Float16Array,
  ].filter(Boolean).map((kind) => [kind.name, kind]),
);
const ERRORS = { Error, EvalError, RangeError, ReferenceError, SyntaxError, TypeError, URIError };
const NEVER_CLONED = new Set(["Promise", "WeakMap", "WeakSet", "WeakRef", "Generator", "AsyncGenerator"].map((name) => `[object ${name}]`));

/** A deep copy of `value`; buffers in `transfer` are moved. */
export function structuredClone(value, options) {
  if (arguments.length === 0) throw new TypeError("structuredClone() needs a value");
  const transferred = [...(options?.transfer ?? [])];
  const copies = new Map();
  for (const buffer of transferred) {
    if (!succeeds(PROBES["[object ArrayBuffer]"], buffer) || buffer.detached || copies.has(buffer)) throw refusal(buffer, "cannot be transferred");
    copies.set(buffer, buffer.slice(0)); // A copy first: if the rest throws, nothing has moved.
  }
  const copy = cloneOf(value, copies);
  for (const buffer of transferred) buffer.transfer();
  return copy;
}

function cloneOf(value, copies) {
  if (typeof value === "function" || typeof value === "symbol") throw refusal(value);
  if (typeof value !== "object" || value === null) return value;
  const known = copies.get(value);
  if (known !== undefined) return known;
  const keep = (copy) => {
    copies.set(value, copy);
    return copy;
  };
  if (isArray(value)) return fill(keep(new Array(value.length)), value, copies);
  const tag = tagOf(value);
  if (neverCloned.has(value)) throw new DOMException(neverCloned.get(value), "DataCloneError");
  if (tag === "[object Object]") return fill(keep({}), value, copies);
  if (NEVER_CLONED.has(tag)) throw refusal(value);
  if (ArrayBuffer.isView(value)) return keep(cloneOfView(value, copies));
  if (value instanceof Blob) return keep(cloneOfBlob(value));
  if (value instanceof Error) return cloneOfError(value, keep, copies);
  if (!succeeds(PROBES[tag], value)) return fill(keep({}), value, copies);
  switch (tag) {
    case "[object Map]":
      return fillMap(keep(new Map()), value, copies);
    case "[object Set]":
      return fillSet(keep(new Set()), value, copies);
    case "[object Date]":
      return keep(new Date(timeOf(value)));
    case "[object ArrayBuffer]":
      return keep(value.slice(0));
    case "[object RegExp]":
      return keep(new RegExp(value.source, value.flags));
    default:
      return keep(Object(PROBES[tag](value))); // a boxed primitive
  }
}

function fill(copy, original, copies) {
  for (const key of keys(original)) {
    const item = cloneOf(original[key], copies);
    defineProperty(copy, key, { value: item, writable: true, enumerable: true, configurable: true });
  }
  return copy;
}

function fillMap(copy, original, copies) {
  for (const [key, item] of [...original]) copy.set(cloneOf(key, copies), cloneOf(item, copies));
  return copy;
}

function fillSet(copy, original, copies) {
  for (const item of [...original]) copy.add(cloneOf(item, copies));
  return copy;
}

function cloneOfView(view, copies) {
  const buffer = cloneOf(view.buffer, copies);
  const kind = kindOf(view);
  if (kind === undefined) return new DataView(buffer, view.byteOffset, view.byteLength);
  return new VIEWS[kind](buffer, view.byteOffset, view.length);
}

function cloneOfBlob(blob) {
  const { type } = blob;
  if (!(blob instanceof File)) return blob.slice(0, blob.size, type);
  return fileOf(contentOfBlob(blob), blob.name, { type, lastModified: blob.lastModified });
}

function cloneOfError(error, keep, copies) {
  if (error instanceof DOMException) return keep(new DOMException(error.message, error.name));
  const Kind = hasOwn(ERRORS, error.name) ? ERRORS[error.name] : Error;
  const copy = keep(new Kind(hasOwn(error, "message") ? String(error.message) : undefined));
  const define = (key, value) => defineProperty(copy, key, { value, writable: true, configurable: true });
  if (hasOwn(error, "stack")) define("stack", String(error.stack));
  if (hasOwn(error, "cause")) define("cause", cloneOf(error.cause, copies));
  return copy;
}

function refusal(value, why = "could not be cloned") {
  const what = typeof value === "symbol" ? "Symbol" : typeof value === "function" ? "Function" : tagOf(value);
  return new DOMException(`${what} ${why}.`, "DataCloneError");
}

function succeeds(probe, value) {
  if (probe === undefined) return false;
  try {
    probe(value);
    return true;
  } catch {
    return false;
  }
}
