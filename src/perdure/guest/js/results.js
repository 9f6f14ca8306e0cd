// Results of calls that have not come yet: what is called on one goes to the host at once, which knows what it will be.
import { beginOperation, hasArrived } from "./operations.js";
import { Receiver } from "./crossing.js";
import { follow } from "./paths.js";
import { fromExpression } from "./values.js";

const PENDING = 0;
const DONE = 1;
const FAILED = 2;

const USED_AFTER_DISPOSAL = "RPC promise used after being disposed.";

/** The outcome of one call or property read. `base` is what must live until it has come. */
export class Result {
  label = "RpcPromise";
  #state = PENDING;
  #value;
  #native; // The promise of the language, made when somebody asks for it.
  #hooks = []; // What stubs in the value stand for: disposed of with it.
  #whenSettled = [];
  #operation; // The host's name for it, while it has not come.
  #isDisposed = false;
  #isUsed = false;

  /** Asks the host. A failure to ask is the result. */
  static asked(kind, payload, base) {
    const result = new Result();
    try {
      result.#operation = beginOperation(kind, payload, (isDone, tree) => result.#come(isDone, tree, base));
    } catch (error) {
      result.#settle(FAILED, error);
    }
    return result;
  }

  /** One that has failed already. */
  static failed(error) {
    const result = new Result();
    result.#settle(FAILED, error);
    return result;
  }

  /** One that is there already. */
  static of(value, hooks = []) {
    const result = new Result();
    result.#hooks = hooks;
    result.#settle(DONE, value);
    return result;
  }

  /** What `work` gives, a promise of `{ value, hooks }`. */
  static ofWork(work) {
    const result = new Result();
    work.then(
      ({ value, hooks }) => {
        result.#hooks = hooks;
        result.#settle(DONE, value);
      },
      (error) => result.#settle(FAILED, error),
    );
    return result;
  }

  /** A promise as the language knows it. */
  get promise() {
    this.#isUsed = true;
    if (this.#isDisposed) return Promise.reject(new Error(USED_AFTER_DISPOSAL));
    if (this.#native === undefined) {
      const { promise, resolve, reject } = Promise.withResolvers();
      this.#native = promise;
      this.#onceSettled(() => (this.#state === DONE ? resolve : reject)(this.#value));
    }
    return this.#native;
  }

  /** Calls what the path leads to, inside the result. */
  call(path, sent) {
    return this.#ask("rpc.call", path, sent);
  }

  /** Reads what the path leads to. */
  get(path) {
    return this.#ask("rpc.get", path, undefined);
  }

  #ask(kind, path, sent) {
    this.#isUsed = true;
    if (this.#isDisposed) return failedBefore(sent, new Error(USED_AFTER_DISPOSAL));
    if (this.#state === DONE) return follow(this.#value, path, sent);
    if (this.#state === FAILED) return failedBefore(sent, this.#value);
    if (this.#operation === undefined || hasArrived(this.#operation)) return this.#askLater(path, sent);
    const asked = { on: this.#operation, path };
    return Result.asked(kind, sent === undefined ? asked : { ...asked, a: sent.trees }, this);
  }

  /** It is here, or comes from here, but its turn to be known has not come. */
  #askLater(path, sent) {
    const result = new Result();
    this.#onceSettled(() => {
      const inner = this.#state === DONE ? follow(this.#value, path, sent) : failedBefore(sent, this.#value);
      inner.#isUsed = true;
      inner.#onceSettled(() => {
        result.#hooks = inner.#hooks;
        result.#settle(inner.#state, inner.#value);
      });
    });
    return result;
  }

  /** Gives back what stubs in the value stand for, now or when it comes. */
  dispose() {
    this.#isDisposed = this.#isUsed = true;
    for (const hook of this.#hooks.splice(0)) hook.dispose();
  }

  #come(isDone, tree, base) {
    void base;
    if (!isDone) return this.#settle(FAILED, tree);
    const receiver = new Receiver();
    try {
      const value = fromExpression(tree, receiver);
      this.#hooks = receiver.hooks;
      this.#settle(DONE, value);
    } catch (error) {
      receiver.dispose();
      this.#settle(FAILED, error);
    }
  }

  #settle(state, value) {
    this.#operation = undefined;
    this.#state = state;
    this.#value = value;
    if (state === DONE && !this.#isDisposed) offerDisposer(this, value);
    if (this.#isDisposed) this.dispose();
    const actions = this.#whenSettled.splice(0);
    for (const action of actions) action();
    if (state === FAILED && !this.#isUsed) this.#native = Promise.reject(value); // It is told of when nobody asks.
  }

  #onceSettled(action) {
    if (this.#state === PENDING) this.#whenSettled.push(action);
    else action();
  }
}

/** What was to be sent stays here. */
export function failedBefore(sent, error) {
  sent?.undo();
  return Result.failed(error);
}

/** Gives a value that is an object a disposer: of all stubs in it. A stub has its own. */
function offerDisposer(result, value) {
  if (typeof value !== "object" || value === null || Symbol.dispose in value) return;
  const dispose = () => result.dispose();
  Object.defineProperty(value, Symbol.dispose, { value: dispose, writable: true, configurable: true, enumerable: false });
}
