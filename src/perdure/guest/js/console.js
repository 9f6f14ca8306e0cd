// `console`: what a worker tells people. Every line is a line of the host's log.
import * as host from "./host.js";
import { format, inspect } from "./inspect.js";
import { tracebackOf } from "./traceback.js";

const INDENT = "  ";
let indent = "";
const counts = new Map();
const timings = new Map();

function write(level, text) {
  for (const line of text.split("\n")) host.log(level, (indent + line).toWellFormed());
}

/** Tells of an error that nobody waits for. */
export function reportLost(what, error) {
  write("error", `${what}: ${tracebackOf(error)}`);
}

const writer = (level) => (...values) => write(level, format(values));
const log = writer("log");

function count(label = "default") {
  counts.set(label, (counts.get(label) ?? 0) + 1);
  log(`${label}: ${counts.get(label)}`);
}

function timeLog(label = "default", ...values) {
  if (timings.has(label)) log(`${label}: ${performance.now() - timings.get(label)} ms`, ...values);
}

export const console = {
  log,
  info: writer("info"),
  debug: writer("debug"),
  warn: writer("warn"),
  error: writer("error"),
  dir: (value) => log(inspect(value)),
  dirxml: log,
  table: (value) => log(inspect(value)),
  trace: (...values) => write("debug", [`Trace: ${format(values)}`, ...tracebackOf(new Error()).split("\n").slice(1)].join("\n")),
  assert: (condition, ...values) => {
    if (!condition) write("error", values.length === 0 ? "Assertion failed" : `Assertion failed: ${format(values)}`);
  },
  count,
  countReset: (label = "default") => void counts.delete(label),
  group: (...values) => {
    if (values.length > 0) log(...values);
    indent += INDENT;
  },
  groupCollapsed: (...values) => console.group(...values),
  groupEnd: () => {
    indent = indent.slice(INDENT.length);
  },
  time: (label = "default") => void timings.set(label, performance.now()),
  timeLog,
  timeEnd: (label = "default") => {
    timeLog(label);
    timings.delete(label);
  },
};
