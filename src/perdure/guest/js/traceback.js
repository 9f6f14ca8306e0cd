// Tracebacks: what was thrown as text, for a person or a model that must repair the worker.
//
// It shows the worker's own files, lines and columns, and nothing of this runtime.
import * as host from "./host.js";
import { show } from "./show.js";

export const OWN_MODULE = "cloudflare:workers";
const TRACEBACK_CHARACTERS_MAX = 16_000;
const FRAMES_MAX = 30;
const CAUSES_MAX = 5;

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
function ownFrames(error) {
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

/** What kind of error it is, as its author named it. */
export function typeOf(error) {
  try {
    const name = isError(error) ? error.name : undefined;
    return typeof name === "string" && name !== "" ? name : "Error";
  } catch {
    return "Error";
  }
}

/** What it says; whatever else was thrown says what it is. */
export function messageOf(error) {
  try {
    if (isError(error)) return String(error.message);
    return typeof error === "string" ? error : show(error, tracebackOf);
  } catch {
    return "(its text could not be made)";
  }
}

// Whatever was thrown may be a trap: telling of it must not throw again.
export function isError(value) {
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
