// What this guest has asked of the outside and still waits for. The report of a turn carries it to the host, a later turn
// brings the answer.
import { errorFromShape } from "./received.js";
import { currentSection } from "./sections.js";

const PENDING_MAX = 1_024;

let lastId = 0;
const waiting = new Map();
let started = [];
let released = [];

/**
 * Notes an operation: its number. `settle(isDone, result)` is called in the turn that brings the JSON tree of its result, or
 * its error. Throws when too many are under way.
 */
export function beginOperation(kind, payload, settle) {
  if (waiting.size >= PENDING_MAX) {
    const message = `${PENDING_MAX} operations of this worker are under way: await some before starting more`;
    throw errorFromShape({ type: "OverloadedError", message, code: "overloaded" });
  }
  const id = ++lastId;
  waiting.set(id, { settle, section: currentSection(), hasArrived: false });
  started.push([id, kind, payload]);
  return id;
}

/** The same; a promise of the JSON tree. */
export function startOperation(kind, payload) {
  return new Promise((resolve, reject) => {
    beginOperation(kind, payload, (isDone, result) => (isDone ? resolve : reject)(result));
  });
}

/** The host has told of its result: from then on it is known here, and nowhere else. */
export function noteArrival([id]) {
  const waiter = waiting.get(id);
  if (waiter !== undefined) waiter.hasArrived = true;
}

export const hasArrived = (id) => waiting.get(id)?.hasArrived ?? true;

/** Where an operation was started; for what none caused, the section that runs now. */
export const sectionOf = (id) => waiting.get(id)?.section ?? currentSection();

/** The host has done one. One that nobody waits for any more is dropped. */
export function settleOperation([id, isDone, result]) {
  const waiter = waiting.get(id);
  if (waiter === undefined) return;
  waiting.delete(id);
  waiter.settle(Boolean(isDone), isDone ? result : errorFromShape(result));
}

/** Nobody holds this stub any more. */
export function releaseStub(number) {
  released.push(number);
}

/** Those of this turn. */
export function takeReleased() {
  const taken = released;
  released = [];
  return taken;
}

/** Those of this turn, in order. */
export function takeStarted() {
  const taken = started;
  started = [];
  return taken;
}
