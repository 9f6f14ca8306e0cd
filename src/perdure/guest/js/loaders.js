// `env.LOADER`: dynamic workers that this worker loads itself, and supervises.
//
// The host keeps what is loaded; here are numbers for it, and the callbacks that give code.
import { Sender } from "./crossing.js";
import * as host from "./host.js";
import { startOperation } from "./operations.js";
import { held, pinned } from "./pins.js";
import { remoteStub } from "./stubs.js";
import { fromExpression, neverCloned, toExpression } from "./values.js";

// The same number as in perdure.limits.
const CALLBACKS_MAX = 1_000;

const NOT_TRANSFERABLE =
  "Entrypoints to dynamically-loaded workers cannot be transferred to other Workers: give others a method of this worker that calls it";

const callbacks = new Map(); // number → callback
const numbers = new Map(); // binding and worker id → number, the latest last
let lastCallback = 0;
const collected = new FinalizationRegistry((number) => callbacks.delete(number));

const loadedClasses = new WeakMap();
const ofFacets = new Map();

/** The class handle's name, props and worker, if it is one of a dynamic worker. */
export const loadedClassOf = (value) => loadedClasses.get(value);

/** The host is about to start a facet with a class of this worker: it is there until the facet is started anew. */
export function keepForFacet(facet, worker, props) {
  held(worker);
  ofFacets.set(facet, { worker, props });
}

/** The callback that the host asks to be run. */
export function loadCallback(number) {
  const callback = callbacks.get(number);
  if (callback === undefined) throw new Error("the callback that gave the code of this worker is gone: call LOADER.get again");
  return callback;
}

/** Code as the host takes it: its env may hold stubs. */
export const codeExpression = (code) => toExpression(code, Sender.ofProps());

/** What is bound as `env[binding]`. */
export class Loader {
  #binding;

  constructor(binding) {
    this.#binding = binding;
    neverCloned.set(this, "a Worker Loader does not support serialization: it belongs to its worker");
  }

  /** The worker with this id; `getCode` is called when it is not loaded. Without an id: an isolate of its own each time. */
  get(id, getCode) {
    if (id != null && typeof id !== "string") throw new TypeError(`a worker's id is a string or null, not \`${typeof id}\``);
    if (typeof getCode !== "function") throw new TypeError("LOADER.get(id, getCode): getCode is a function that returns the worker's code");
    const worker = pinned({ b: this.#binding, id: id ?? null, cb: callbackNumber(this.#binding, id, getCode) });
    if (id == null) collected.register(worker, worker.cb);
    return new WorkerStub(worker);
  }

  /** A worker to use once and throw away. Throws when the code is malformed. */
  load(code) {
    const worker = pinned({ b: this.#binding });
    host.loadCode(worker.n, codeExpression(code));
    held(worker);
    return new WorkerStub(worker);
  }

  /** Runs a few lines in an isolate of their own: the value of the last expression, copied. */
  async evaluate(source, names = {}, { language = "javascript", limits } = {}) {
    if (language !== "javascript" && language !== "python") throw new TypeError(`language is 'python' or 'javascript', not \`${language}\``);
    const mainModule = language === "python" ? "worker.py" : "worker.js";
    const worker = pinned({ b: this.#binding });
    host.loadCode(worker.n, toExpression({ mainModule, modules: { [mainModule]: "" }, ...(limits && { limits }) }));
    held(worker);
    return fromExpression(await start("loader.evaluate", worker, { s: String(source), v: toExpression(names) }));
  }
}

/** A handle of a class of a dynamic worker: no plain object, so that it is not copied. */
class LoadedClass {}

/** A dynamic worker. Cheap; nothing runs until it is used. */
class WorkerStub {
  #worker;

  constructor(worker) {
    this.#worker = worker;
    neverCloned.set(this, "a Worker stub does not support serialization: it belongs to whoever loaded it");
  }

  /** A stub for an entry point, the default one without a name. */
  getEntrypoint(name, { props, limits } = {}) {
    const sender = Sender.ofProps();
    const p = toExpression(props ?? {}, sender);
    const fields = { w: this.#worker, e: name == null || name === "default" ? null : String(name), p };
    if (limits != null) fields.l = { ...limits };
    const stub = remoteStub("worker", fields, { keeps: sender.held.map((hook) => hook.dup()) });
    neverCloned.set(stub, NOT_TRANSFERABLE);
    return stub;
  }

  /** A class of the worker, to run as a facet. */
  getDurableObjectClass(name, { props } = {}) {
    if (typeof name !== "string" || name === "") throw new TypeError('getDurableObjectClass(name) needs the name of a class, such as "App"');
    const handle = Object.freeze(new LoadedClass());
    loadedClasses.set(handle, { name, props: props ?? {}, worker: this.#worker });
    neverCloned.set(handle, NOT_TRANSFERABLE);
    return handle;
  }

  /** Loads the code now, and sees that it has these Durable Object classes. */
  async check(...names) {
    await start("loader.check", this.#worker, { c: names.map(String) });
  }
}

/** Announces an operation on a worker, which is held until that is done. */
async function start(kind, worker, payload) {
  held(worker);
  try {
    return await startOperation(kind, { w: worker, ...payload });
  } finally {
    void worker.n;
  }
}

function callbackNumber(binding, id, callback) {
  const key = id == null ? undefined : `${binding}\n${id}`;
  const number = (key !== undefined && numbers.get(key)) || ++lastCallback;
  callbacks.set(number, callback);
  if (key === undefined) return number;
  numbers.delete(key); // It becomes the latest.
  numbers.set(key, number);
  if (numbers.size > CALLBACKS_MAX) {
    const [oldest, of] = numbers.entries().next().value;
    numbers.delete(oldest);
    callbacks.delete(of);
  }
  return number;
}
