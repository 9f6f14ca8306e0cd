// Expressions in which one value stands in several places, `["ref", n]`: the same as in `perdure.wire`.
//
// A few references can stand for a value that is astronomically large once it is printed, compared or copied without
// them. So what they stand for is counted, without being made.
const { isArray } = Array;

// The same numbers as in perdure.limits.
export const SHARED_DEPTH_MAX = 64;
const COPIES_MAX = 250_000;

const TEXT_LIKE_A_VALUE = 64; // so many characters are converted in the time of one value
const PATH_CHARACTERS_MAX = 200;
const LOOKED_AT_MAX = 100_000;

const cloneError = (message) => new DOMException(message, "DataCloneError");

/** Throws when the references stand for too many values, or too deep ones. Walks as a printer would: a reference to
 * what the walk is inside of ends there. */
export function checkCopies(root, entries) {
  const inside = new Set();
  const seen = new Set();
  let left = COPIES_MAX;
  const waiting = [[root, 0, false]];
  while (waiting.length > 0) {
    const [node, depth, isCopy] = waiting.pop();
    if (depth < 0) {
      inside.delete(node);
      continue;
    }
    if (depth > SHARED_DEPTH_MAX) {
      throw cloneError(`a value is nested deeper than ${SHARED_DEPTH_MAX} levels, and some of its parts are shared`);
    }
    if (isCopy) {
      left -= 1 + (typeof node === "string" ? Math.trunc(node.length / TEXT_LIKE_A_VALUE) : 0);
      if (left < 0) {
        throw cloneError(
          `the shared parts of a value make more than ${COPIES_MAX} values when each place gets a copy: share less`,
        );
      }
    }
    if (typeof node !== "object" || node === null) continue;
    if (!isReference(node)) {
      for (const child of childrenOf(node)) waiting.push([child, depth + 1, isCopy]);
      continue;
    }
    const number = referenceOf(node, entries);
    if (isReference(entries[number])) throw cloneError("a `ref` value is malformed: it refers to a reference");
    if (inside.has(number)) continue;
    inside.add(number);
    waiting.push([number, -1, false], [entries[number], depth, isCopy || seen.has(number)]);
    seen.add(number);
  }
}

const isReference = (node) => isArray(node) && node[0] === "ref";

/** The number of a reference. */
export function referenceOf([, number], entries) {
  if (Number.isInteger(number) && number >= 0 && number < entries.length) return number;
  throw cloneError("a `ref` value is malformed: it refers to what is not there");
}

/** The expressions right inside one. */
function childrenOf(node) {
  if (!isArray(node)) return Object.values(node);
  if (node.length === 1 && isArray(node[0])) return node[0];
  switch (node[0]) {
    case "map":
      return node[1].flat();
    case "sparse":
      return node[2].map(([, item]) => item);
    case "set":
      return node[1];
    case "export":
    case "import":
    case "channel":
      return [];
    case "error":
      return Object.values(node[4] ?? {});
    default:
      return node.slice(1);
  }
}

/** Where `culprit` stands inside `root`, such as `.user.callback` or `.rows[3]`; "" when it is the root itself. */
export function pathTo(root, culprit) {
  const seen = new Set();
  const waiting = [[root, ""]];
  try {
    while (waiting.length > 0 && seen.size < LOOKED_AT_MAX) {
      const [value, path] = waiting.pop();
      if (value === culprit) return path.length <= PATH_CHARACTERS_MAX ? path : `…${path.slice(-PATH_CHARACTERS_MAX)}`;
      if (typeof value !== "object" || value === null || seen.has(value)) continue;
      seen.add(value);
      waiting.push(...stepsFrom(value, path));
    }
  } catch {
    // A getter or a proxy of the worker's: then without the path.
  }
  return "";
}

function stepsFrom(value, path) {
  if (isArray(value)) return value.map((item, index) => [item, `${path}[${index}]`]);
  if (value instanceof Map) {
    return [...value].flatMap(([key, item]) => [[key, `${path}, a key`], [item, `${path}${stepOf(key)}`]]);
  }
  if (value instanceof Set) return [...value].map((item) => [item, `${path}, a member`]);
  return Object.entries(value).map(([key, item]) => [item, `${path}${stepOf(key)}`]);
}

function stepOf(key) {
  if (typeof key !== "string") return `[${String(key).slice(0, 40)}]`;
  return /^[A-Za-z_$][\w$]*$/.test(key) ? `.${key}` : `[${JSON.stringify(key)}]`;
}
