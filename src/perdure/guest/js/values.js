// Values as Cap'n Web expressions: the same codec as `perdure.wire`, so that Python and JavaScript read each other.
//
// Plain JSON stands for itself, except that an array is wrapped in one more array; `["tag", …]` is whatever JSON lacks.
// A value some part of which stands in several places, or that has arrays with holes, is a `["graph", tree, entries]`.
import { RpcTarget } from "./classes.js";
import { checkCopies, pathTo, referenceOf, SHARED_DEPTH_MAX } from "./sharing.js";
import { shownAs } from "./show.js";

const { parse, stringify } = JSON;
const { isArray } = Array;
const { defineProperty, getPrototypeOf, hasOwn, keys } = Object;
const objectPrototype = Object.prototype;

// The same numbers as in perdure.limits.
const DEPTH_MAX = 128;
const BIGINT_DIGITS_MAX = 4_300;

/** What belongs to its owner, and may be neither stored nor sent: object → why. */
export const neverCloned = new WeakMap();

/** The expression for `value`, as JSON text. Throws a DataCloneError for what cannot be copied. */
export const encode = (value, sender) => stringify(toExpression(value, sender));

/** The value that an encoder of ours wrote. */
export const decode = (text, receiver) => fromExpression(parse(text), receiver);

// ── writing ──────────────────────────────────────────────────────────────────────────────────────────────────

const NEEDS_GRAPH = Symbol("this value is no tree");
let culprit;

/** The JSON tree for `value`; see `encode`. `sender` knows what crosses as a capability; without one nothing does. */
export function toExpression(value, sender) {
  if ((typeof value !== "object" && typeof value !== "function") || value === null) return treeOf(value, 0);
  const mark = sender?.mark();
  try {
    return treeOf(value, 0, new TreeWriter(sender));
  } catch (error) {
    if (error !== NEEDS_GRAPH) throw explained(error, value);
  }
  sender?.rewind(mark);
  try {
    return new GraphWriter(sender, mark).write(value);
  } catch (error) {
    throw explained(error, value);
  }
}

function treeOf(value, depth, writer) {
  switch (typeof value) {
    case "string":
    case "boolean":
      return value;
    case "number":
      return numberExpression(value);
    case "undefined":
      return ["undefined"];
    case "bigint":
      return ["bigint", digitsOf(value)];
    case "object":
      return value === null ? null : writer.treeOf(value, depth);
    case "function":
      return capabilityExpression(value, writer);
    default:
      throw notCloneable(value);
  }
}

function numberExpression(value) {
  if (!Number.isFinite(value)) return [value > 0 ? "inf" : value < 0 ? "-inf" : "nan"];
  return value === 0 && 1 / value < 0 ? ["-0"] : value;
}

function digitsOf(value) {
  const digits = value.toString();
  if (digits.length - (value < 0n) > BIGINT_DIGITS_MAX) {
    throw refusal(`a bigint of ${digits.length} digits is too large to store or send: keep it as text or bytes`, value);
  }
  return digits;
}

/** Writes trees. What it meets twice stops it. */
class TreeWriter {
  depthMax = DEPTH_MAX;
  met = new Set();
  count = 0;

  constructor(sender) {
    this.sender = sender;
  }

  treeOf(value, depth) {
    this.met.add(value);
    if (this.met.size !== ++this.count) throw NEEDS_GRAPH;
    return contentsOf(value, depth, this);
  }

  sparse() {
    throw NEEDS_GRAPH;
  }

  attempt(write) {
    const mark = this.sender?.mark();
    try {
      return write();
    } catch (error) {
      this.sender?.rewind(mark);
      throw error;
    }
  }
}

/** Writes values that are met more than once: twice, once to learn which these are. */
class GraphWriter {
  depthMax = SHARED_DEPTH_MAX;
  met = new Set();
  shared = new Set();
  numbers = undefined;
  entries = [];
  hasHoles = false;

  constructor(sender, mark) {
    this.sender = sender;
    this.mark = mark;
  }

  write(value) {
    treeOf(value, 0, this);
    this.sender?.rewind(this.mark);
    this.numbers = new Map();
    const root = treeOf(value, 0, this);
    if (this.entries.length === 0 && !this.hasHoles) return root;
    checkCopies(root, this.entries);
    return ["graph", root, this.entries];
  }

