// Values as Cap'n Web expressions: the same codec as `perdure.wire`, so that Python and JavaScript read each other.
//
// Plain JSON stands for itself, except that an array is wrapped in one more array; `["tag", …]` is whatever JSON lacks.
const { parse, stringify } = JSON;
const { isArray } = Array;
const { getPrototypeOf } = Object;
const objectPrototype = Object.prototype;

// The same numbers as in perdure.limits.
const DEPTH_MAX = 128;
const BIGINT_DIGITS_MAX = 4_300;

/** What belongs to its owner, and may be neither stored nor sent: object → why. */
export const neverCloned = new WeakMap();

/** The expression for `value`, as JSON text. Throws a DataCloneError for what cannot be copied. */
export const encode = (value) => stringify(toExpression(value));

/** The value that an encoder of ours wrote. */
export const decode = (text) => fromExpression(parse(text));

/** The JSON tree for `value`; see `encode`. `around` holds the values that `value` is nested in. */
export function toExpression(value, around = []) {
  switch (typeof value) {
    case "string":
    case "boolean":
      return value;
    case "number":
      return Number.isFinite(value) ? value : [value > 0 ? "inf" : value < 0 ? "-inf" : "nan"];
    case "undefined":
      return ["undefined"];
    case "bigint":
      return ["bigint", digitsOf(value)];
    case "object":
      return value === null ? null : objectExpression(value, around);
    default:
      throw notCloneable(value);
  }
}

function digitsOf(value) {
  const digits = value.toString();
  if (digits.length - (value < 0n) > BIGINT_DIGITS_MAX) {
    throw cloneError(`a bigint of ${digits.length} digits is too large to store or send: keep it as text or bytes`);
  }
  return digits;
}

function objectExpression(value, around) {
  if (around.includes(value)) throw cloneError(`a \`${classOf(value)}\` contains itself: only trees of values are stored or sent`);
  if (around.length >= DEPTH_MAX) {
    throw cloneError(`a value is nested deeper than ${DEPTH_MAX} levels: flatten it before it is stored or sent`);
  }
  around.push(value);
  const tree = compoundExpression(value, around);
  around.pop();
  return tree;
}

function compoundExpression(value, around) {
  if (isArray(value)) return [itemExpressions(value, around)];
  const prototype = getPrototypeOf(value);
  if (prototype === null && neverCloned.has(value)) throw cloneError(neverCloned.get(value));
  if (prototype !== objectPrototype && prototype !== null) return builtinExpression(value, around);
  const tree = {};
  for (const key of Object.keys(value)) setOwn(tree, key, toExpression(value[key], around));
  return tree;
}

// Loops, not callbacks: those would halve the depth that the stack allows.
function itemExpressions(items, around) {
  const expressions = [];
  for (const item of items) expressions.push(toExpression(item, around));
  return expressions;
}

function builtinExpression(value, around) {
  if (value instanceof Date) return ["date", value.getTime()];
  if (value instanceof ArrayBuffer) return ["bytes", new Uint8Array(value).toBase64(), "ArrayBuffer"];
  if (ArrayBuffer.isView(value)) return bytesExpression(value);
  if (value instanceof Map) {
    const pairs = [];
    for (const pair of value) pairs.push(itemExpressions(pair, around));
    return ["map", pairs];
  }
  if (value instanceof Set) return ["set", itemExpressions(value, around)];
  if (value instanceof RegExp) return ["regexp", value.source, value.flags];
  if (value instanceof Error) return ["error", String(value.name), String(value.message)];
  if (value instanceof URL) return ["url", value.href];
  throw notCloneable(value);
}

function bytesExpression(view) {
  const text = new Uint8Array(view.buffer, view.byteOffset, view.byteLength).toBase64();
  const kind = view[Symbol.toStringTag];
  return kind === "Uint8Array" ? ["bytes", text] : ["bytes", text, kind];
}

