// `env`: plain values, and what the host says is bound to a name.
import { Receiver } from "./crossing.js";
import { namespaceOf } from "./exports.js";
import { Loader } from "./loaders.js";
import { remoteStub } from "./stubs.js";
import { fromExpression } from "./values.js";

// What stands before a binding's name where an export is named: the host looks there, too.
const PREFIX = "env.";

const bound = {};

/** Takes what LOAD says: a name and what kind of binding it is. */
export function bind(kinds) {
  for (const name of Object.keys(kinds)) bound[name] = bindingOf(name, kinds[name]);
}

/** The worker's `env`: these plain values, and what is bound. */
export const envOf = (expression = {}) => ({ ...fromExpression(expression, new Receiver()), ...bound });

function bindingOf(name, kind) {
  if (kind === "namespace") return namespaceOf(PREFIX + name);
  if (kind === "loader") return new Loader(name);
  return remoteStub("export", { x: PREFIX + name, p: {} });
}
