// The capabilities that this guest and its host have given each other, and how many references each holds.
//
// Collection never disposes of anything: references are counted, and given back in words.
import { reportLost } from "./console.js";
import { closeScope, openScopeWithOldest, untilScopesEnd } from "./scopes.js";

const OWN_MAX = 10_000; // The same number as in perdure.limits.

// ── given out ────────────────────────────────────────────────────────────────────────────────────────────────

const ofTarget = new WeakMap();
const numbered = new Map();
let lastNumber = 0;

/** A function or an RpcTarget of this guest that can be called from elsewhere: `references` are the host's, `holders` stubs here. */
class Own {
  references = 0;
  holders = 0;
  isBroken = false;
  lastSending = 0; // the scope it was last sent in, as an argument
  keeper = undefined; // the scope that it keeps open, as a result

  constructor(target) {
    this.target = target;
    this.number = ++lastNumber;
  }
}

/** The capability that stands for `target`: the same as long as anybody holds it. */
export function ownOf(target) {
  let own = ofTarget.get(target);
  if (own === undefined) ofTarget.set(target, own = new Own(target));
  return own;
}

/** The host gets one reference more to each of `list`; an error when these are too many. */
export function giveOut(list) {
  const fresh = new Set(list.filter((own) => own.references === 0));
  if (numbered.size + fresh.size > OWN_MAX) {
    throw new RangeError(
      `${OWN_MAX} functions and RpcTargets of this worker are held by others: those who hold them must dispose of some, with stub[Symbol.dispose]()`,
    );
  }
  for (const own of list) {
    own.references++;
    numbered.set(own.number, own);
  }
}

/** The host gives `count` references back, or never got them. */
export function takeBack(own, count) {
  own.references = Math.max(0, own.references - count);
  if (own.references === 0) numbered.delete(own.number);
  endIfUnused(own);
}

/** What the host knows by this number. */
export const ownNumbered = (number) => numbered.get(number);

/** A stub in this guest holds it, or no longer does. */
export function hold(own) {
  own.holders++;
}

export function letGo(own) {
  own.holders--;
  endIfUnused(own);
}

function endIfUnused(own) {
  if (own.references > 0 || own.holders > 0) return;
  closeScope(own.keeper);
  if (own.isBroken) return;
  if (ofTarget.get(own.target) === own) ofTarget.delete(own.target);
  const { target } = own;
  own.target = undefined;
  runDisposer(target);
}

/** In a job of its own, and never more than once for a capability. */
async function runDisposer(target) {
  await undefined;
  try {
    const dispose = target?.[Symbol.dispose];
    if (typeof dispose === "function") await Reflect.apply(dispose, target, []);
  } catch (error) {
    reportLost("a disposer failed", error);
  }
}

/** It was sent as an argument: when the event that sent it has ended, whoever still holds it is told so. */
export function breakWithScope(own) {
  own.lastSending = untilScopesEnd((number) => {
    if (own.keeper !== undefined || own.lastSending !== number || own.isBroken || own.target === undefined) return;
    own.isBroken = true;
    if (ofTarget.get(own.target) === own) ofTarget.delete(own.target);
    runDisposer(own.target);
    own.target = undefined;
  });
}

/** It was sent as a result: what it may need lives on as long as somebody holds it. */
export function keepScope(own) {
  own.keeper ??= openScopeWithOldest();
}

// ── received ─────────────────────────────────────────────────────────────────────────────────────────────────

const received = new Map();
let givenBack = [];

/** A capability of the host's: `references` came over, `holders` stubs stand for it. */
class Import {
  references = 0;
  holders = 0;

  constructor(number, kind) {
    this.number = number;
    this.kind = kind;
  }
}

/** A reference came, for one stub. */
export function importNumbered(number, kind) {
  let record = received.get(number);
  if (record === undefined) received.set(number, record = new Import(number, kind));
  record.references++;
  record.holders++;
  return record;
}

/** One stub fewer stands for it; the host is told of the last. */
export function dropImport(record) {
  if (--record.holders > 0) return;
  received.delete(record.number);
  givenBack.push([record.number, record.references]);
}

/** What the host gets back in this turn: `[number, references]`. */
export function takeGivenBack() {
  const taken = givenBack;
  givenBack = [];
  return taken;
}

/** One stub more for what is here already. */
export function importAgain(number) {
  const record = received.get(number);
  if (record === undefined) throw new Error("RPC stub used after being disposed.");
  record.holders++;
  return record;
}
