// Background work, critical sections, and the end.
import { reportLost } from "./console.js";
import { shapeOfError } from "./errors.js";
import * as host from "./host.js";
import { closeScope, openScopeWithOldest } from "./scopes.js";
import { endSection, failSection, requestSection } from "./sections.js";

const ISOLATE_ABORTED = "abortIsolate() was called";
const DEFAULT_ABORT_REASON = "Application called abort() to reset Durable Object";

let background = 0;

/** Keeps this worker awake until `work` is settled, and `scope` open; a failure is logged. */
export function waitUntil(work, scope = openScopeWithOldest()) {
  background++;
  const finish = () => {
    background--;
    closeScope(scope);
  };
  Promise.resolve(work).then(finish, (error) => {
    finish();
    reportLost("background work failed", error);
  });
}

/** How much background work is under way. */
export const backgroundCount = () => background;

/** Runs `callback` while the host delivers no other event. If it fails, the object is reset. Throws when too deep. */
export function blockConcurrencyWhile(callback) {
  return runInside(requestSection(), callback);
}

async function runInside(section, callback) {
  await section.started;
  let result;
  try {
    result = await callback();
  } catch (error) {
    failSection(section.id, shapeOfError(error));
    throw error;
  }
  endSection(section);
  return result;
}

/** Resets this object at once. Does not return. An alarm whose handler runs is tried again if `retryAlarm`. */
export function abort(reason = DEFAULT_ABORT_REASON, { retryAlarm = true } = {}) {
  host.abort(String(reason), Boolean(retryAlarm));
}

/** Ends this isolate at once: everything under way in it fails, and the next use loads the worker's code anew. */
export function abortIsolate(reason = ISOLATE_ABORTED) {
  host.abortIsolate(String(reason).toWellFormed());
}
