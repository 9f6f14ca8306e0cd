// Background work, critical sections, and the end.
import { reportLost } from "./console.js";
import { shapeOfError } from "./errors.js";
import * as host from "./host.js";

const DEFAULT_ABORT_REASON = "Application called abort() to reset Durable Object";

let background = 0;
let lastSection = 0;
let sections = [];

/** Keeps this worker awake until `work` is settled; a failure is logged. */
export function waitUntil(work) {
  background++;
  const finish = () => void background--;
  Promise.resolve(work).then(finish, (error) => {
    finish();
    reportLost("background work failed", error);
  });
}

/** How much background work is under way. */
export const backgroundCount = () => background;

/** Runs `callback` while the host delivers no other event. If it fails, the object is reset. */
export async function blockConcurrencyWhile(callback) {
  const section = beginSection();
  let result;
  try {
    result = await callback();
  } catch (error) {
    failSection(section, error);
    throw error;
  }
  sections.push(["end", section]);
  return result;
}

/** From now on the host delivers no other event. */
export function beginSection() {
  const section = ++lastSection;
  sections.push(["begin", section]);
  return section;
}

/** The host resets the object. */
export function failSection(section, error) {
  sections.push(["fail", section, shapeOfError(error)]);
}

/** What changed in this turn. */
export function takeSections() {
  const taken = sections;
  sections = [];
  return taken;
}

/** Resets this object at once. Does not return. An alarm whose handler runs is tried again if `retryAlarm`. */
export function abort(reason = DEFAULT_ABORT_REASON, { retryAlarm = true } = {}) {
  host.abort(String(reason), Boolean(retryAlarm));
}
