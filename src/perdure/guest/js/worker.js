// A loaded worker: what its main module exports, and how an instance of it is made and called.
import { DurableObject, WorkerEntrypoint } from "./classes.js";
import { ObjectId } from "./context.js";
import { Sender } from "./crossing.js";
import { exportOf, handleOf } from "./exports.js";
import { Response } from "./http.js";
import { keepForFacet, loadedClassOf } from "./loaders.js";
import { toExpression } from "./values.js";

let exported = Object.create(null);

/** `ctx.exports`: what the worker itself exports, to be called. */
export const exportsOfWorker = Object.create(null);

/** Takes the namespace of the main module; every export and what it is. `stored`: the classes that have namespaces. */
export function setWorker(namespace, stored) {
  exported = namespace;
  const kinds = {};
  for (const name of Object.keys(namespace)) {
    const kind = kindOf(namespace[name]);
    if (kind === undefined) continue;
    kinds[name] = kind;
    const own = exportOf(name, kind, stored.includes(name));
    if (own !== undefined) exportsOfWorker[name] = own;
  }
  return kinds;
}

function kindOf(value) {
  if (typeof value === "function") {
    if (value.prototype instanceof DurableObject) return "object";
    if (value.prototype instanceof WorkerEntrypoint) return "entrypoint";
    return isClass(value) ? "class" : "function";
  }
  return isHandler(value) ? "handler" : undefined;
}

// `export default { fetch() {…} }`: an object of functions.
const isHandler = (value) =>
  typeof value === "object" && value !== null && Object.values(value).some((member) => typeof member === "function");

// A class's `prototype` cannot be replaced, a function's can.
const isClass = (value) => Object.getOwnPropertyDescriptor(value, "prototype")?.writable === false;

/** The export of this name. */
export function exportNamed(name) {
  if (Object.hasOwn(exported, name)) return exported[name];
  const there = Object.keys(exported).map((known) => `\`${known}\``).join(", ") || "nothing";
  throw new TypeError(`the worker exports no \`${name}\`; it exports ${there}`);
}

/** What the start callback of a facet returned, as the host takes it. `facet`: its name, or its callback's number. */
export function facetStart(answer, facet) {
  const isOptions = typeof answer === "object" && answer !== null;
  const kind = isOptions ? answer.class : answer;
  const id = isOptions ? answer.id : undefined;
  const inheritsId = isOptions && Boolean(answer.inheritId);
  if (inheritsId && id != null) throw new TypeError(`a facet has the id \`${String(id)}\`, or its parent's (inheritId), not both`);
  const { name, props, worker } = loadedClassOf(kind) ?? handleOf(kind) ?? { name: nameOf(kind), props: {} };
  const chosen = { export: name, id: id == null ? null : String(id), props: toExpression(props, Sender.ofProps()) };
  if (worker !== undefined) {
    keepForFacet(facet, worker, props);
    chosen.w = worker;
  }
  if (inheritsId) chosen.inherit = true;
  if (isOptions && answer.limits != null) chosen.limits = answer.limits;
  if (isOptions && answer.budget != null) chosen.budget = answer.budget;
  return chosen;
}

function nameOf(kind) {
  for (const name of Object.keys(exported)) if (typeof kind === "function" && exported[name] === kind) return name;
  throw new TypeError(
    "the start callback of a facet must return { class }, where the class is `ctx.exports.Name` of this worker's main module, or of a worker from env.LOADER",
  );
}

/** How `receiver` answers HTTP. */
export function answerFetch(receiver, request) {
  if (typeof receiver.fetch === "function") return receiver.fetch(request);
  const kind = receiver.constructor?.name ?? "Object";
  throw new TypeError(`Handler does not export a fetch() function: add \`fetch(request) { return new Response(…) }\` to \`${kind}\``);
}

/** How `export default { … }` answers HTTP. */
export function handlerFetch(handler, request, env, ctx) {
  if (typeof handler.fetch === "function") return handler.fetch(request, env, ctx);
  throw new TypeError("Handler does not export a fetch() function: add `fetch(request, env, ctx) { return new Response(…) }` to it");
}

/** What `fetch` returned, if it is a response. */
export function checkedResponse(value) {
  if (value instanceof Response) return value;
  const advice = typeof value === "object" && value !== null ? "return Response.json(value)" : "return new Response(text)";
  const kind = value === null ? "null" : typeof value === "object" ? (value.constructor?.name ?? "Object") : typeof value;
  throw new TypeError(`fetch returned \`${kind}\`, it must return a Response: ${advice}`);
}

/** The id of an object, from START. */
export const objectId = ({ id, name, j } = {}) => new ObjectId(id ?? "", name, j);
