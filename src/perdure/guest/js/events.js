// Events and EventTarget of the DOM standard, without a tree to bubble through.
import { reportLost } from "./console.js";

const PHASES = { NONE: 0, CAPTURING_PHASE: 1, AT_TARGET: 2, BUBBLING_PHASE: 3 };

let beginDispatch;
let endDispatch;
let isStopped;
let setPassive;

export class Event {
  #type;
  #bubbles;
  #cancelable;
  #composed;
  #timeStamp = performance.now();
  #target = null;
  #phase = PHASES.NONE;
  #isDefaultPrevented = false;
  #isPassive = false;
  #isPropagationStopped = false;
  #isStopped = false;

  static {
    beginDispatch = (event, target) => {
      if (event.#phase !== PHASES.NONE) throw new DOMException("this event is being dispatched already", "InvalidStateError");
      event.#target = target;
      event.#phase = PHASES.AT_TARGET;
    };
    endDispatch = (event) => {
      event.#phase = PHASES.NONE;
      event.#isPropagationStopped = event.#isStopped = event.#isPassive = false;
    };
    isStopped = (event) => event.#isStopped;
    setPassive = (event, isPassive) => {
      event.#isPassive = isPassive;
    };
    for (const [name, value] of Object.entries(PHASES)) {
      for (const place of [Event, Event.prototype]) Object.defineProperty(place, name, { value, enumerable: true });
    }
  }

  constructor(type, init) {
    if (arguments.length === 0) throw new TypeError("an Event needs a type: new Event('change')");
    this.#type = String(type);
    this.#bubbles = Boolean(init?.bubbles);
    this.#cancelable = Boolean(init?.cancelable);
    this.#composed = Boolean(init?.composed);
  }

  get type() {
    return this.#type;
  }

  get bubbles() {
    return this.#bubbles;
  }

  get cancelable() {
    return this.#cancelable;
  }

  get composed() {
    return this.#composed;
  }

  get timeStamp() {
    return this.#timeStamp;
  }

  get isTrusted() {
    return false;
  }

  get target() {
    return this.#target;
  }

  get srcElement() {
    return this.#target;
  }

  get currentTarget() {
    return this.#phase === PHASES.NONE ? null : this.#target;
  }

  get eventPhase() {
    return this.#phase;
  }

  composedPath() {
    return this.#phase === PHASES.NONE ? [] : [this.#target];
  }

  get defaultPrevented() {
    return this.#isDefaultPrevented;
  }

  get returnValue() {
    return !this.#isDefaultPrevented;
  }

  set returnValue(value) {
    if (!value) this.preventDefault();
  }

  preventDefault() {
    if (this.#cancelable && !this.#isPassive) this.#isDefaultPrevented = true;
  }

  get cancelBubble() {
    return this.#isPropagationStopped;
  }

  set cancelBubble(value) {
    if (value) this.stopPropagation();
  }

  stopPropagation() {
    this.#isPropagationStopped = true;
  }

  stopImmediatePropagation() {
    this.#isPropagationStopped = this.#isStopped = true;
  }
}

/** A class of events that carry more: `fields` and what they are when nothing is said. */
function eventClass(name, fields) {
  const Kind = {
    [name]: class extends Event {
      #more = {};

      constructor(type, init) {
        super(type, init);
        for (const [field, otherwise] of Object.entries(fields)) this.#more[field] = init?.[field] ?? otherwise;
      }

      static {
        for (const field of Object.keys(fields)) {
          const get = { [field]() { return this.#more[field]; } }[field];
          Object.defineProperty(this.prototype, field, { get, enumerable: true, configurable: true });
        }
      }
    },
  }[name];
  return Kind;
}

export const CustomEvent = eventClass("CustomEvent", { detail: null });
export const ErrorEvent = eventClass("ErrorEvent", { message: "", filename: "", lineno: 0, colno: 0, error: undefined });
export const MessageEvent = eventClass("MessageEvent", { data: null, origin: "", lastEventId: "", source: null, ports: Object.freeze([]) });
export const CloseEvent = eventClass("CloseEvent", { wasClean: false, code: 0, reason: "" });

// ── targets ──────────────────────────────────────────────────────────────────────────────────────────────────

export class EventTarget {
  #listeners = new Map(); // type → listeners, in a new array after each change

  addEventListener(type, callback, options) {
    if (callback === null || callback === undefined) return;
    if (typeof callback !== "function" && typeof callback !== "object") {
      throw new TypeError("an event listener is a function, or an object with `handleEvent`");
    }
    const { capture, once, passive, signal } = optionsOf(options);
    if (signal?.aborted) return;
    const key = String(type);
    const listeners = this.#listeners.get(key) ?? [];
    if (listeners.some((listener) => listener.callback === callback && listener.capture === capture)) return;
    const added = { callback, capture, once, passive, isRemoved: false };
    this.#listeners.set(key, [...listeners, added]);
    signal?.addEventListener("abort", () => this.#remove(key, (listener) => listener === added), { once: true });
  }

  removeEventListener(type, callback, options) {
    const { capture } = optionsOf(options);
    this.#remove(String(type), (listener) => listener.callback === callback && listener.capture === capture);
  }

  #remove(type, isMeant) {
    const listeners = this.#listeners.get(type);
    if (listeners === undefined) return;
    const kept = listeners.filter((listener) => !isMeant(listener) || !(listener.isRemoved = true));
    if (kept.length === 0) this.#listeners.delete(type);
    else this.#listeners.set(type, kept);
  }

  dispatchEvent(event) {
    if (!(event instanceof Event)) throw new TypeError("dispatchEvent() takes an Event");
    beginDispatch(event, this);
    const listeners = this.#listeners.get(event.type) ?? [];
    // Those that capture go first, then the property, which is a listener like others.
    for (const listener of [...listeners.filter(({ capture }) => capture), ...listeners.filter(({ capture }) => !capture)]) {
      if (isStopped(event)) break;
      if (listener.isRemoved) continue;
      if (listener.once) this.#remove(event.type, (each) => each === listener);
      setPassive(event, listener.passive);
      this.#tell(listener.callback, event);
    }
    setPassive(event, false);
    const property = this[`on${event.type}`];
    if (typeof property === "function" && !isStopped(event)) this.#tell(property, event);
    endDispatch(event);
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

function optionsOf(options) {
  if (typeof options !== "object" || options === null) return { capture: Boolean(options), once: false, passive: false };
  const { capture, once, passive, signal } = options;
  if (signal !== undefined && typeof signal?.addEventListener !== "function") {
    throw new TypeError("the `signal` of an event listener is an AbortSignal");
  }
  return { capture: Boolean(capture), once: Boolean(once), passive: Boolean(passive), signal };
}
