// Timers, in the host's time: it says with every turn what time it is, and the report says when the next one is due.
import { reportLost } from "./console.js";
import { addStep, currentSection, runStep } from "./sections.js";

const DELAY_MS_MAX = 2_147_483_647;
const TIMERS_MAX = 10_000;

let nowMs = 0;
let lastId = 0;
const live = new Map();
const queue = []; // a binary heap: the timer that is due first stands first

/** A turn begins, at `now` milliseconds. Time never goes back. */
export function beginTurn(now) {
  if (now > nowMs) nowMs = now;
}

/** Runs the first timer that is due; false when none is. */
export function runDueTimer() {
  dropCleared();
  if (queue.length === 0 || queue[0].dueMs > nowMs) return false;
  const timer = pop();
  addStep(timer.section, () => fire(timer));
  runStep();
  return true;
}

function fire(timer) {
  if (live.get(timer.id) !== timer) return; // It was cleared while it was held.
  if (timer.repeatMs === undefined) live.delete(timer.id);
  else push({ ...timer, dueMs: nowMs + timer.repeatMs, order: ++lastId }, timer.id);
  try {
    Reflect.apply(timer.callback, globalThis, timer.callArguments);
  } catch (error) {
    reportLost("a timer failed", error);
  }
}

/** How long until the next timer, or undefined. */
export function nextDelayMs() {
  dropCleared();
  return queue.length === 0 ? undefined : Math.max(0, queue[0].dueMs - nowMs);
}

export const setTimeout = (callback, delay, ...callArguments) => arm(callback, delay, callArguments, false);
export const setInterval = (callback, delay, ...callArguments) => arm(callback, delay, callArguments, true);
export const clearTimeout = (id) => void live.delete(Number(id));

function arm(callback, delay, callArguments, repeats) {
  if (typeof callback !== "function") throw new TypeError("a timer's callback must be a function");
  if (live.size >= TIMERS_MAX) throw new RangeError(`${TIMERS_MAX} timers are set: clear some before setting more`);
  // At least a millisecond, so that an endless chain of timers gives the host a turn between any two.
  const delayMs = Math.min(Math.max(1, Number(delay) || 0), DELAY_MS_MAX);
  const id = ++lastId;
  const section = currentSection();
  push({ callback, callArguments, section, dueMs: nowMs + delayMs, order: id, repeatMs: repeats ? delayMs : undefined }, id);
  return id;
}

function push(timer, id) {
  timer.id = id;
  live.set(id, timer);
  let place = queue.push(timer) - 1;
  while (place > 0) {
    const parent = (place - 1) >> 1;
    if (!isBefore(queue[place], queue[parent])) break;
    [queue[place], queue[parent]] = [queue[parent], queue[place]];
    place = parent;
  }
}

function pop() {
  const first = queue[0];
  const last = queue.pop();
  if (queue.length > 0) {
    queue[0] = last;
    sink();
  }
  return first;
}

function sink() {
  for (let place = 0; ; ) {
    let least = place;
    for (const child of [2 * place + 1, 2 * place + 2]) {
      if (child < queue.length && isBefore(queue[child], queue[least])) least = child;
    }
    if (least === place) return;
    [queue[place], queue[least]] = [queue[least], queue[place]];
    place = least;
  }
}

const isBefore = (one, other) => one.dueMs - other.dueMs < 0 || (one.dueMs === other.dueMs && one.order < other.order);

function dropCleared() {
  while (queue.length > 0 && live.get(queue[0].id) !== queue[0]) pop();
}
