// structuredClone in JavaScript: the C extension recurses without a stack check (a deep value kills the isolate) and lacks
// transfer, boxed primitives, shared buffers and the errors for what cannot be cloned.
const tagOf = Function.prototype.call.bind(Object.prototype.toString);
const getter = (p, k) => Function.prototype.call.bind(Object.getOwnPropertyDescriptor(p, k).get);
const method = (f) => Function.prototype.call.bind(f);
const typed = Object.getPrototypeOf(Uint8Array.prototype);
const kindOf = getter(typed, Symbol.toStringTag), bufferOf = getter(typed, "buffer"), offsetOf = getter(typed, "byteOffset"), lengthOf = getter(typed, "length");
const viewBuffer = getter(DataView.prototype, "buffer"), viewOffset = getter(DataView.prototype, "byteOffset"), viewLength = getter(DataView.prototype, "byteLength");
const time = method(Date.prototype.getTime), source = getter(RegExp.prototype, "source"), flags = getter(RegExp.prototype, "flags");
const mapEach = method(Map.prototype.forEach), setEach = method(Set.prototype.forEach), bytes = getter(ArrayBuffer.prototype, "byteLength"), slice = method(ArrayBuffer.prototype.slice);
const move = method(ArrayBuffer.prototype.transfer), isView = ArrayBuffer.isView, { hasOwn, keys, getPrototypeOf, defineProperty } = Object, { isArray } = Array;
const arrays = Object.fromEntries([Int8Array, Uint8Array, Uint8ClampedArray, Int16Array, Uint16Array, Int32Array, Uint32Array, Float32Array, Float64Array, BigInt64Array, BigUint64Array, globalThis.Float16Array].filter(Boolean).map((c) => [c.name, c]));
const errors = { Error, EvalError, RangeError, ReferenceError, SyntaxError, TypeError, URIError };
const boxed = { "[object Boolean]": method(Boolean.prototype.valueOf), "[object Number]": method(Number.prototype.valueOf), "[object String]": method(String.prototype.valueOf), "[object BigInt]": method(BigInt.prototype.valueOf) };
const refuse = (v, why = "could not be cloned") => { throw new DOMException(`${typeof v === "symbol" ? "Symbol" : tagOf(v)} ${why}.`, "DataCloneError"); };
const is = (f, v) => { try { f(v); return true; } catch { return false; } };
const set = (o, k, value) => defineProperty(o, k, { value, writable: true, enumerable: true, configurable: true });
const clone = (v, seen) => {
  if (typeof v !== "object" || v === null) return typeof v === "function" || typeof v === "symbol" ? refuse(v) : v;
  const old = seen.get(v);
  if (old !== undefined) return old;
  const keep = (c) => { seen.set(v, c); return c; };
  if (isArray(v)) { const c = keep(new Array(v.length)); for (const k of keys(v)) c[k] = clone(v[k], seen); return c; }
  const tag = tagOf(v);
  if (tag === "[object Object]") {
    const p = getPrototypeOf(v);
    if (p !== Object.prototype && p !== null && (v instanceof Promise || v instanceof WeakMap || v instanceof WeakSet || v instanceof WeakRef)) refuse(v);
    const c = keep({});
    for (const k of keys(v)) { const x = clone(v[k], seen); if (k === "__proto__") set(c, k, x); else c[k] = x; }
    return c;
  }
  if (isView(v)) {
    const kind = kindOf(v);
    return keep(kind === undefined ? new DataView(clone(viewBuffer(v), seen), viewOffset(v), viewLength(v)) : new arrays[kind](clone(bufferOf(v), seen), offsetOf(v), lengthOf(v)));
  }
  if (tag === "[object Map]" && is(mapSize, v)) { const c = keep(new Map()), all = []; mapEach(v, (x, k) => all.push([k, x])); for (const [k, x] of all) c.set(clone(k, seen), clone(x, seen)); return c; }
  if (tag === "[object Set]" && is(setSize, v)) { const c = keep(new Set()), all = []; setEach(v, (x) => all.push(x)); for (const x of all) c.add(clone(x, seen)); return c; }
  if (tag === "[object Date]" && is(time, v)) return keep(new Date(time(v)));
  if (tag === "[object RegExp]") return keep(new RegExp(source(v), flags(v)));
  if (tag === "[object ArrayBuffer]" && is(bytes, v)) return keep(slice(v, 0));
  if (boxed[tag] && is(boxed[tag], v)) return keep(Object(boxed[tag](v)));
  if (v instanceof Error || tag === "[object Error]") {
    if (v instanceof DOMException) return keep(new DOMException(v.message, v.name));
    const e = keep(new (errors[v.name] ?? Error)(hasOwn(v, "message") ? String(v.message) : undefined));
    if (hasOwn(v, "stack")) defineProperty(e, "stack", { value: String(v.stack), writable: true, configurable: true });
    if (hasOwn(v, "cause")) defineProperty(e, "cause", { value: clone(v.cause, seen), writable: true, configurable: true });
    return e;
  }
  if (/^\[object (Promise|WeakMap|WeakSet|WeakRef|Generator|AsyncGenerator|Function|Symbol)\]$/.test(tag)) refuse(v);
  const c = keep({});
  for (const k of keys(v)) set(c, k, clone(v[k], seen));
  return c;
};
const mapSize = getter(Map.prototype, "size"), setSize = getter(Set.prototype, "size");
const structuredClone = function structuredClone(value, options) {
  if (arguments.length === 0) throw new TypeError("structuredClone needs a value");
  const seen = new Map(), list = options?.transfer === undefined ? [] : [...options.transfer];
  for (const b of list) if (!is(bytes, b) || b.detached || seen.has(b)) refuse(b, "cannot be transferred"); else seen.set(b, null);
  if (list.length === 0) return clone(value, seen);
  seen.clear();
  for (const b of list) clone(b, seen); // a copy first: if the rest throws, nothing has moved
  const out = clone(value, seen);
  for (const b of list) move(b);
  return out;
};
defineProperty(globalThis, "structuredClone", { value: structuredClone, writable: true, configurable: true, enumerable: false });
