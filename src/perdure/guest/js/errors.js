// Errors on their way across: what a worker threw as an ErrorShape, what the host replied as an exception.
//
// The reader of a traceback is a person or a model that must repair the worker: it shows the worker's own files, lines
// and columns, and nothing of this runtime.
import * as host from "./host.js";
import { inspect } from "./inspect.js";
import { fromExpression, toExpression } from "./values.js";

const OWN_MODULE = "cloudflare:workers";
const TRACEBACK_CHARACTERS_MAX = 16_000;
const FRAMES_MAX = 30;
const CAUSES_MAX = 5;

const STANDARD = { Error, EvalError, RangeError, ReferenceError, SyntaxError, TypeError, URIError };
// What the host calls a mistake of the caller's is a TypeError for JavaScript.
const TYPE_ERRORS = new Set([
  "FacetError",
  "HttpMessageError",
  "KvError",
  "ObjectIdError",
  "RpcMethodError",
  "WorkerCodeError",
]);

// As a shape calls them, and as the reference system's errors do.
const FLAGS = { remote: "remote", reset: "durableObjectReset", retryable: "retryable", overloaded: "overloaded" };
const PROPERTIES_MAX = 32; // the same numbers as in perdure.limits
const PROPERTIES_CHARACTERS_MAX = 8_192;

/** The error that a shape describes, as its own type where that exists here. */
export function errorFromShape(shape) {
  const type = String(shape?.type ?? "Error");
  const message = String(shape?.message ?? "");
  const error = newError(type, message);
  for (const [key, name] of Object.entries(FLAGS)) if (shape?.[key] === true) error[name] = true;
  for (const [name, value] of Object.entries(shape?.props ?? {})) {
    if (!(name in error)) error[name] = fromExpression(value);
  }
  // Not by assignment: a DOMException has a `code` that cannot be set.
  if (shape?.code !== undefined) Object.defineProperty(error, "code", { value: shape.code, writable: true, configurable: true });
  return error;
}

function newError(type, message) {
  if (type === "ValueNotCloneableError" || type === "DataCloneError") return new DOMException(message, "DataCloneError");
  if (Object.hasOwn(STANDARD, type)) return new STANDARD[type](message);
  const error = TYPE_ERRORS.has(type) ? new TypeError(message) : new Error(message);
  if (!TYPE_ERRORS.has(type)) setName(error, type);
  return error;
}

function setName(error, name) {
  Object.defineProperty(error, "name", { value: name, writable: true, configurable: true, enumerable: false });
}

/** `error` as the host takes it. Ends the sandbox when it says that memory is used up. */
export function shapeOfError(error) {
  if (isOutOfMemory(error)) host.endExhausted();
  explain(error);
  const shape = { type: typeOf(error), message: messageOf(error), traceback: tracebackOf(error) };
  const { code, remote } = flagsOf(error);
  if (typeof code === "string") shape.code = code;
  if (remote === true) shape.remote = true;
  const properties = propertiesOf(error);
  if (Object.keys(properties).length > 0) shape.props = properties;
  return shape;
}

/** What its author gave an error besides; what cannot be sent, or is too much, is left behind. */
function propertiesOf(error) {
  const kept = {};
  let size = 0;
  try {
    if (!isError(error)) return kept;
    for (const name of Object.keys(error).slice(0, PROPERTIES_MAX)) {
      if (name.startsWith("_") || name === "__proto__" || Object.values(FLAGS).includes(name)) continue;
      const expression = expressionOrNothing(error[name]);
      if (expression === undefined) continue;
      size += name.length + JSON.stringify(expression).length;
      if (size > PROPERTIES_CHARACTERS_MAX) break;
      kept[name] = expression;
    }
  } catch {
    return {};
  }
  return kept;
}

function expressionOrNothing(value) {
  try {
    return toExpression(value);
  } catch {
    return undefined;
  }
}

// Whatever was thrown may be a trap: telling of it must not throw again.
function isError(value) {
  try {
    return value instanceof Error;
  } catch {
    return false;
  }
}

function causeOf(error) {
  try {
    return isError(error) ? error.cause : undefined;
  } catch {
    return undefined;
  }
}

