// AbortController and AbortSignal.
import { Event, EventTarget } from "./events.js";
import { setTimeout } from "./timers.js";

const ours = Symbol("ours");
let abortSignal;

export class AbortSignal extends EventTarget {
  #isAborted = false;
  #reason;
  onabort = null;

  static {
    abortSignal = (signal, reason = new DOMException("This operation was aborted", "AbortError")) => {
      if (signal.#isAborted) return;
      signal.#isAborted = true;
      signal.#reason = reason;
      signal.dispatchEvent(new Event("abort"));
    };
  }

  constructor(key) {
    super();
    if (key !== ours) throw new TypeError("Illegal constructor: use new AbortController().signal");
  }

  static abort(reason) {
    const signal = newSignal();
    abortSignal(signal, reason);
    return signal;
  }

  static timeout(delayMs) {
    if (!(Number(delayMs) >= 0)) throw new TypeError(`AbortSignal.timeout() takes milliseconds, not \`${String(delayMs)}\``);
    const signal = newSignal();
    setTimeout(() => abortSignal(signal, new DOMException("The operation was aborted due to timeout", "TimeoutError")), delayMs);
    return signal;
  }

  static any(signals) {
    const signal = newSignal();
    for (const each of [...signals]) {
      if (!(each instanceof AbortSignal)) throw new TypeError("AbortSignal.any() takes an array of AbortSignals");
      if (each.aborted) {
        abortSignal(signal, each.reason);
        break;
      }
      each.addEventListener("abort", () => abortSignal(signal, each.reason), { once: true });
    }
    return signal;
  }

  get aborted() {
    return this.#isAborted;
  }

  get reason() {
    return this.#reason;
  }

  throwIfAborted() {
    if (this.#isAborted) throw this.#reason;
  }
}

/** A signal that nobody has aborted yet. */
export const newSignal = () => new AbortSignal(ours);

export class AbortController {
  #signal = newSignal();

  get signal() {
    return this.#signal;
  }

  abort(reason) {
    abortSignal(this.#signal, reason);
  }
}
