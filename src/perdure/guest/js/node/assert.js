// node:assert.
import { inspect } from "../inspect.js";
import { isDeepEqual } from "./equal.js";

export class AssertionError extends Error {
  constructor({ message, actual, expected, operator } = {}) {
    super(message);
    Object.assign(this, { actual, expected, operator, generatedMessage: false, code: "ERR_ASSERTION" });
  }

  get name() {
    return "AssertionError";
  }
}

function check(isHeld, message, { actual, expected, operator }) {
  if (isHeld) return;
  if (message instanceof Error) throw message;
  const text = message ?? `Expected ${inspect(actual)} ${operator} ${inspect(expected)}`;
  const error = new AssertionError({ message: text, actual, expected, operator });
  error.generatedMessage = message === undefined;
  throw error;
}

const comparison = (operator, holds) => (actual, expected, message) =>
  check(holds(actual, expected), message, { actual, expected, operator });
const not = (holds) => (actual, expected) => !holds(actual, expected);
const loosely = (one, other) => one == other || (one !== one && other !== other);
const deeply = (one, other) => isDeepEqual(one, other);
const deeplyLoosely = (one, other) => isDeepEqual(one, other, false);

function ok(value, message) {
  check(Boolean(value), message ?? `Expected a value that counts as true, not ${inspect(value)}`, { actual: value, expected: true, operator: "==" });
}

function fail(message = "Failed") {
  throw message instanceof Error ? message : new AssertionError({ message, operator: "fail" });
}

/** What was thrown, against an error class, a pattern, an object of properties, or a function that judges. */
function checkError(error, expected, message) {
  if (expected === undefined || typeof expected === "string") return;
  if (expected instanceof RegExp) {
    check(expected.test(String(error)), message, { actual: error, expected, operator: "throws" });
  } else if (typeof expected === "object") {
    for (const [name, value] of Object.entries(expected)) {
      const isSame = value instanceof RegExp && typeof error?.[name] === "string" ? value.test(error[name]) : isDeepEqual(error?.[name], value);
      check(isSame, message, { actual: error, expected, operator: "throws" });
    }
  } else if (expected.prototype !== undefined && error instanceof expected) {
    return;
  } else if (Error.isPrototypeOf(expected) || expected === Error) {
    throw error;
  } else {
    check(expected(error) === true, message, { actual: error, expected, operator: "throws" });
  }
}

function throws(run, expected, message) {
  try {
    run();
  } catch (error) {
    checkError(error, expected, message);
    return;
  }
  fail(message ?? (typeof expected === "string" ? expected : "Missing expected exception."));
}

async function rejects(work, expected, message) {
  try {
    await (typeof work === "function" ? work() : work);
  } catch (error) {
    checkError(error, expected, message);
    return;
  }
  fail(message ?? "Missing expected rejection.");
}

function doesNotThrow(run, message) {
  try {
    run();
  } catch (error) {
    fail(`Got unwanted exception${typeof message === "string" ? `: ${message}` : ""}: ${inspect(error)}`);
  }
}

async function doesNotReject(work, message) {
  try {
    await (typeof work === "function" ? work() : work);
  } catch (error) {
    fail(`Got unwanted rejection${typeof message === "string" ? `: ${message}` : ""}: ${inspect(error)}`);
  }
}

function ifError(value) {
  if (value !== null && value !== undefined) throw value instanceof Error ? value : new AssertionError({ message: `ifError got ${inspect(value)}` });
}

const shared = {
  AssertionError, doesNotReject, doesNotThrow, fail, ifError, ok, rejects, throws,
  deepStrictEqual: comparison("deeply strictly equal to", deeply),
  doesNotMatch: comparison("not to match", (text, pattern) => !pattern.test(text)),
  match: comparison("to match", (text, pattern) => pattern.test(text)),
  notDeepStrictEqual: comparison("not deeply strictly equal to", not(deeply)),
  notStrictEqual: comparison("!==", not(Object.is)),
  strictEqual: comparison("===", Object.is),
};

export const assert = Object.assign((value, message) => ok(value, message), shared, {
  deepEqual: comparison("deeply equal to", deeplyLoosely),
  equal: comparison("==", loosely),
  notDeepEqual: comparison("not deeply equal to", not(deeplyLoosely)),
  notEqual: comparison("!=", not(loosely)),
});

export const strict = Object.assign((value, message) => ok(value, message), shared, {
  deepEqual: shared.deepStrictEqual,
  equal: shared.strictEqual,
  notDeepEqual: shared.notDeepStrictEqual,
  notEqual: shared.notStrictEqual,
});
strict.strict = assert.strict = strict;
