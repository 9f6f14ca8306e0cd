import "./text-encoding.js";
import { URL, URLSearchParams } from "whatwg-url";
import { Headers } from "headers-polyfill";
import structuredClone from "@ungap/structured-clone";
Object.assign(globalThis, { URL, URLSearchParams, Headers, structuredClone });
