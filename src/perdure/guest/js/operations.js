// What this guest has asked of the outside and still waits for. The report of a turn carries it to the host, a later turn
// brings the answer.
import { errorFromShape } from "./received.js";
import { currentSection } from "./sections.js";

const PENDING_MAX = 1_024;

let lastId = 0;
const waiting = new Map();
let started = [];
let released = [];

/** Notes an operation; a promise of the JSON tree of its result. */
export function startOperation(kind, payload) {
  if (waiting.size >= PENDING_MAX) {
    const message = `${PENDING_MAX} operations of this worker are under way: await some before starting more`;
    return Promise.reject(errorFromShape({ type: "OverloadedError", message, code: "overloaded" }));
  }
  const id = ++lastId;
  const { promise, resolve, reject } = Promise.withResolvers();
  waiting.set(id, { resolve, reject, section: currentSection() });
  started.push([id, kind, payload]);
  return promise;
}

/** Where an operation was started; for what none caused, the section that runs now. */
export const sectionOf = (id) => waiting.get(id)?.section ?? currentSection();

/** The host has done one. One that nobody waits for any more is dropped. */
export function settleOperation([id, isDone, result]) {
  const waiter = waiting.get(id);
  if (waiter === undefined) return;
  waiting.delete(id);
  if (isDone) waiter.resolve(result);
  else waiter.reject(errorFromShape(result));
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
