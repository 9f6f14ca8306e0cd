import "web-streams-polyfill/polyfill";
import "./gaps.js";
import "./clone-own.js";
import "./core.js";
