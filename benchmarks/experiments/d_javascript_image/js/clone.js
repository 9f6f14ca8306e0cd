import "core-js/actual/structured-clone";
import "./gaps.js";
import "./core.js";
