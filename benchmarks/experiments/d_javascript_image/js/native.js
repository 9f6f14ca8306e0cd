// the choice: C extensions, a thin layer for what they lack, our own structuredClone, Request, Response, events, timers
import "./gaps.js";
import "./clone-own.js";
import "./core.js";
