// What the events of a stateless worker hold: stubs they were given, and callbacks they sent.
//
// JavaScript tells nobody which event a line of code runs for. So what came to one ends when none of the events is open any
// more that were open at the time. In an object everything lives as long as the object: it has no scopes.

let lastNumber = 0;
const open = new Set(); // events, and what outlives them: `{ number }`
let kept = []; // `{ number, end }`, oldest first

/** An event begins; undefined stands for no scope in all of these functions. */
export function openScope() {
  const scope = { number: ++lastNumber };
  open.add(scope);
  return scope;
}

/** Something that goes on after its event, which has the scope `around`. */
export function openScopeInside(around) {
  if (around === undefined) return undefined;
  const scope = { number: around.number };
  open.add(scope);
  return scope;
}

/** The same for what nobody can tell the event of. */
export const openScopeWithOldest = () => (open.size === 0 ? undefined : openScopeInside({ number: oldestNumber() }));

/** It has ended, and with it what nothing needs any more. */
export function closeScope(scope) {
  if (!open.delete(scope)) return;
  const oldest = oldestNumber();
  const firstKept = kept.findIndex(({ number }) => number >= oldest);
  const ending = kept.splice(0, firstKept < 0 ? kept.length : firstKept);
  for (const { number, end } of ending) end(number);
}

function oldestNumber() {
  let oldest = Infinity;
  for (const { number } of open) if (number < oldest) oldest = number;
  return oldest;
}

/** Has `end(number)` called when the events that are open now have ended; that number. */
export function untilScopesEnd(end) {
  if (open.size > 0) kept.push({ number: lastNumber, end });
  return lastNumber;
}