  treeOf(value, depth) {
    if (this.numbers === undefined) {
      if (this.met.has(value)) return void this.shared.add(value);
      this.met.add(value);
      return contentsOf(value, depth, this);
    }
    if (!this.shared.has(value)) return contentsOf(value, depth, this);
    let number = this.numbers.get(value);
    if (number === undefined) {
      number = this.entries.push(null) - 1;
      this.numbers.set(value, number);
      this.entries[number] = contentsOf(value, depth, this);
    }
    return ["ref", number];
  }

  sparse(array, depth) {
    this.hasHoles = true;
    const items = [];
    for (const key of keys(array)) {
      const index = key >>> 0;
      if (String(index) === key && index < array.length) items.push([index, treeOf(array[key], depth, this)]);
    }
    return ["sparse", array.length, items];
  }

  /** What `write` gives; when it throws, as if it had not begun. */
  attempt(write) {
    const count = this.entries.length;
    const mark = this.sender?.mark();
    try {
      return write();
    } catch (error) {
      this.sender?.rewind(mark);
      for (const [value, number] of this.numbers ?? []) if (number >= count) this.numbers.delete(value);
      this.entries.length = count;
      throw error;
    }
  }
}

function contentsOf(value, depth, writer) {
  if (depth >= writer.depthMax) {
    throw cloneError(`a value is nested deeper than ${writer.depthMax} levels: flatten it before it is stored or sent`);
  }
  if (isArray(value)) return arrayExpression(value, depth + 1, writer);
  const prototype = getPrototypeOf(value);
  if (prototype !== objectPrototype && (prototype !== null || writer.sender?.isCall)) return builtinExpression(value, depth + 1, writer);
  return objectExpression(value, depth + 1, writer);
}

// Loops, not callbacks: those would halve the depth that the stack allows. Most items are strings and small integers,
// which are not worth a call each.
function objectExpression(object, depth, writer) {
  const tree = {};
  for (const key of keys(object)) {
    const item = object[key];
    const kind = typeof item;
    const isPlain = kind === "string" || (kind === "number" && (item | 0) === item && item !== 0);
    const expression = isPlain ? item : treeOf(item, depth, writer);
    if (key === "__proto__") setOwn(tree, key, expression);
    else tree[key] = expression;
  }
  return tree;
}

function arrayExpression(array, depth, writer) {
  const expressions = [];
  for (let index = 0; index < array.length; index++) {
    const item = array[index];
    const kind = typeof item;
    if (kind === "string" || (kind === "number" && (item | 0) === item && item !== 0)) expressions.push(item);
    else if (item === undefined && !(index in array)) return writer.sparse(array, depth);
    else expressions.push(treeOf(item, depth, writer));
  }
  return [expressions];
}

function itemExpressions(items, depth, writer) {
  const expressions = [];
  for (const item of items) expressions.push(treeOf(item, depth, writer));
  return expressions;
}

function builtinExpression(value, depth, writer) {
  if (value instanceof Date) return ["date", value.getTime()];
  if (value instanceof ArrayBuffer) return ["bytes", new Uint8Array(value).toBase64(), "ArrayBuffer"];
  if (ArrayBuffer.isView(value)) return bytesExpression(value);
  if (value instanceof Map) {
    const pairs = [];
    for (const pair of value) pairs.push(itemExpressions(pair, depth, writer));
    return ["map", pairs];
  }
  if (value instanceof Set) return ["set", itemExpressions(value, depth, writer)];
  if (value instanceof RegExp) return ["regexp", value.source, value.flags];
  if (value instanceof Error) return errorExpression(value, depth, writer);
  if (value instanceof URL) return ["url", value.href];
  if (BOXES.some((Box) => value instanceof Box)) return ["boxed", treeOf(value.valueOf(), depth, writer)];
  return capabilityExpression(value, writer);
}

/** A function, an RpcTarget or a stub, if such may go where the writer's sender leads. */
function capabilityExpression(value, { sender }) {
  const tag = neverCloned.has(value) ? undefined : sender?.tagFor(value);
  if (tag === undefined) throw notCloneable(value);
  return tag;
}

const BOXES = [Number, String, Boolean, BigInt];

function bytesExpression(view) {
  const text = new Uint8Array(view.buffer, view.byteOffset, view.byteLength).toBase64();
  const kind = view[Symbol.toStringTag];
  return kind === "Uint8Array" ? ["bytes", text] : ["bytes", text, kind];
}

// These have a place of their own, or are made where the error is read.
const NO_PROPERTIES = new Set(["name", "message", "stack", "cause", "errors"]);

