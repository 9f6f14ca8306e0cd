// Errors on their way to the host: what a worker threw, as an ErrorShape.
import { calleeAdvice } from "./callees.js";
import * as host from "./host.js";
import { FLAGS } from "./received.js";
import { isError, messageOf, OWN_MODULE, tracebackOf, typeOf } from "./traceback.js";
import { toExpression } from "./values.js";

const PROPERTIES_MAX = 32; // the same numbers as in perdure.limits
const PROPERTIES_CHARACTERS_MAX = 8_192;

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

// ── messages that lack what there is ─────────────────────────────────────────────────────────────────────────

let offered = [];
const explained = new WeakSet();

let builtins = [];

/** Which modules of Node there are, to be named to whoever asks for another. */
export function setBuiltins(names) {
  builtins = names;
}

/** What `cloudflare:workers` exports, to be named to whoever asks for something else. */
export function setOffered(names) {
  offered = names;
}

/** Tells in the message of a failed import what there is, and of a failed call what was called. */
function explain(error) {
  if (!isError(error) || explained.has(error)) return;
  const advice = adviceFor(messageOf(error), error);
  if (advice === "") return;
  explained.add(error);
  Object.defineProperty(error, "message", { value: messageOf(error) + advice, writable: true, configurable: true });
}

function adviceFor(message, error) {
  if (message.startsWith("No such module ")) {
    const names = host.moduleNames();
    const modules = names === undefined ? "" : `the worker's modules are ${quoted(names)}; `;
    return `: ${modules}"${OWN_MODULE}" offers ${offered.join(", ")}; of Node there are ${builtins.join(", ")}; packages are to be bundled`;
  }
  if (message.includes("export") && message.includes(`'${OWN_MODULE}'`)) return `: it offers ${offered.join(", ")}`;
  return error instanceof TypeError ? calleeAdvice(message, stackOf(error)) : "";
}

function stackOf(error) {
  try {
    return String(error.stack);
  } catch {
    return "";
  }
}

const quoted = (names) => names.map((name) => `"${name}"`).join(", ");
