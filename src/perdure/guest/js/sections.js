// Critical sections, and which of what is under way belongs to which.
//
// One runs at a time; others wait behind it, in order, and those that are asked for inside it are nested. JavaScript tells
// nobody where a promise came from, so what runs is attributed by steps: a turn is a row of steps, after each of which all
// jobs run; operations and timers remember the section in which they were started, and the step that goes on with one makes
// that section the current one. A step of another section than the innermost open one is held until that has ended.
import { errorFromShape } from "./received.js";

// The same numbers as in perdure.limits.
const DEPTH_MAX = 64;
const WAITING_MAX = 1_000;

const newSection = (id, parent) => ({ id, parent, depth: parent === undefined ? 0 : parent.depth + 1, waiting: [], isEnded: false });

const root = newSection(0, undefined);
let innermost = root;
let current = root;
let lastId = 0;
let waitingCount = 0;
let steps = []; // of this turn, in order
let held = [];
let changes = [];

/** The section that what runs now belongs to. */
export const currentSection = () => living(current);

/** Whatever outlives its section belongs to the section around it. */
function living(section) {
  while (section.isEnded) section = section.parent;
  return section;
}

/** A section that waits for its turn; `started` is settled when that has come. Throws when it is nested too deeply. */
export function requestSection() {
  const parent = currentSection();
  if (parent.depth >= DEPTH_MAX) {
    throw new Error(`blockConcurrencyWhile() calls are nested too deeply: the limit is ${DEPTH_MAX}`);
  }
  if (waitingCount >= WAITING_MAX) {
    const message = `${WAITING_MAX} critical sections of this object wait already: await some of them first`;
    throw errorFromShape({ type: "OverloadedError", message, code: "overloaded" });
  }
  const section = newSection(++lastId, parent);
  const { promise, resolve } = Promise.withResolvers();
  section.started = promise;
  section.start = resolve;
  parent.waiting.push(section);
  waitingCount++;
  changes.push(["want", section.id]);
  return section;
}

/** A turn begins: the section whose turn it is begins with it, ahead of everything else. */
export function openNextSection() {
  if (!wantsTurn()) return false;
  const section = innermost.waiting.shift();
  waitingCount--;
  innermost = current = section;
  changes.push(["begin", section.id]);
  section.start();
  return true;
}

/** Whether a section waits for nothing but a turn of its own. */
export const wantsTurn = () => innermost.waiting.length > 0;

/** What waits inside waits around it now; one that still has an open section inside ends with that. */
export function endSection(section) {
  section.isEnded = true;
  for (const waiting of section.waiting) waiting.parent = section.parent;
  section.parent.waiting.unshift(...section.waiting);
  section.waiting = [];
  while (innermost.isEnded) innermost = innermost.parent;
  current = living(current);
  changes.push(["end", section.id]);
  innermost.whenInnermost?.();
}

/** Until no section is open inside this one. */
export async function untilInnermost(section) {
  while (innermost !== section) await new Promise((resolve) => { section.whenInnermost = resolve; });
}

/** The host resets the object. */
export function failSection(id, shape) {
  changes.push(["fail", id, shape]);
}

/** A section that failed before it could wait: of a constructor. */
export function failWithoutSection(shape) {
  const id = ++lastId;
  changes.push(["begin", id], ["fail", id, shape]);
}

/** What changed in this turn. */
export function takeSections() {
  const taken = changes;
  changes = [];
  return taken;
}

// ── steps ────────────────────────────────────────────────────────────────────────────────────────────────────

/** A turn begins outside of every section, until a step says otherwise. */
export function resetSection() {
  current = root;
}

/** Something to do in this turn, for what was started in `section`. */
export function addStep(section, run) {
  steps.push({ section, run });
}

/** Does the next thing that may be done; false when there is none. */
export function runStep() {
  while (steps.length > 0) {
    const step = steps.shift();
    if (mayRun(step)) return run(step);
    held.push(step);
  }
  if (wantsTurn()) return false; // Sections go first, each with a turn of its own.
  const place = held.findIndex(mayRun);
  return place >= 0 && run(held.splice(place, 1)[0]);
}

const mayRun = (step) => living(step.section) === innermost;

function run(step) {
  current = innermost;
  step.run();
  return true;
}
