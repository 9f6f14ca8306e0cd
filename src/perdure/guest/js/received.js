// What the host replied as an exception, as the error that a worker catches.
import { fromExpression } from "./values.js";

const STANDARD = { Error, EvalError, RangeError, ReferenceError, SyntaxError, TypeError, URIError };
// What the host calls a mistake of the caller's is a TypeError for JavaScript.
const TYPE_ERRORS = new Set([
  "FacetError",
  "FetchError",
  "HttpMessageError",
  "KvError",
  "NetworkDeniedError",
  "ObjectIdError",
  "RpcMethodError",
  "WorkerCodeError",
]);

// As a shape calls them, and as the reference system's errors do.
export const FLAGS = { remote: "remote", reset: "durableObjectReset", retryable: "retryable", overloaded: "overloaded" };

/** The error that a shape describes, as its own type where that exists here. */
export function errorFromShape(shape) {
  const type = String(shape?.type ?? "Error");
  const message = String(shape?.message ?? "");
  const error = newError(type, message);
  for (const [key, name] of Object.entries(FLAGS)) if (shape?.[key] === true) error[name] = true;
  for (const [name, value] of Object.entries(shape?.props ?? {})) {
    if (!(name in error)) setProperty(error, name, value);
  }
  // Not by assignment: a DOMException has a `code` that cannot be set.
  if (shape?.code !== undefined) Object.defineProperty(error, "code", { value: shape.code, writable: true, configurable: true });
  return error;
}

function setProperty(error, name, tree) {
  try {
    error[name] = fromExpression(tree);
  } catch {
    // What cannot be read here is left behind: the error itself must arrive.
  }
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
