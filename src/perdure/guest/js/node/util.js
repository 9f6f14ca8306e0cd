// node:util, of what makes sense here.
import { TextDecoder } from "../decoder.js";
import { format, inspect as show } from "../inspect.js";
import { console } from "../console.js";
import { isDeepEqual } from "./equal.js";

const custom = Symbol.for("nodejs.util.promisify.custom");
const tagOf = (value) => Object.prototype.toString.call(value).slice(8, -1);
const typed = Object.getPrototypeOf(Uint8Array);
const COLORS = { reset: 0, bold: 1, dim: 2, italic: 3, underline: 4, red: 31, green: 32, yellow: 33, blue: 34, magenta: 35, cyan: 36, white: 37, gray: 90 };
const warned = new Set();

function promisify(original) {
  if (typeof original !== "function") throw new TypeError('The "original" argument must be of type function');
  if (typeof original[custom] === "function") return original[custom];
  return function (...values) {
    return new Promise((resolve, reject) => {
      Reflect.apply(original, this, [...values, (error, value) => (error ? reject(error) : resolve(value))]);
    });
  };
}
promisify.custom = custom;

function callbackify(original) {
  return function (...values) {
    const callback = values.pop();
    Reflect.apply(original, this, values).then((value) => callback(null, value), (error) => callback(error ?? new Error("a promise was rejected with nothing")));
  };
}

function inherits(constructor, base) {
  constructor.super_ = base;
  Object.setPrototypeOf(constructor.prototype, base.prototype);
}

function deprecate(original, message) {
  return function (...values) {
    if (!warned.has(message)) console.warn(`DeprecationWarning: ${message}`);
    warned.add(message);
    return new.target ? Reflect.construct(original, values, new.target) : Reflect.apply(original, this, values);
  };
}

const inspect = (value) => show(value);
inspect.custom = Symbol.for("nodejs.util.inspect.custom");
inspect.defaultOptions = {};

const isTag = (...tags) => (value) => tags.includes(tagOf(value));
const types = {
  isAnyArrayBuffer: isTag("ArrayBuffer", "SharedArrayBuffer"),
  isArrayBuffer: isTag("ArrayBuffer"),
  isArrayBufferView: ArrayBuffer.isView,
  isAsyncFunction: isTag("AsyncFunction", "AsyncGeneratorFunction"),
  isBigInt64Array: isTag("BigInt64Array"),
  isBoxedPrimitive: (value) => [Number, String, Boolean, BigInt, Symbol].some((Box) => value instanceof Box),
  isDataView: isTag("DataView"),
  isDate: (value) => value instanceof Date,
  isGeneratorFunction: isTag("GeneratorFunction", "AsyncGeneratorFunction"),
  isMap: (value) => value instanceof Map,
  isNativeError: (value) => value instanceof Error,
  isPromise: (value) => value instanceof Promise,
  isRegExp: (value) => value instanceof RegExp,
  isSet: (value) => value instanceof Set,
  isTypedArray: (value) => value instanceof typed,
  isUint8Array: isTag("Uint8Array"),
  isWeakMap: (value) => value instanceof WeakMap,
  isWeakSet: (value) => value instanceof WeakSet,
};

function styleText(styles, text) {
  const codes = [styles].flat().map((style) => COLORS[style]).filter((code) => code !== undefined);
  return `${codes.map((code) => `\u001b[${code}m`).join("")}${text}\u001b[0m`;
}

export const util = {
  TextDecoder, TextEncoder: globalThis.TextEncoder, callbackify, deprecate, inherits, inspect, promisify, styleText, types,
  debuglog: () => Object.assign(() => {}, { enabled: false }),
  format: (...values) => format(values),
  isArray: Array.isArray,
  isDeepStrictEqual: (one, other) => isDeepEqual(one, other),
  stripVTControlCharacters: (text) => String(text).replace(/\u001b\[[0-9;]*[A-Za-z]/g, ""),
  toUSVString: (text) => String(text).toWellFormed(),
};
