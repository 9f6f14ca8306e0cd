// Event, CustomEvent and EventTarget, without a tree to bubble through.
import { reportLost } from "./console.js";

let isStopped;
let setTarget;

export class Event {
  #isDefaultPrevented = false;
  #isStopped = false;
  #target = null;

  static {
    isStopped = (event) => event.#isStopped;
    setTarget = (event, target) => {
      event.#target = target;
    };
  }

  constructor(type, { bubbles = false, cancelable = false } = {}) {
    this.type = String(type);
    this.bubbles = Boolean(bubbles);
    this.cancelable = Boolean(cancelable);
    this.composed = false;
    this.timeStamp = performance.now();
  }

  get target() {
    return this.#target;
  }

  get currentTarget() {
    return this.#target;
  }

  get defaultPrevented() {
    return this.#isDefaultPrevented;
  }

  preventDefault() {
    if (this.cancelable) this.#isDefaultPrevented = true;
  }

  stopPropagation() {}

  stopImmediatePropagation() {
    this.#isStopped = true;
  }
}

export class CustomEvent extends Event {
  constructor(type, init = {}) {
    super(type, init);
    this.detail = init.detail ?? null;
  }
}

export class EventTarget {
  #listeners = new Map();

  addEventListener(type, callback, options) {
    if (callback === null || callback === undefined) return;
    const { once = false, signal } = typeof options === "object" && options !== null ? options : {};
    if (signal?.aborted) return;
    const listeners = this.#listeners.get(type) ?? [];
    if (listeners.some((listener) => listener.callback === callback)) return;
    this.#listeners.set(type, [...listeners, { callback, once }]);
    signal?.addEventListener("abort", () => this.removeEventListener(type, callback), { once: true });
  }

  removeEventListener(type, callback) {
    const listeners = this.#listeners.get(type);
    if (listeners !== undefined) this.#listeners.set(type, listeners.filter((listener) => listener.callback !== callback));
  }

  dispatchEvent(event) {
    setTarget(event, this);
    for (const { callback, once } of this.#listeners.get(event.type) ?? []) {
      if (isStopped(event)) break;
      if (once) this.removeEventListener(event.type, callback);
      this.#tell(callback, event);
    }
    const property = this[`on${event.type}`];
    if (typeof property === "function" && !isStopped(event)) this.#tell(property, event);
    return !event.defaultPrevented;
  }

  #tell(callback, event) {
    try {
      if (typeof callback === "function") Reflect.apply(callback, this, [event]);
      else callback.handleEvent(event);
    } catch (error) {
      reportLost("an event listener failed", error);
    }
  }
}
