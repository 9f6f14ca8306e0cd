// The guest's one entrance: LOAD, START, EVENT and RESUME of the guest protocol.
//
// A guest is one worker, and one object of it if the host starts one. A turn delivers what the host brings and runs until
// everything waits for the host again; then `enter(NEXT)` gives the report. A handler that never suspends is answered
// without a promise being made.
import { runAlarm } from "./alarms.js";
import { bind, envOf } from "./bindings.js";
import { reportLost } from "./console.js";
import { ObjectContext, WorkerContext } from "./context.js";
import { shapeOfError } from "./errors.js";
import { startCallback } from "./facets.js";
import { startClock } from "./globals.js";
import { evaluateScript } from "./host.js";
import { requestFromWire, Response, responseToWire } from "./http.js";
import { handlersOfInstance, instance, setInstance } from "./instance.js";
import { backgroundCount, waitUntil } from "./life.js";
import { loadCallback } from "./loaders.js";
import { sectionOf, settleOperation, takeReleased, takeStarted } from "./operations.js";
import { addStep, failWithoutSection, openNextSection, resetSection, runStep, takeSections, wantsTurn } from "./sections.js";
import { beginTurn, nextDelayMs, runDueTimer } from "./timers.js";
import { translate } from "./translate.js";
import { fromExpression, toExpression } from "./values.js";
import {
  answerFetch, callHandler, callMethod, checkedResponse, exportNamed, exportsOfWorker, facetStart, handlerFetch, objectId,
  setWorker,
} from "./worker.js";

const { parse, stringify } = JSON;

// The same numbers as `GuestOp` in perdure.wire; NEXT is the bridge's.
const NEXT = 0;
const LOAD = 1;
const START = 2;
const EVENT = 3;
const RESUME = 4;
const REHEARSE = 6;
const TRANSLATE = 7;

/** `env` of the latest delivery, for those who import it. */
export let env = {};

let loading; // the reply to LOAD, once there is one
let isLoading = false;
let handlers = []; // of the instance, to be reported once
let waiting = 0;
let done = [];
const unhandled = new Map();

/** One step of a turn: undefined while there may be jobs to run, then the text for the host. */
export function enter(operation, payload) {
  if (operation === NEXT) return runStep() || runDueTimer() ? undefined : finish();
  const message = parse(payload);
  if (operation === TRANSLATE) return translate(message);
  beginTurn(message.now ?? 0);
  resetSection();
  const hasBegun = openNextSection(); // With a step of its own: what is delivered comes after it.
  switch (operation) {
    case EVENT:
      addStep(sectionOf(message.o), () => deliver(message));
      break;
    case RESUME:
      for (const settled of message.c) addStep(sectionOf(settled[0]), () => settleOperation(settled));
      break;
    case START:
      start(message);
      break;
    case LOAD:
      load(message);
      break;
    case REHEARSE:
      rehearse();
      break;
    default:
      throw new TypeError(`a guest knows no operation ${operation}`);
  }
  if (!hasBegun) runStep();
  return undefined;
}

/** Notes a promise that was rejected and has no handler yet, or has got one since. */
export function rejected(promise, ...reason) {
  if (reason.length === 0) unhandled.delete(promise);
  else unhandled.set(promise, reason[0]);
}

function finish() {
  if (unhandled.size > 0) {
    const reasons = [...unhandled.values()];
    unhandled.clear();
    for (const reason of reasons) reportLost("Uncaught (in promise)", reason);
  }
  return isLoading ? finishLoading() : report();
}

function report() {
  const tree = {};
  if (done.length > 0) {
    tree.d = done;
    done = [];
  }
  if (handlers.length > 0) {
    tree.h = handlers;
    handlers = [];
  }
  const started = takeStarted();
  if (started.length > 0) tree.o = started;
  const released = takeReleased();
  if (released.length > 0) tree.x = released;
  const sections = takeSections();
  if (sections.length > 0) tree.s = sections;
  if (wantsTurn()) tree.n = 1;
  const delayMs = nextDelayMs();
  if (delayMs !== undefined) tree.t = delayMs;
  const pending = waiting + backgroundCount();
  if (pending > 0) tree.p = pending;
  return stringify(tree);
}

// ── LOAD and START ───────────────────────────────────────────────────────────────────────────────────────────

function load({ main, namespaces = [], bindings = {} }) {
  startClock();
  bind(bindings);
  isLoading = true;
  import(main).then(
    (namespace) => {
      loading = { ok: { exports: setWorker(namespace, namespaces) } };
    },
    (error) => {
      loading = { error: shapeOfError(error) };
    },
  );
}

