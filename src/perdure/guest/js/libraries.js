// The libraries, before everything of ours: what is made together lies together in the snapshot. An instance copies the
// pages that it writes to, and what most instances use should be on few of them.
import "./natives.js";
import "@exodus/bytes/encoding-lite.js";
import "@noble/curves/ed25519.js";
import "@noble/curves/nist.js";
import "@noble/hashes/hmac.js";
import "@noble/hashes/legacy.js";
import "buffer";
import "events";
import "pako";
import "path-browserify";
import "sucrase";
import "urlpattern-polyfill";
import "web-streams-polyfill";
