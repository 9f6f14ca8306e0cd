// What can be imported as `node:…`, and the globals that go with it.
//
// Each is made when the image is built and costs an instance nothing that does not use it. There is no Node below: no
// files, no sockets, no processes.
import { EventEmitter } from "events";
import path from "path-browserify";
import { console } from "../console.js";
import { streamClasses } from "../streams.js";
import { CompressionStream, DecompressionStream, TextDecoderStream, TextEncoderStream } from "../coding.js";
import { clearTimeout, setInterval, setTimeout } from "../timers.js";
import { assert, strict } from "./assert.js";
import { Buffer, buffer } from "./buffer.js";
import { nodeCrypto } from "./crypto.js";
import { querystring, stringDecoder, url } from "./text.js";
import { util } from "./util.js";

const nothing = () => {};

/** An environment is what the worker was given as `env`, never the host's. */
export const process = {
  arch: "wasm32", argv: [], env: {}, execArgv: [], exitCode: undefined, platform: "linux", release: {}, title: "worker",
  version: "", versions: {},
  cwd: () => "/",
  emitWarning: (warning) => console.warn(String(warning)),
  exit: () => {
    throw new Error("a worker cannot end its process: return from the handler, or call ctx.abort()");
  },
  getBuiltinModule: (name) => builtin(name)?.default,
  hrtime: Object.assign((since) => hrtime(since), { bigint: () => BigInt(Date.now()) * 1_000_000n }),
  memoryUsage: () => ({ rss: 0, heapTotal: 0, heapUsed: 0, external: 0, arrayBuffers: 0 }),
  nextTick: (callback, ...values) => queueMicrotask(() => callback(...values)),
  uptime: () => performance.now() / 1_000,
  off: nothing, on: () => process, once: () => process, removeListener: nothing,
};

function hrtime([seconds, nanoseconds] = [0, 0]) {
  const now = Date.now();
  return [Math.floor(now / 1_000) - seconds, (now % 1_000) * 1_000_000 - nanoseconds];
}

const clearInterval = clearTimeout;
const setImmediate = (callback, ...values) => setTimeout(callback, 0, ...values);
const timers = { clearImmediate: clearTimeout, clearInterval, clearTimeout, setImmediate, setInterval, setTimeout };
const timersPromises = {
  scheduler: { wait: (delayMs, options) => globalThis.scheduler.wait(delayMs, options) },
  setImmediate: async (value) => (await globalThis.scheduler.wait(0), value),
  setTimeout: async (delayMs, value, options) => (await globalThis.scheduler.wait(delayMs ?? 1, options), value),
};

EventEmitter.EventEmitter = EventEmitter;
EventEmitter.getEventListeners = (emitter, name) => emitter.listeners(name);
EventEmitter.setMaxListeners = (count, ...emitters) => emitters.forEach((emitter) => emitter.setMaxListeners?.(count));

const createRequire = () => (name) => {
  const found = builtin(name);
  if (found !== undefined) return found.default;
  throw new Error(`require() finds the modules of Node that are here, not \`${name}\`: import it, or bundle it`);
};

const web = { ...streamClasses, CompressionStream, DecompressionStream, TextDecoderStream, TextEncoderStream };

/** `{ name: { default, …exports } }`. */
export const builtins = Object.fromEntries(
  Object.entries({
    assert, "assert/strict": strict, buffer, crypto: nodeCrypto, events: EventEmitter, path, "path/posix": path, process, querystring,
    module: { builtinModules: [], createRequire }, perf_hooks: { get performance() { return globalThis.performance; } },
    "stream/web": web, string_decoder: stringDecoder, timers, "timers/promises": timersPromises, url, util, "util/types": util.types,
  }).map(([name, exported]) => [name, { ...exported, default: exported }]),
);
builtins.module.builtinModules.push(...Object.keys(builtins));

const builtin = (name) => builtins[String(name).replace(/^node:/, "")];

export { Buffer };