function finishLoading() {
  const reply = loading ?? {
    error: {
      type: "Error",
      message: "the main module awaits something at its top level that cannot happen while it is loaded: await it in a handler",
    },
  };
  isLoading = false;
  return stringify(reply);
}

function start(message) {
  try {
    const Kind = exportNamed(message.export);
    env = envOf(message.env);
    const props = fromExpression(message.props ?? {});
    const ctx = new ObjectContext({ id: objectId(message.id), props, exports: exportsOfWorker });
    setInstance(new Kind(ctx, env));
    handlers = handlersOfInstance();
  } catch (error) {
    failWithoutSection(shapeOfError(error));
  }
}

/** Does what every worker does, so that the memory for it is touched ahead of time. */
function rehearse() {
  const wire = { m: "GET", u: "https://example.com/", h: [["accept", "*/*"]] };
  const request = requestFromWire(wire);
  stringify([responseToWire(new Response(request.url)), toExpression(fromExpression({ a: [[1]] }))]);
  new ObjectContext({ id: objectId({ id: "" }), props: {}, exports: exportsOfWorker });
}

// ── EVENT ────────────────────────────────────────────────────────────────────────────────────────────────────

function deliver(message) {
  const id = message.e;
  try {
    const { outcome, convert } = begin(message);
    if (isThenable(outcome)) return void settle(id, outcome, convert);
    const result = convert(outcome);
    if (isThenable(result)) settle(id, result, asItIs);
    else done.push([id, 1, result]);
  } catch (error) {
    done.push([id, 0, shapeOfError(error)]);
  }
}

async function settle(id, outcome, convert) {
  let entry;
  waiting++;
  try {
    const result = convert(await outcome);
    entry = [id, 1, isThenable(result) ? await result : result];
  } catch (error) {
    entry = [id, 0, shapeOfError(error)];
  }
  waiting--;
  done.push(entry);
}

const asItIs = (value) => value;
const isThenable = (value) => typeof value === "object" && value !== null && typeof value.then === "function";
const toResponse = (value) => responseToWire(checkedResponse(value));

/** Calls the handler of an event: what it returned, and how that is to be reported. */
function begin(message) {
  switch (message.k) {
    case "fetch":
      return { outcome: fetchEvent(message, requestFromWire(message.r)), convert: toResponse };
    case "call":
      return { outcome: callEvent(message, message.a.map((argument) => fromExpression(argument))), convert: toExpression };
    case "alarm":
      return { outcome: runAlarm(message.n, message.at), convert: () => null };
    case "start_facet":
      return { outcome: instance.startFacet(message.f), convert: facetStart };
    case "facet":
      return { outcome: startCallback(message.cb)(), convert: facetStart };
    case "load":
      return { outcome: loadCallback(message.cb)(), convert: toExpression };
    case "eval":
      return { outcome: evaluate(message.s, message.a ?? {}), convert: toExpression };
    default:
      throw new TypeError(`a guest knows no event \`${message.k}\``);
  }
}

function fetchEvent(message, request) {
  const { receiver, ctx, isHandler } = receiverOf(message);
  return isHandler ? handlerFetch(receiver, request, env, ctx) : answerFetch(receiver, request);
}

function callEvent(message, callArguments) {
  const { receiver, ctx, isHandler } = receiverOf(message);
  if (isHandler) return callHandler(receiver, message.m, callArguments, env, ctx);
  return callMethod(receiver, message.m, callArguments);
}

/** The object, or a stateless entry point: a fresh instance of a class, or `export default { … }` itself. */
function receiverOf(message) {
  if (message.x === undefined) return { receiver: instance, isHandler: false };
  env = envOf(message.env);
  const ctx = new WorkerContext({ props: fromExpression(message.p ?? {}), exports: exportsOfWorker });
  const exported = exportNamed(message.x);
  if (typeof exported === "object" && exported !== null) return { receiver: exported, ctx, isHandler: true };
  return { receiver: new exported(ctx, env), ctx, isHandler: false };
}

/** Runs source once, in a block of its own: the value of its last expression. */
async function evaluate(source, variables) {
  for (const name of Object.keys(variables)) {
    Object.defineProperty(globalThis, name, { value: fromExpression(variables[name]), writable: true, configurable: true });
  }
  try {
    return (await evaluateScript(`{${source}\n}`)).value;
  } finally {
    for (const name of Object.keys(variables)) delete globalThis[name];
  }
}

export { waitUntil };
