import "./text-encoding.js";
import "core-js/actual/url";
import "core-js/actual/url-search-params";
import "core-js/actual/structured-clone";
import { Headers } from "headers-polyfill";
Object.assign(globalThis, { Headers });
