// What a worker finds without importing anything.
import { URLPattern } from "urlpattern-polyfill";
import { AbortController, AbortSignal } from "./abort.js";
import { Blob, File } from "./blob.js";
import { structuredClone } from "./clone.js";
import { CompressionStream, DecompressionStream, TextDecoderStream, TextEncoderStream } from "./coding.js";
import { console, reportLost } from "./console.js";
import { Crypto, crypto, random } from "./crypto.js";
import { TextDecoder } from "./decoder.js";
import { CloseEvent, CustomEvent, ErrorEvent, Event, EventTarget, MessageEvent } from "./events.js";
import { fetch } from "./fetch.js";
import { FormData } from "./form.js";
import { Headers } from "./headers.js";
import { Request, Response } from "./http.js";
import { CryptoKey } from "./keys.js";
import { streamClasses } from "./streams.js";
import { SubtleCrypto } from "./subtle.js";
import { clearTimeout, setInterval, setTimeout } from "./timers.js";
import { URL, URLSearchParams } from "./url.js";

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

const settled = Promise.resolve();

function queueMicrotask(callback) {
  if (typeof callback !== "function") throw new TypeError("queueMicrotask() takes a function");
  settled.then(() => callback()).catch((error) => reportLost("a microtask failed", error));
}

// Libraries look for the name that workers of this kind go by.
const navigator = { userAgent: "Cloudflare-Workers", hardwareConcurrency: 1, language: "en", languages: ["en"], onLine: false };

/** A promise of `delayMs` from now, that a signal can end early. */
function wait(delayMs, { signal } = {}) {
  const { promise, resolve, reject } = Promise.withResolvers();
  if (signal?.aborted) return Promise.reject(signal.reason);
  const timer = setTimeout(resolve, delayMs);
  const stop = () => {
    clearTimeout(timer);
    reject(signal.reason);
  };
  signal?.addEventListener("abort", stop, { once: true });
  return promise.finally(() => signal?.removeEventListener("abort", stop));
}

const classes = {
  AbortController, AbortSignal, Blob, CloseEvent, CompressionStream, Crypto, CryptoKey, CustomEvent, DecompressionStream, ErrorEvent, Event, EventTarget,
  File, FormData, Headers, MessageEvent, Request, Response, SubtleCrypto, TextDecoder, TextDecoderStream, TextEncoderStream, URL, URLPattern,
  URLSearchParams, ...streamClasses,
};
const tagged = { ...classes, TextEncoder: globalThis.TextEncoder };
const functions = {
  clearInterval: clearTimeout, clearTimeout, fetch, queueMicrotask, setInterval, setTimeout, structuredClone,
  reportError: (error) => reportLost("reported", error),
  setImmediate: (callback, ...values) => setTimeout(callback, 0, ...values),
  clearImmediate: clearTimeout,
};
const objects = {
  console, crypto, navigator, performance, scheduler: { wait }, self: globalThis,
};

for (const [name, value] of Object.entries({ ...classes, ...functions, ...objects })) {
  Object.defineProperty(globalThis, name, { value, writable: true, configurable: true, enumerable: false });
}
for (const [name, kind] of Object.entries(tagged)) {
  Object.defineProperty(kind.prototype, Symbol.toStringTag, { value: name, configurable: true });
}
Object.defineProperty(Math, "random", { value: random, writable: true, configurable: true, enumerable: false });