function errorExpression(error, depth, writer) {
  const expression = ["error", String(error.name), String(error.message)];
  if (error instanceof DOMException) return [...expression, null, {}, "DOMException"];
  const properties = {};
  const names = keys(error).filter((name) => !NO_PROPERTIES.has(name));
  for (const name of ["cause", "errors"]) if (hasOwn(error, name)) names.push(name);
  for (const name of names) {
    try {
      setOwn(properties, name, writer.attempt(() => treeOf(error[name], depth, writer)));
    } catch (problem) {
      // An error arrives in any case: without those of its properties that cannot be copied.
      if (problem === NEEDS_GRAPH || problem instanceof InternalError) throw problem;
    }
  }
  return keys(properties).length === 0 ? expression : [...expression, null, properties];
}

function notCloneable(value) {
  if (neverCloned.has(value)) return refusal(neverCloned.get(value), value);
  if (typeof value === "symbol") return refusal("symbols cannot be stored or sent: send plain data", value);
  const label = shownAs.get(value);
  if (typeof value === "function" && label === undefined && !isClass(value)) {
    return refusal("functions cannot be stored or sent here: they are arguments and results of calls only", value);
  }
  const kind = label ?? (typeof value === "function" ? value.name || "Function" : classOf(value));
  return refusal(`Could not serialize object of type "${kind}", it does not support serialization: ${adviceFor(value, kind)}`, value);
}

// A class's `prototype` cannot be replaced, a function's can.
const isClass = (value) => Object.getOwnPropertyDescriptor(value, "prototype")?.writable === false;

function adviceFor(value, kind) {
  if (isClass(value)) return "a class stays where it is, send an instance of an RpcTarget";
  if (typeof value.then === "function") return "await it first";
  if (kind.startsWith("Rpc") || value instanceof RpcTarget) return "it is sent as an argument or a result of a call only";
  return kind.startsWith("Weak") ? "send plain data" : "send plain data, such as { ...value }, or extend RpcTarget to send it as a stub";
}

const classOf = (value) => value.constructor?.name || "Object";
const cloneError = (message) => new DOMException(message, "DataCloneError");

function refusal(message, value) {
  culprit = { value, error: cloneError(message) };
  return culprit.error;
}

/** `error`, which tells where in `root` the part stands that cannot be copied. */
function explained(error, root) {
  if (error !== culprit?.error) return error;
  const path = pathTo(root, culprit.value);
  culprit = undefined;
  return path === "" ? error : cloneError(`${error.message} (it is the value's \`${path}\`)`);
}

/** Sets an own property, also one that is called `__proto__`. */
function setOwn(object, key, value) {
  if (key === "__proto__") defineProperty(object, key, { value, writable: true, enumerable: true, configurable: true });
  else object[key] = value;
}

// ── reading ──────────────────────────────────────────────────────────────────────────────────────────────────

let receiver; // of the value that is being read

/** The value of a JSON tree, which is changed in place; see `decode`. Capabilities in it are read by `from`. */
export function fromExpression(tree, from) {
  if (typeof tree !== "object" || tree === null) return tree;
  receiver = from;
  if (!isArray(tree) || tree[0] !== "graph") return valueOf(tree, 0);
  const [, root, entries] = tree;
  if (tree.length !== 3 || !isArray(entries)) throw cloneError("a `graph` value is malformed: it has no entries");
  checkCopies(root, entries);
  return valueOf(root, 0, { entries, values: new Map(), claimed: undefined });
}

/** `graph` is there when parts of the value stand in several places: entries are read when they are first referred to. */
function valueOf(tree, depth, graph) {
  if (typeof tree !== "object" || tree === null) return tree;
  if (depth > DEPTH_MAX) throw cloneError(`a value is nested deeper than ${DEPTH_MAX} levels`);
  if (!isArray(tree)) {
    noted(tree, graph);
    for (const key of keys(tree)) {
      const item = tree[key];
      if (typeof item === "object" && item !== null) setOwn(tree, key, valueOf(item, depth + 1, graph));
    }
    return tree;
  }
  if (tree.length === 1 && isArray(tree[0])) return itemsOf(noted(tree[0], graph), depth, graph);
  if (graph !== undefined && tree[0] === "ref") return referred(tree, depth, graph);
  const read = typeof tree[0] === "string" && hasOwn(READERS, tree[0]) ? READERS[tree[0]] : undefined;
  if (read === undefined) {
    throw cloneError(`\`${String(tree[0]).slice(0, 40)}\` is no kind of value we know: one of ${keys(READERS).join(", ")}`);
  }
  return read(tree, depth, graph);
}