function isOutOfMemory(error) {
  return isError(error) && error instanceof InternalError && error.message === "out of memory";
}

function flagsOf(error) {
  try {
    return isError(error) ? { code: error.code, remote: error.remote } : {};
  } catch {
    return {};
  }
}

function typeOf(error) {
  try {
    const name = isError(error) ? error.name : undefined;
    return typeof name === "string" && name !== "" ? name : "Error";
  } catch {
    return "Error";
  }
}

function messageOf(error) {
  try {
    if (isError(error)) return String(error.message);
    return typeof error === "string" ? error : inspect(error);
  } catch {
    return "(its text could not be made)";
  }
}

/** Type, message and the worker's own frames; causes below. */
export function tracebackOf(error) {
  const parts = [];
  for (let each = error, depth = 0; depth < CAUSES_MAX; each = causeOf(each), depth++) {
    parts.push(depth === 0 ? oneTraceback(each) : `Caused by ${oneTraceback(each)}`);
    if (causeOf(each) === undefined) break;
  }
  const text = parts.join("\n");
  if (text.length <= TRACEBACK_CHARACTERS_MAX) return text;
  const half = TRACEBACK_CHARACTERS_MAX / 2;
  return `${text.slice(0, half)}\n  …\n${text.slice(-half)}`;
}

function oneTraceback(error) {
  const head = `${typeOf(error)}: ${messageOf(error)}`;
  if (!isError(error)) return head;
  const frames = ownFrames(error);
  const source = error instanceof SyntaxError ? sourceAt(frames[0]) : "";
  return [head, ...frames].join("\n") + source;
}

/** The lines of `error.stack` that stand for code of the worker. */
export function ownFrames(error) {
  let stack;
  try {
    stack = String(error.stack ?? "");
  } catch {
    return [];
  }
  const isOwn = (line) => /:\d+/.test(line) && !line.includes(OWN_MODULE) && !line.includes("(native)");
  return stack
    .split("\n")
    .filter(isOwn)
    .slice(0, FRAMES_MAX)
    .map((line) => `    ${line.trim().replace(/<eval> \((.*)\)/, "$1")}`.replace(SNIPPET_COLUMN, shiftColumn));
}

// A snippet is run in a block, so its first line begins one column late.
const SNIPPET_COLUMN = /(snippet\.js:1:)(\d+)/;
const shiftColumn = (_, place, column) => place + (column - 1);

/** The line of source that a frame points to, with a mark under the column; "" when it cannot be had. */
function sourceAt(frame) {
  const match = /at (?:.*\()?(.+?):(\d+)(?::(\d+))?\)?$/.exec(frame ?? "");
  if (match === null) return "";
  try {
    const line = host.moduleText(match[1])?.split("\n")[match[2] - 1];
    if (line === undefined || line.length > 500) return "";
    const column = Number(match[3] ?? 1);
    const indent = line.slice(0, column - 1).replace(/[^\t]/g, " ");
    return `\n\n  ${line}\n  ${indent}^`;
  } catch {
    return "";
  }
}

// ── imports that cannot be resolved ──────────────────────────────────────────────────────────────────────────

let offered = [];
const explained = new WeakSet();

/** What `cloudflare:workers` exports, to be named to whoever asks for something else. */
export function setOffered(names) {
  offered = names;
}

/** Tells in the message of a failed import what there is. */
function explain(error) {
  if (!isError(error) || explained.has(error)) return;
  const advice = adviceFor(messageOf(error));
  if (advice === "") return;
  explained.add(error);
  Object.defineProperty(error, "message", { value: messageOf(error) + advice, writable: true, configurable: true });
}

function adviceFor(message) {
  if (message.startsWith("No such module ")) {
    const names = host.moduleNames();
    const modules = names === undefined ? "" : `the worker's modules are ${quoted(names)}; `;
    return `: ${modules}"${OWN_MODULE}" offers ${offered.join(", ")}; there are no Node modules and no packages here`;
  }
  if (message.includes("export") && message.includes(`'${OWN_MODULE}'`)) return `: it offers ${offered.join(", ")}`;
  return "";
}

const quoted = (names) => names.map((name) => `"${name}"`).join(", ");
