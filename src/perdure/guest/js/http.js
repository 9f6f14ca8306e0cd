// Request and Response of the Fetch standard, and their shape on the way to and from the host.
import { AbortSignal, newSignal } from "./abort.js";
import { addBody, Body, clonedContent, contentFromWire, contentOf, movedContent } from "./body.js";
import { Headers, headersOf } from "./headers.js";

const { stringify } = JSON;
const STANDARD_METHODS = new Set(["DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"]);
const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
const WITHOUT_BODY = new Set([101, 204, 205, 304]);
const REDIRECTS = new Set([301, 302, 303, 307, 308]);
const fromHost = Symbol("fromHost");
const given = Symbol("given"); // the content of a message, instead of a body
const headerLines = Symbol("headerLines");

export class Request extends Body {
  #url;
  #method;
  #lines; // the host's header lines, until somebody asks for Headers
  #headers;
  #signal;
  #redirect;

  constructor(input, init = {}) {
    if (init[fromHost]) {
      super(contentFromWire(input));
      this.#url = input.u;
      this.#method = input.m;
      this.#lines = input.h;
      return;
    }
    const other = input instanceof Request ? input : undefined;
    const method = checkedMethod(init.method ?? other?.method ?? "GET");
    const headers = new Headers(init.headers ?? other?.headers);
    super(init[given] === undefined ? requestContent(init.body, other, { method, headers }) : init[given]);
    this.#url = other === undefined ? absoluteUrl(input) : other.url;
    this.#method = method;
    this.#headers = headers;
    this.#signal = checkedSignal(init.signal ?? other?.signal);
    this.#redirect = init.redirect ?? other?.redirect;
  }

  get url() {
    return this.#url;
  }

  get method() {
    return this.#method;
  }

  get headers() {
    return (this.#headers ??= headersOf(this.#lines ?? []));
  }

  get redirect() {
    return this.#redirect ?? "follow";
  }

  get signal() {
    return (this.#signal ??= newSignal());
  }

  clone() {
    return new Request(this, { [given]: clonedContent(this) });
  }
}

function checkedMethod(method) {
  const text = String(method);
  if (!TOKEN.test(text)) throw new TypeError(`\`${text.slice(0, 40)}\` is no HTTP method`);
  const upper = text.toUpperCase();
  return STANDARD_METHODS.has(upper) ? upper : text;
}

function requestContent(init, other, { method, headers }) {
  if (init === undefined) return other === undefined ? null : movedContent(other);
  const { content, type } = contentOf(init);
  if (content !== null && (method === "GET" || method === "HEAD")) {
    throw new TypeError("Request with a GET or HEAD method cannot have a body.");
  }
  if (type !== undefined && !headers.has("content-type")) headers.set("content-type", type);
  return content;
}

function absoluteUrl(input) {
  try {
    return new URL(input).href;
  } catch {
    throw new TypeError(`\`${String(input).slice(0, 200)}\` is no absolute URL: give one such as "https://example.com/path"`);
  }
}

function checkedSignal(signal) {
  if (signal === undefined || signal === null || signal instanceof AbortSignal) return signal ?? undefined;
  throw new TypeError("a request's signal is an AbortSignal");
}

export class Response extends Body {
  #status;
  #statusText;
  #headers;
  #type; // of the content, while nobody has asked for Headers
  #url = "";
  #redirected = false;

  constructor(body, init = {}) {
    if (init?.[fromHost]) {
      super(contentFromWire(body));
      this.#status = body.s;
      this.#statusText = body.st ?? "";
      this.#headers = headersOf(body.h);
      this.#url = body.u ?? "";
      this.#redirected = body.rd === 1;
      return;
    }
    if (init?.[given] !== undefined) {
      super(init[given]);
      this.#status = body.status;
      this.#statusText = body.statusText;
      this.#headers = new Headers(body.headers);
      this.#url = body.url;
      this.#redirected = body.redirected;
      return;
    }
    const { content, type } = contentOf(body);
    const status = checkedStatus(init?.status, content !== null);
    super(content);
    this.#status = status;
    this.#statusText = String(init?.statusText ?? "");
    if (init?.headers === undefined) {
      this.#type = type;
      return;
    }
    this.#headers = new Headers(init.headers);
    if (type !== undefined && !this.#headers.has("content-type")) this.#headers.set("content-type", type);
  }

  static json(value, init = {}) {
    const text = stringify(value);
    if (text === undefined) throw new TypeError("Response.json() got a value that JSON cannot express");
    const headers = new Headers(init?.headers);
    if (!headers.has("content-type")) headers.set("content-type", "application/json");
    return new Response(text, { ...init, headers });
  }

  static error() {
    return new Response({ status: 0, statusText: "", headers: [] }, { [given]: null });
  }

  static redirect(url, status = 302) {
    if (!REDIRECTS.has(status)) throw new RangeError(`${status} is no status of a redirect: use one of ${[...REDIRECTS].join(", ")}`);
    return new Response(null, { status, headers: { location: absoluteUrl(url) } });
  }

  get status() {
    return this.#status;
  }

  get statusText() {
    return this.#statusText;
  }

  get ok() {
    return this.#status >= 200 && this.#status < 300;
  }

  get headers() {
    if (this.#headers === undefined) this.#headers = headersOf(this.#type === undefined ? [] : [["content-type", this.#type]]);
    return this.#headers;
  }

  get redirected() {
    return this.#redirected;
  }

  get type() {
    return this.#status === 0 ? "error" : "default";
  }

  get url() {
    return this.#url;
  }

  clone() {
    return new Response(this, { [given]: clonedContent(this) });
  }

  /** The lines that go to the host; made without Headers when nobody asked for them. */
  get [headerLines]() {
    if (this.#headers !== undefined) return [...this.#headers];
    return this.#type === undefined ? [] : [["content-type", this.#type]];
  }
}

function checkedStatus(given, hasContent) {
  const status = given === undefined ? 200 : Number(given);
  if (!Number.isInteger(status) || ((status < 200 || status > 599) && status !== 101)) {
    throw new RangeError(`a response's status is 101 or from 200 to 599, not \`${String(given)}\``);
  }
  if (hasContent && WITHOUT_BODY.has(status)) throw new TypeError(`Response with status ${status} cannot have a body`);
  return status;
}

const FROM_HOST = { [fromHost]: true };

export const requestFromWire = (wire) => new Request(wire, FROM_HOST);
export const responseFromWire = (wire) => new Response(wire, FROM_HOST);
export const requestToWire = (request) => addBody({ m: request.method, u: request.url, h: [...request.headers] }, request);

export function responseToWire(response) {
  if (response.type === "error") throw new TypeError("Response.error() cannot be sent: return a response with a status");
  const wire = { s: response.status, h: response[headerLines] };
  if (response.statusText !== "") wire.st = response.statusText;
  return addBody(wire, response);
}