/** Keeps a value that is still empty as the entry that is being read, so that what is in it may refer to it. */
function noted(value, graph) {
  if (graph?.claimed !== undefined) {
    graph.values.set(graph.claimed, value);
    graph.claimed = undefined;
  }
  return value;
}

function referred(tree, depth, graph) {
  const number = referenceOf(tree, graph.entries);
  if (!graph.values.has(number)) {
    if (graph.claimed === number) throw cloneError("a `ref` value is malformed: it refers to itself");
    graph.claimed = number;
    noted(valueOf(graph.entries[number], depth, graph), graph);
  }
  return graph.values.get(number);
}

function itemsOf(items, depth, graph) {
  for (let index = 0; index < items.length; index++) {
    const item = items[index];
    if (typeof item === "object" && item !== null) items[index] = valueOf(item, depth + 1, graph);
  }
  return items;
}

const READERS = {
  undefined: () => undefined,
  inf: () => Infinity,
  "-inf": () => -Infinity,
  nan: () => NaN,
  "-0": () => -0,
  bigint: ([, digits]) => readBigint(digits),
  date: ([, milliseconds]) => new Date(milliseconds ?? NaN),
  bytes: ([, text, kind]) => readBytes(text, kind),
  map: ([, pairs], depth, graph) => readMap(pairs, depth, noted(new Map(), graph), graph),
  set: ([, items], depth, graph) => readSet(items, depth, noted(new Set(), graph), graph),
  regexp: ([, source, flags]) => new RegExp(source, flags),
  error: (tree, depth, graph) => readError(tree, depth, graph),
  url: ([, href]) => new URL(href),
  sparse: ([, length, items], depth, graph) => readSparse(items, depth, noted(new Array(length), graph), graph),
  boxed: ([, item], depth, graph) => Object(valueOf(item, depth + 1, graph)),
  export: readCapability,
  import: readCapability,
  channel: readCapability,
};

function readCapability(tree) {
  if (receiver === undefined) throw cloneError(`a \`${tree[0]}\` value is a live object, which cannot be here`);
  return receiver.read(tree);
}

function readBigint(digits) {
  if (typeof digits !== "string" || digits.replace("-", "").length > BIGINT_DIGITS_MAX || !/^-?[0-9]+$/.test(digits)) {
    throw cloneError("a `bigint` value is malformed: its digits are not decimal, or too many");
  }
  return BigInt(digits);
}

function readMap(pairs, depth, map, graph) {
  for (const pair of pairs) {
    itemsOf(pair, depth, graph);
    map.set(pair[0], pair[1]);
  }
  return map;
}

function readSet(items, depth, set, graph) {
  for (const item of itemsOf(items, depth, graph)) set.add(item);
  return set;
}

function readSparse(items, depth, array, graph) {
  for (const [index, item] of items) array[index] = valueOf(item, depth + 1, graph);
  return array;
}

const VIEWS = Object.fromEntries(
  [
    DataView, Int8Array, Uint8ClampedArray, Int16Array, Uint16Array, Int32Array, Uint32Array, globalThis.Float16Array, Float32Array,
    Float64Array, BigInt64Array, BigUint64Array,
  ].filter(Boolean).map((View) => [View.name, View]),
);

function readBytes(text, kind) {
  const bytes = Uint8Array.fromBase64(text);
  if (kind === "ArrayBuffer") return bytes.buffer;
  return hasOwn(VIEWS, kind ?? "") ? new VIEWS[kind](bytes.buffer) : bytes;
}

const ERRORS = { Error, EvalError, RangeError, ReferenceError, SyntaxError, TypeError, URIError };

function readError([, type, message, , properties = {}, kind], depth, graph) {
  const error = noted(newError(type, message, kind), graph);
  for (const name of keys(properties)) {
    if (name === "name" || name === "message" || name === "stack") continue;
    const value = valueOf(properties[name], depth + 1, graph);
    if (NO_PROPERTIES.has(name)) define(error, name, value);
    else setOwn(error, name, value);
  }
  return error;
}

function newError(type, message, kind) {
  if (kind === "DOMException") return new DOMException(message, type);
  if (type === "AggregateError") return new AggregateError([], message);
  if (hasOwn(ERRORS, type)) return new ERRORS[type](message);
  const error = new Error(message);
  define(error, "name", String(type));
  return error;
}

const define = (error, name, value) => defineProperty(error, name, { value, writable: true, configurable: true, enumerable: false });
