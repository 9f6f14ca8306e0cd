// `env`: plain values, and what the host says is bound to a name.
import { Receiver } from "./crossing.js";
import { namespaceOf } from "./exports.js";
import { Loader } from "./loaders.js";
import { remoteStub } from "./stubs.js";
import { fromExpression } from "./values.js";

// What stands before a binding's name where an export is named: the host looks there, too.
const PREFIX = "env.";

const bound = {};
let kept = {};

/** Takes what LOAD says: a name and what kind of binding it is, and the `env` when events do not carry it. */
export function bind(kinds, expression) {
  if (expression !== undefined) kept = fromExpression(expression, new Receiver());
  for (const name of Object.keys(kinds)) bound[name] = bindingOf(name, kinds[name]);
}

/** The worker's `env`: these plain values, and what is bound. */
export const envOf = (expression) => ({
  ...(expression === undefined ? kept : fromExpression(expression, new Receiver())),
  ...bound,
});

function bindingOf(name, kind) {
  if (kind === "namespace") return namespaceOf(PREFIX + name);
  if (kind === "loader") return new Loader(name);
  return remoteStub("export", { x: PREFIX + name, p: {} });
}
