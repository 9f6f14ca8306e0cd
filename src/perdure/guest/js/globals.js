// What a worker finds without importing anything.
import { AbortController, AbortSignal } from "./abort.js";
import { Blob, File } from "./blob.js";
import { structuredClone } from "./clone.js";
import { CompressionStream, DecompressionStream, TextDecoderStream, TextEncoderStream } from "./coding.js";
import { console, reportLost } from "./console.js";
import { crypto, random } from "./crypto.js";
import { CustomEvent, Event, EventTarget } from "./events.js";
import { FormData } from "./form.js";
import { Headers } from "./headers.js";
import { Request, Response } from "./http.js";
import { streamClasses } from "./streams.js";
import { clearTimeout, setInterval, setTimeout } from "./timers.js";
import { URL, URLSearchParams } from "./url.js";

// The same text as NETWORK_DENIED in perdure.wire.
const NETWORK_DENIED =
  "This worker is not permitted to access the internet via global functions like fetch(). " +
  "It must use capabilities (such as bindings in 'env') to talk to the outside world";

const wallClock = Date.now;
let originMs = 0;

/** Measured times begin here: when a worker is loaded, not when the image was built. */
export function startClock() {
  originMs = wallClock();
}

const performance = {
  now: () => wallClock() - originMs,
  get timeOrigin() {
    return originMs;
  },
  mark() {},
  measure() {},
  toJSON: () => ({ timeOrigin: originMs }),
};

async function fetch() {
  throw new TypeError(NETWORK_DENIED);
}

const settled = Promise.resolve();

function queueMicrotask(callback) {
  if (typeof callback !== "function") throw new TypeError("queueMicrotask() takes a function");
  settled.then(() => callback()).catch((error) => reportLost("a microtask failed", error));
}

const classes = {
  AbortController, AbortSignal, Blob, CompressionStream, CustomEvent, DecompressionStream, Event, EventTarget, File, FormData,
  Headers, Request, Response, TextDecoderStream, TextEncoderStream, URL, URLSearchParams, ...streamClasses,
};
const tagged = { ...classes, TextDecoder: globalThis.TextDecoder, TextEncoder: globalThis.TextEncoder };
const functions = {
  clearInterval: clearTimeout, clearTimeout, fetch, queueMicrotask, setInterval, setTimeout, structuredClone,
  reportError: (error) => reportLost("reported", error),
  setImmediate: (callback, ...values) => setTimeout(callback, 0, ...values),
  clearImmediate: clearTimeout,
};
const objects = {
  console, crypto, navigator: { userAgent: "Cloudflare-Workers" }, performance, self: globalThis,
};

for (const [name, value] of Object.entries({ ...classes, ...functions, ...objects })) {
  Object.defineProperty(globalThis, name, { value, writable: true, configurable: true, enumerable: false });
}
for (const [name, kind] of Object.entries(tagged)) {
  Object.defineProperty(kind.prototype, Symbol.toStringTag, { value: name, configurable: true });
}
Object.defineProperty(Math, "random", { value: random, writable: true, configurable: true, enumerable: false });
