// `fetch()`: through the way out that this worker was given. Redirects are followed by the host.
import { Request, requestToWire, responseFromWire } from "./http.js";
import { startOperation } from "./operations.js";

const MODES = ["follow", "manual", "error"];

/** A promise of the Response; rejected with a TypeError when there is none, or with what the request's signal says. */
export async function fetch(input, init) {
  const request = new Request(input, init);
  const { redirect, signal } = request;
  if (!MODES.includes(redirect)) throw new TypeError(`a request's redirect is one of ${MODES.join(", ")}, not \`${redirect}\``);
  signal.throwIfAborted();
  const payload = { r: await requestToWire(request) };
  if (redirect !== "follow") payload.rd = redirect;
  return responseFromWire(await unlessAborted(startOperation("fetch", payload), signal));
}

function unlessAborted(answer, signal) {
  const { promise, resolve, reject } = Promise.withResolvers();
  const give = () => reject(signal.reason);
  signal.addEventListener("abort", give, { once: true });
  answer.then(resolve, reject).finally(() => signal.removeEventListener("abort", give));
  return promise;
}
