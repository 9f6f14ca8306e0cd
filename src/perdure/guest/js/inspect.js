// What a console shows: values as text, errors with their tracebacks.
import { show } from "./show.js";
import { tracebackOf } from "./traceback.js";

const DIRECTIVE = /%[sdifjoOc%]/g;

/** What `console.log(...values)` shows: strings as they are, and `%` directives of the first one. */
export function format(values) {
  let rest = values;
  let text = "";
  if (typeof values[0] === "string") {
    [text, ...rest] = values;
    if (rest.length > 0) text = text.replace(DIRECTIVE, (directive) => expand(directive, rest));
  } else if (values.length > 0) {
    text = inspect(values[0]);
    rest = values.slice(1);
  }
  for (const value of rest) text += ` ${typeof value === "string" ? value : inspect(value)}`;
  return text;
}

function expand(directive, rest) {
  if (directive === "%%") return "%";
  if (rest.length === 0) return directive;
  const value = rest.shift();
  switch (directive) {
    case "%s":
      return typeof value === "string" ? value : inspect(value);
    case "%d":
      return typeof value === "bigint" ? `${value}n` : String(Number(value));
    case "%i":
      return typeof value === "bigint" ? `${value}n` : String(Number.parseInt(value, 10));
    case "%f":
      return String(Number.parseFloat(value));
    case "%j":
      return JSON.stringify(value) ?? "undefined";
    case "%c":
      return "";
    default:
      return inspect(value);
  }
}

/** `value` as text. Never throws. */
export const inspect = (value) => show(value, tracebackOf);
