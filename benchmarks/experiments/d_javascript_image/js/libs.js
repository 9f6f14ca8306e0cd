// every piece from npm instead of the C extensions
import "./libs-first.js";
import "./core.js";
