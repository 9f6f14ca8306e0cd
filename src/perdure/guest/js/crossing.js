// What crosses as a capability: functions, RpcTargets and stubs, on their way out and in.
//
// A sender takes part in writing one message, a receiver in reading one; the codec asks them about what is no plain value.
import { breakWithScope, giveOut, importAgain, importNumbered, keepScope, ownNumbered, ownOf, takeBack } from "./capabilities.js";
import { RpcTarget } from "./classes.js";
import { ImportHook, LocalHook } from "./hooks.js";
import { aimOf, openChannel, stubFor } from "./stubs.js";
import { toExpression } from "./values.js";

const cloneError = (message) => new DOMException(message, "DataCloneError");
const notHere = (label) =>
  `Could not serialize object of type "${label}", it cannot be serialized in this context: only stubs of objects and entry points can be kept`;

/**
 * What may cross where. `isCall`: live objects do; `imports`: services of the host's do. `duplicates`: `dup` methods are
 * used. `keeps`: what goes out lives as long as its holder wants. `moves`: stubs are the receiver's, and no longer ours.
 */
const STORED = { isCall: false, imports: false, duplicates: false, keeps: false, moves: false };
const PROPS = { ...STORED, imports: true };
const ARGUMENTS = { ...PROPS, isCall: true, duplicates: true };
const PROPERTY = { ...PROPS, isCall: true, keeps: true };
const RESULT = { ...PROPERTY, moves: true };

/** Takes part in writing one message. */
export class Sender {
  #rules;
  #noted = []; // `{ own, moved, held }`: what goes out, in order
  #duplicates = new Map();

  constructor(rules) {
    this.#rules = rules;
  }

  static ofArguments = () => new Sender(ARGUMENTS);
  static ofProperty = () => new Sender(PROPERTY);
  static ofResult = () => new Sender(RESULT);
  static ofProps = () => new Sender(PROPS);
  static ofStorage = () => new Sender(STORED);

  get isCall() {
    return this.#rules.isCall;
  }

  /** The expression for a capability, or undefined when `value` is none. Throws for one that may not go here. */
  tagFor(value) {
    const aim = aimOf(value);
    if (aim !== undefined) return aim.isPromise ? undefined : aim.hook.tagIn(this);
    if (!this.#rules.isCall) return undefined;
    if (typeof value === "function") return isClass(value) ? undefined : this.tagForOwn(ownOf(this.#duplicateOf(value)), "function");
    return value instanceof RpcTarget ? this.tagForOwn(ownOf(this.#duplicateOf(value)), "target") : undefined;
  }

  #duplicateOf(target) {
    if (!this.#rules.duplicates || typeof target.dup !== "function") return target;
    let duplicate = this.#duplicates.get(target);
    if (duplicate === undefined) this.#duplicates.set(target, duplicate = target.dup());
    return duplicate;
  }

  /** One of this guest's, for which `hook` stands if it is a stub. */
  tagForOwn(own, kind, hook) {
    if (!this.#rules.isCall) throw cloneError(notHere("RpcStub"));
    this.#noted.push({ own, moved: this.#rules.moves ? hook : undefined });
    return ["export", own.number, kind];
  }

  /** One of the host's. */
  tagForImport(number, isService, hook) {
    if (!this.#rules.imports || (!isService && !this.#rules.isCall)) throw cloneError(notHere("RpcStub"));
    this.#noted.push({ moved: this.#rules.moves && !isService ? hook : undefined, held: hook });
    return ["import", number];
  }

  /** A stub of the worker's own; `isKept`: what it carries can be kept. */
  tagForChannel(kind, fields, isKept) {
    if (!isKept && !this.#rules.imports) throw cloneError(notHere("Fetcher"));
    return ["channel", kind, fields];
  }

  /** Where the codec may come back to when it writes a part anew. */
  mark() {
    return this.#noted.length;
  }

  rewind(mark) {
    this.#noted.length = mark;
  }

  /** This guest's own that go out. */
  get own() {
    return this.#noted.flatMap(({ own }) => own ?? []);
  }

  /** What stands for the host's that go back. */
  get held() {
    return this.#noted.flatMap(({ held }) => held ?? []);
  }

  /** The message goes out. */
  commit() {
    if (this.#noted.length === 0) return;
    const { own } = this;
    giveOut(own);
    for (const each of own) (this.#rules.keeps ? keepScope : breakWithScope)(each);
    for (const { moved } of this.#noted) moved?.dispose();
  }
}

// A class's `prototype` cannot be replaced, a function's can.
const isClass = (value) => Object.getOwnPropertyDescriptor(value, "prototype")?.writable === false;

/** The arguments of a call, on their way. */
export class Sent {
  #own;

  constructor(callArguments) {
    const sender = Sender.ofArguments();
    this.trees = callArguments.map((argument) => toExpression(argument, sender));
    sender.commit();
    this.#own = sender.own;
  }

  /** They do not go out after all. */
  undo() {
    for (const own of this.#own) takeBack(own, 1);
  }
}

/** `value` as the result of a call. */
export function resultExpression(value, isRead = false) {
  const sender = isRead ? Sender.ofProperty() : Sender.ofResult();
  const tree = toExpression(value, sender);
  sender.commit();
  return tree;
}

/** Takes part in reading one message of the host's. */
export class Receiver {
  hooks = []; // what may be disposed of with the message; bindings outlive it

  /** The stub for an expression that the codec does not know. */
  read([tag, number, kind]) {
    switch (tag) {
      case "export":
        return this.#adopted(this.introduced(checkedNumber(number), kind));
      case "import":
        return this.#adopted(this.returned(checkedNumber(number)));
      default:
        return openChannel(number, kind);
    }
  }

  introduced(number, kind) {
    return new ImportHook(importNumbered(number, kind));
  }

  returned(number) {
    return new LocalHook(ownOrError(number));
  }

  #adopted(hook) {
    if (!hook.isService) this.hooks.push(hook);
    return stubFor(hook);
  }

  dispose() {
    for (const hook of this.hooks.splice(0)) hook.dispose();
  }
}

/** Reads what this guest has written for itself. */
export class LoopReceiver extends Receiver {
  introduced(number) {
    const own = ownOrError(number);
    const hook = new LocalHook(own);
    takeBack(own, 1);
    return hook;
  }

  returned(number) {
    return new ImportHook(importAgain(number));
  }
}

/** Reads what was stored: of capabilities only those that can be made again. */
export const storedReceiver = {
  read([tag, kind, fields]) {
    if (tag === "channel") return openChannel(kind, fields);
    throw cloneError(`a stored value holds \`${tag}\`, which nothing can be read from`);
  },
};

function ownOrError(number) {
  const own = ownNumbered(number);
  if (own === undefined) throw new Error("RPC stub used after being disposed.");
  return own;
}

function checkedNumber(number) {
  if (Number.isSafeInteger(number) && number > 0) return number;
  throw cloneError("a capability is malformed: it has no number");
}
