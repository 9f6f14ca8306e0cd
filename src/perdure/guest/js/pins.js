// Numbers of stubs and workers that mean, from their first use on, what they reached then.
import { releaseStub } from "./operations.js";

let lastNumber = 0;
const used = new WeakSet();
const collected = new FinalizationRegistry((number) => releaseStub(number));

/** These fields with a number of their own. The host is told when nobody holds them any more. */
export const pinned = (fields) => ({ ...fields, n: ++lastNumber });

/** From now on the host knows the number of these fields. */
export function held(fields) {
  if (used.has(fields)) return;
  used.add(fields);
  collected.register(fields, fields.n);
}
