// What was called and is no function: the engine does not say, the line of source does.
import * as host from "./host.js";

const NOT_A_FUNCTION = "not a function";
const LINE_CHARACTERS_MAX = 2_000;
const TEXT_CHARACTERS_MAX = 80;

// A call at or right behind where the engine points: into what is called, or in front of it.
const CALLED = /^[\s.;{}()[\]?!=,>]*?([\w$#][\w$#.]*)\s*(?:\?\.)?[(`]/;
const IN_FRONT = /[\w$#.[\]]*$/;

let snippet; // the source of the latest one, as it was run
let members = {};

/** Source that is no module, as it is run. */
export function rememberSnippet(source) {
  snippet = source;
}

/** The objects that a worker is handed, by the names that it knows them by. */
export function setHanded(objects) {
  members = Object.fromEntries(Object.entries(objects).map(([name, object]) => [name, membersOf(object)]));
}

function membersOf(object) {
  const names = [...Object.keys(object), ...Object.getOwnPropertyNames(Object.getPrototypeOf(object))];
  return names.filter((name) => name !== "constructor").sort();
}

/** What to say behind the engine's message, or "". */
export function calleeAdvice(message, stack) {
  if (message !== NOT_A_FUNCTION) return "";
  const text = calleeAt(stack.split("\n", 1)[0]);
  if (text === undefined) return "";
  const [owner] = text.split(".").slice(-2, -1);
  const there = owner !== undefined && Object.hasOwn(members, owner) ? `; \`${owner}\` has: ${members[owner].join(", ")}` : "";
  return `: \`${text}\`${there}`;
}

/** The expression that is called where a frame points; undefined when the frame is not of the worker's code. */
function calleeAt(frame) {
  const place = /([^\s()]+):(\d+):(\d+)\)?$/.exec(frame);
  if (place === null) return undefined;
  const [, file, line, column] = place;
  const source = file === "snippet.js" ? snippet : host.moduleText(file);
  const text = source?.split("\n", line)[line - 1] ?? "";
  if (text.length > LINE_CHARACTERS_MAX) return undefined;
  const start = Math.max(0, column - 2);
  const called = CALLED.exec(text.slice(start));
  if (called === null) return undefined;
  const end = start + called[0].lastIndexOf(called[1]);
  const whole = (IN_FRONT.exec(text.slice(0, end))[0] + called[1]).replace(/^\.+/, "");
  return whole.length <= TEXT_CHARACTERS_MAX ? whole : called[1].slice(-TEXT_CHARACTERS_MAX);
}
