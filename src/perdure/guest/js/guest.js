// The guest's one entrance: LOAD, START, EVENT and RESUME of the guest protocol.
//
// A guest is one worker, and one object of it if the host starts one. A turn delivers what the host brings and runs until
// everything waits for the host again; then `enter(NEXT)` gives the report. A handler that never suspends is answered
// without a promise being made.
import { runAlarm } from "./alarms.js";
import { bind, envOf } from "./bindings.js";
import { ownNumbered, takeBack, takeGivenBack } from "./capabilities.js";
import { rememberSnippet } from "./callees.js";
import { reportLost } from "./console.js";
import { ObjectContext, WorkerContext } from "./context.js";
import { Receiver, resultExpression } from "./crossing.js";
import { shapeOfError } from "./errors.js";
import { startCallback } from "./facets.js";
import { startClock } from "./globals.js";
import { evaluateScript } from "./host.js";
import { targetOf } from "./hooks.js";
import { requestFromWire, Response, responseToWire } from "./http.js";
import { handlersOfInstance, instance, setInstance } from "./instance.js";
import { backgroundCount, waitUntil } from "./life.js";
import { codeExpression, loadCallback } from "./loaders.js";
import { noteArrival, sectionOf, settleOperation, takeReleased, takeStarted } from "./operations.js";
import { perform, performOnHandler } from "./paths.js";
import { streamEvent } from "./passing.js";
import { closeScope, openScope } from "./scopes.js";
import { addStep, failWithoutSection, openNextSection, resetSection, runStep, takeSections, wantsTurn } from "./sections.js";
import { beginTurn, nextDelayMs, runDueTimer } from "./timers.js";
import { translate } from "./translate.js";
import { fromExpression, toExpression } from "./values.js";
import {
  answerFetch, checkedResponse, exportNamed, exportsOfWorker, facetStart, handlerFetch, objectId, setWorker,
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
  for (const [number, count] of message.rel ?? []) giveBack(number, count);
  const hasBegun = openNextSection(); // With a step of its own: what is delivered comes after it.
  switch (operation) {
    case EVENT:
      addStep(sectionOf(message.o), () => deliver(message));
      break;
    case RESUME:
      for (const settled of message.c) noteArrival(settled);
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

/** The host needs so many references to one of this guest's own no longer. */
function giveBack(number, count) {
  const own = ownNumbered(number);
  if (own !== undefined) takeBack(own, count);
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
  const givenBack = takeGivenBack();
  if (givenBack.length > 0) tree.c = givenBack;
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

function load({ main, namespaces = [], bindings = {}, env: given }) {
  startClock();
  bind(bindings, given);
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
    const props = fromExpression(message.props ?? {}, new Receiver()); // Its stubs are the object's for good.
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
  const scope = message.x === undefined ? undefined : openScope();
  const brought = new Receiver();
  const end = (entry) => {
    brought.dispose(); // What came with a call is the callee's until the call has ended; dup() keeps it.
    closeScope(scope);
    done.push(entry);
  };
  try {
    const { outcome, convert } = begin(message, brought, scope);
    if (isThenable(outcome)) return void settle(id, outcome, convert, end);
    const result = convert(outcome);
    if (isThenable(result)) settle(id, result, asItIs, end);
    else end([id, 1, result]);
  } catch (error) {
    end([id, 0, shapeOfError(error)]);
  }
}

async function settle(id, outcome, convert, end) {
  let entry;
  waiting++;
  try {
    const result = convert(await outcome);
    entry = [id, 1, isThenable(result) ? await result : result];
  } catch (error) {
    entry = [id, 0, shapeOfError(error)];
  }
  waiting--;
  end(entry);
}

const asItIs = (value) => value;

function isThenable(value) {
  return ((typeof value === "object" && value !== null) || typeof value === "function") && typeof value.then === "function";
}

const toResponse = (value) => responseToWire(checkedResponse(value));
const toResult = (value) => resultExpression(value);
const toProperty = (value) => resultExpression(value, true);

/** Calls the handler of an event: what it returned, and how that is to be reported. */
function begin(message, brought, scope) {
  switch (message.k) {
    case "fetch":
      return { outcome: fetchEvent(message, requestFromWire(message.r), scope), convert: toResponse };
    case "call":
      return { outcome: callEvent(message, brought, scope), convert: message.a === undefined ? toProperty : toResult };
    case "rpc":
      return capabilityEvent(message, brought);
    case "alarm":
      return { outcome: runAlarm(message.n, message.at), convert: () => null };
    case "start_facet":
      return { outcome: instance.startFacet(message.f), convert: (answer) => facetStart(answer, message.f) };
    case "facet":
      return { outcome: startCallback(message.cb)(), convert: (answer) => facetStart(answer, message.cb) };
    case "load":
      return { outcome: loadCallback(message.cb)(), convert: codeExpression };
    case "stream":
      return { outcome: streamEvent(message), convert: asItIs };
    case "eval":
      return { outcome: evaluate(message.s, message.a ?? {}, brought), convert: toExpression };
    default:
      throw new TypeError(`a guest knows no event \`${message.k}\``);
  }
}

function fetchEvent(message, request, scope) {
  const { receiver, ctx, isHandler } = receiverOf(message, scope);
  return isHandler ? handlerFetch(receiver, request, env, ctx) : answerFetch(receiver, request);
}

function callEvent(message, brought, scope) {
  const { receiver, ctx, isHandler } = receiverOf(message, scope);
  const path = message.path ?? [message.m];
  const callArguments = argumentsOf(message, brought);
  return isHandler ? performOnHandler(receiver, path, callArguments, env, ctx) : perform(receiver, path, callArguments);
}

/** A call on what this guest has sent as a stub. */
function capabilityEvent(message, brought) {
  const own = ownNumbered(message.n);
  if (own === undefined) throw new Error("RPC stub used after being disposed.");
  const target = targetOf(own);
  if (message.r !== undefined) return { outcome: answerFetch(target, requestFromWire(message.r)), convert: toResponse };
  const outcome = perform(target, message.path ?? [], argumentsOf(message, brought));
  return { outcome, convert: message.a === undefined ? toProperty : toResult };
}

/** Undefined when a property is read. */
const argumentsOf = ({ a: trees }, brought) => trees?.map((tree) => fromExpression(tree, brought));

/** The object, or a stateless entry point: a fresh instance of a class, or `export default { … }` itself. */
function receiverOf(message, scope) {
  if (message.x === undefined) return { receiver: instance, isHandler: false };
  env = envOf(message.env);
  const ctx = new WorkerContext({ props: fromExpression(message.p ?? {}, new Receiver()), exports: exportsOfWorker, scope });
  const exported = exportNamed(message.x);
  if (typeof exported === "object" && exported !== null) return { receiver: exported, ctx, isHandler: true };
  return { receiver: new exported(ctx, env), ctx, isHandler: false };
}

/** Runs source once, in a block of its own: the value of its last expression. */
async function evaluate(source, variables, brought) {
  for (const name of Object.keys(variables)) {
    Object.defineProperty(globalThis, name, { value: fromExpression(variables[name], brought), writable: true, configurable: true });
  }
  try {
    rememberSnippet(`{${source}\n}`);
    return (await evaluateScript(`{${source}\n}`)).value;
  } finally {
    for (const name of Object.keys(variables)) delete globalThis[name];
  }
}

export { waitUntil };