function notCloneable(value) {
  if (neverCloned.has(value)) return cloneError(neverCloned.get(value));
  if (typeof value === "function") return cloneError("functions cannot be stored or sent yet: send plain data");
  if (typeof value === "symbol") return cloneError("symbols cannot be stored or sent: send plain data");
  if (typeof value.then === "function") {
    return cloneError('Could not serialize object of type "Promise", it does not support serialization: await it first');
  }
  return cloneError(`Could not serialize object of type "${classOf(value)}", it does not support serialization: send plain data, such as { ...value }`);
}

const classOf = (value) => value.constructor?.name || "Object";
const cloneError = (message) => new DOMException(message, "DataCloneError");

/** Sets an own property, also one that is called `__proto__`. */
function setOwn(object, key, value) {
  if (key === "__proto__") Object.defineProperty(object, key, { value, writable: true, enumerable: true, configurable: true });
  else object[key] = value;
}

// ── reading ──────────────────────────────────────────────────────────────────────────────────────────────────

/** The value of a JSON tree, which is changed in place; see `decode`. */
export function fromExpression(tree, depth = 0) {
  if (typeof tree !== "object" || tree === null) return tree;
  if (depth > DEPTH_MAX) throw cloneError(`a value is nested deeper than ${DEPTH_MAX} levels`);
  if (!isArray(tree)) {
    for (const key of Object.keys(tree)) {
      const item = tree[key];
      if (typeof item === "object" && item !== null) tree[key] = fromExpression(item, depth + 1);
    }
    return tree;
  }
  if (tree.length === 1 && isArray(tree[0])) return itemsOf(tree[0], depth);
  const read = typeof tree[0] === "string" && Object.hasOwn(READERS, tree[0]) ? READERS[tree[0]] : undefined;
  if (read === undefined) {
    throw cloneError(`\`${String(tree[0]).slice(0, 40)}\` is no kind of value we know: one of ${Object.keys(READERS).join(", ")}`);
  }
  return read(tree, depth);
}

function itemsOf(items, depth) {
  for (let index = 0; index < items.length; index++) {
    const item = items[index];
    if (typeof item === "object" && item !== null) items[index] = fromExpression(item, depth + 1);
  }
  return items;
}

const READERS = {
  undefined: () => undefined,
  inf: () => Infinity,
  "-inf": () => -Infinity,
  nan: () => NaN,
  bigint: ([, digits]) => readBigint(digits),
  date: ([, milliseconds]) => new Date(milliseconds ?? NaN),
  bytes: ([, text, kind]) => readBytes(text, kind),
  map: ([, pairs], depth) => new Map(pairs.map((pair) => itemsOf(pair, depth))),
  set: ([, items], depth) => new Set(itemsOf(items, depth)),
  regexp: ([, source, flags]) => new RegExp(source, flags),
  error: ([, type, message]) => readError(type, message),
  url: ([, href]) => new URL(href),
};

function readBigint(digits) {
  if (typeof digits !== "string" || digits.replace("-", "").length > BIGINT_DIGITS_MAX || !/^-?[0-9]+$/.test(digits)) {
    throw cloneError("a `bigint` value is malformed: its digits are not decimal, or too many");
  }
  return BigInt(digits);
}

const VIEWS = {
  DataView, Int8Array, Uint8ClampedArray, Int16Array, Uint16Array, Int32Array, Uint32Array, Float32Array, Float64Array,
  BigInt64Array, BigUint64Array,
};

function readBytes(text, kind) {
  const bytes = Uint8Array.fromBase64(text);
  if (kind === "ArrayBuffer") return bytes.buffer;
  return Object.hasOwn(VIEWS, kind ?? "") ? new VIEWS[kind](bytes.buffer) : bytes;
}

const ERRORS = { Error, EvalError, RangeError, ReferenceError, SyntaxError, TypeError, URIError };

function readError(type, message) {
  if (Object.hasOwn(ERRORS, type)) return new ERRORS[type](message);
  const error = new Error(message);
  Object.defineProperty(error, "name", { value: String(type), writable: true, configurable: true, enumerable: false });
  return error;
}
