import "./corejs-first.js";
import "./core.js";
