import "./gaps.js";
import "./core.js";
