// What a stub stands for: a capability of the host's, one of this guest's own, or an export of the worker.
//
// Each has `call`, `get`, `dup`, `dispose`, and `tagIn(sender)`: how it crosses.
import { dropImport, hold, importAgain, letGo } from "./capabilities.js";
import { LoopReceiver, resultExpression } from "./crossing.js";
import { shapeOfError } from "./errors.js";
import { startOperation } from "./operations.js";
import { perform } from "./paths.js";
import { held } from "./pins.js";
import { errorFromShape } from "./received.js";
import { failedBefore, Result } from "./results.js";
import { untilScopesEnd } from "./scopes.js";
import { fromExpression } from "./values.js";

const DISPOSED = "RPC stub used after being disposed.";
const ENDED =
  "Cannot perform I/O on behalf of a different request (I/O type: RpcStub): the request or call that received this stub has ended; " +
  "get a new one in the request that uses it";
const CONTEXT_ENDED = "The execution context which hosts this callback is no longer running.";

const collected = new FinalizationRegistry((record) => dropImport(record));

/** A capability of the host's. */
export class ImportHook {
  #record;
  #problem;

  constructor(record) {
    this.#record = record;
    if (this.isService) collected.register(this, record, this); // It may outlive the call it came with.
    else untilScopesEnd(() => this.dispose(ENDED));
  }

  get isService() {
    return this.#record.kind === "service";
  }

  get label() {
    return this.isService ? "Fetcher" : "RpcStub";
  }

  call(path, sent) {
    if (this.#problem !== undefined) return failedBefore(sent, new Error(this.#problem));
    return Result.asked("rpc.call", { n: this.#record.number, path, a: sent.trees }, this);
  }

  get(path) {
    if (this.#problem !== undefined) return Result.failed(new Error(this.#problem));
    return Result.asked("rpc.get", { n: this.#record.number, path }, this);
  }

  /** Asks with a request in the form of the wire. */
  async fetch(request) {
    this.#check();
    const response = await startOperation("rpc.fetch", { n: this.#record.number, r: request });
    void this; // It is held until the answer has come.
    return response;
  }

  dup() {
    this.#check();
    return new ImportHook(importAgain(this.#record.number));
  }

  dispose(problem = DISPOSED) {
    if (this.#problem !== undefined) return;
    this.#problem = problem;
    if (this.isService) collected.unregister(this);
    dropImport(this.#record);
  }

  tagIn(sender) {
    this.#check();
    return sender.tagForImport(this.#record.number, this.isService, this);
  }

  #check() {
    if (this.#problem !== undefined) throw new Error(this.#problem);
  }
}

/** A function or an RpcTarget of this guest, called as if it were elsewhere: with copies, and never at once. */
export class LocalHook {
  label = "RpcStub";
  isService = false;
  #own;
  #isDisposed = false;

  constructor(own) {
    this.#own = own;
    hold(own);
  }

  call(path, sent) {
    if (this.#isDisposed) return failedBefore(sent, new Error(DISPOSED));
    return Result.ofWork(performHere(this.#own, path, sent.trees));
  }

  get(path) {
    if (this.#isDisposed) return Result.failed(new Error(DISPOSED));
    return Result.ofWork(performHere(this.#own, path, undefined));
  }

  dup() {
    this.#check();
    return new LocalHook(this.#own);
  }

  dispose() {
    if (this.#isDisposed) return;
    this.#isDisposed = true;
    letGo(this.#own);
  }

  tagIn(sender) {
    this.#check();
    return sender.tagForOwn(this.#own, typeof this.#own.target === "function" ? "function" : "target", this);
  }

  #check() {
    if (this.#isDisposed) throw new Error(DISPOSED);
  }
}

/** What `own` is in this guest, while whoever made it goes on. */
export function targetOf(own) {
  if (own.isBroken) throw new Error(CONTEXT_ENDED);
  return own.target;
}

async function performHere(own, path, trees) {
  const brought = new LoopReceiver();
  let reply;
  hold(own);
  try {
    const callArguments = trees?.map((tree) => fromExpression(tree, brought));
    await undefined;
    reply = resultExpression(await perform(targetOf(own), path, callArguments), trees === undefined);
  } catch (error) {
    throw errorFromShape({ ...shapeOfError(error), remote: true });
  } finally {
    brought.dispose();
    letGo(own);
  }
  const receiver = new LoopReceiver();
  return { value: fromExpression(reply, receiver), hooks: receiver.hooks };
}

/** What the host reaches by name: an object, a facet, or an entry point of this worker. */
export class ServiceHook {
  isService = true;
  #kind;
  #fields;
  #keeps;

  /** `keeps`: hooks that its props refer to. */
  constructor(kind, fields, keeps = []) {
    this.#kind = kind;
    this.#fields = fields;
    this.#keeps = keeps;
    this.label = kind === "stub" ? "DurableObjectStub" : kind === "facet" ? "FacetStub" : "Fetcher";
  }

  call(path, sent) {
    const { trees: a } = sent;
    return Result.asked(`${this.#kind}.call`, path.length === 1 ? this.#with({ m: path[0], a }) : this.#with({ path, a }), this);
  }

  get(path) {
    return Result.asked(`${this.#kind}.get`, this.#with({ path }), this);
  }

  async fetch(request) {
    const response = await startOperation(`${this.#kind}.fetch`, this.#with({ r: request }));
    void this;
    return response;
  }

  dup() {
    return this;
  }

  dispose() {}

  tagIn(sender) {
    const { n: _, ...fields } = this.#fields;
    return sender.tagForChannel(this.#kind, fields, this.#keeps.length === 0);
  }

  #with(payload) {
    const pin = this.#fields.w ?? this.#fields; // Of an entry point of a dynamic worker, the worker has a number.
    if (pin.n !== undefined) held(pin);
    return { ...this.#fields, ...payload };
  }
}
