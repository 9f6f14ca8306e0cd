// `ctx.exports`: what this worker itself exports, as something to call.
//
// A class that has a namespace is one, and a class for facets too; an entry point is a stub. Ids come from the host, which
// alone knows a namespace's key.
import { ObjectId } from "./context.js";
import { Sender } from "./crossing.js";
import * as host from "./host.js";
import { pinned } from "./pins.js";
import { remoteStub } from "./stubs.js";
import { neverCloned, toExpression } from "./values.js";

const JURISDICTIONS = ["eu", "fedramp", "fedramp-high", "us"];
const NAME_KEPT_CHARACTERS_MAX = 1_024;

const handles = new WeakMap();

/** What `ctx.exports` holds for an export of this kind, or undefined. */
export function exportOf(name, kind, hasNamespace) {
  if (kind === "object" || kind === "class") return hasNamespace ? namespaceOf(name) : classHandle(name, {});
  return kind === "entrypoint" || kind === "handler" ? loopback(name) : undefined;
}

/** The name and the props of a class handle, or of a namespace that stands for its class. */
export const handleOf = (value) => handles.get(value);

function classHandle(name, props) {
  const handle = (options = {}) => classHandle(name, options.props ?? {});
  handles.set(handle, { name, props });
  neverCloned.set(handle, `Could not serialize object of type "DurableObjectClass", it does not support serialization: ctx.exports.${name} is for facets`);
  return handle;
}

// ── entry points ─────────────────────────────────────────────────────────────────────────────────────────────

/** A stub with props `{}`; called with props, a stub that has them. */
function loopback(name) {
  const withProps = (options = {}) => entrypoint(name, options.props ?? {});
  const stub = entrypoint(name, {}, withProps);
  neverCloned.set(stub, `Could not serialize object of type "LoopbackServiceStub", it does not support serialization: call ctx.exports.${name} with ({}) first`);
  return stub;
}

function entrypoint(name, props, apply) {
  const sender = Sender.ofProps();
  const p = toExpression(props, sender);
  return remoteStub("export", { x: name, p }, { apply, keeps: sender.held.map((hook) => hook.dup()) });
}

// ── namespaces ───────────────────────────────────────────────────────────────────────────────────────────────

const parts = new WeakMap(); // of a namespace: { name, jurisdiction }

/** The objects of one class. A function too: called with props, it is a class handle. */
class Namespace {
  newUniqueId({ jurisdiction } = {}) {
    const { name, jurisdiction: own } = parts.get(this);
    return idOf(host.objectId(name, { j: checkedJurisdiction(jurisdiction) ?? own }));
  }

  idFromName(text) {
    const { name, jurisdiction } = parts.get(this);
    return idOf(host.objectId(name, { n: String(text), j: jurisdiction }), String(text));
  }

  idFromString(text) {
    return checkJurisdiction(this, idOf(host.objectId(parts.get(this).name, { t: String(text) })));
  }

  get(id, options) {
    checkRoutingMode(options);
    if (!(id instanceof ObjectId)) {
      throw new TypeError("get(id) takes an id of this namespace: use getByName(name) or idFromString(text)");
    }
    this.idFromString(String(id));
    return objectStub(parts.get(this).name, id);
  }

  getByName(text, options) {
    checkRoutingMode(options);
    return objectStub(parts.get(this).name, this.idFromName(text));
  }

  jurisdiction(jurisdiction) {
    return namespaceOf(parts.get(this).name, checkedJurisdiction(jurisdiction));
  }
}

/** The objects of one class: of this worker's own, or of one that is bound in `env`. */
export function namespaceOf(name, jurisdiction) {
  const namespace = Object.setPrototypeOf((options = {}) => classHandle(name, options.props ?? {}), Namespace.prototype);
  parts.set(namespace, { name, jurisdiction });
  handles.set(namespace, { name, props: {} });
  neverCloned.set(namespace, "a Durable Object namespace does not support serialization: it belongs to its worker");
  return namespace;
}

function objectStub(name, id) {
  const fields = { x: name, i: String(id) };
  if (id.name !== undefined && id.name.length <= NAME_KEPT_CHARACTERS_MAX) fields.name = id.name;
  return remoteStub("stub", pinned(fields), { own: { id, name: id.name } });
}

const idOf = ({ i, j }, name) => new ObjectId(i, name, j);

function checkJurisdiction(namespace, id) {
  const { jurisdiction } = parts.get(namespace);
  if (jurisdiction !== undefined && id.jurisdiction !== jurisdiction) {
    throw new TypeError(
      `get called on jurisdictional subnamespace \`${jurisdiction}\` with an ID from a different jurisdiction (\`${id.jurisdiction}\`): use an id that it made`,
    );
  }
  return id;
}

function checkedJurisdiction(jurisdiction) {
  if (jurisdiction == null) return undefined;
  if (!JURISDICTIONS.includes(jurisdiction)) {
    throw new TypeError(`there is no jurisdiction \`${jurisdiction}\`: it is one of ${JURISDICTIONS.join(", ")}`);
  }
  return jurisdiction;
}

function checkRoutingMode({ routingMode } = {}) {
  if (routingMode != null && routingMode !== "primary-only") {
    throw new RangeError(`unknown routingMode \`${routingMode}\`: the only one is \`primary-only\``);
  }
}
