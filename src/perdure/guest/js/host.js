// The host as the runtime sees it: one function for each thing that can be asked. Every one is answered at once.
import { errorFromShape } from "./received.js";

const { parse, stringify } = JSON;
const call = globalThis.__perdure_host;

/** Runs source text once: a promise of `{ value }`. Throws what does not compile. */
export const evaluateScript = globalThis.__perdure_evaluate;

delete globalThis.__perdure_host;
delete globalThis.__perdure_evaluate;

// The same numbers as `HostOp` in perdure.wire.
const LOG = 1;
const KV_GET = 2;
const KV_PUT = 3;
const KV_DELETE = 4;
const KV_LIST = 5;
const SQL_EXEC = 6;
const SQL_NEXT = 7;
const SQL_CLOSE = 8;
const MODULE = 9;
const ABORT = 10;
const DATABASE_SIZE = 12;
const FACET_LIST = 13;
const RANDOM = 14;
const EXHAUSTED = 15;
const KV_GET_MANY = 16;
const KV_WRITE = 17;
const SAVEPOINT = 18;
const DELETE_ALL = 19;
const ALARM_GET = 20;
const ALARM_SET = 21;
const OBJECT_ID = 26;
const LOAD_CODE = 27;
const FACET_CHANGE = 28;

const ERROR_MARK = "!";

/** The reply to one host call; one that is an error is thrown. Arguments must be strings. */
function ask(operation, key, payload) {
  const reply = call(operation, key, payload);
  if (reply === undefined) return "";
  if (reply[0] === ERROR_MARK) throw errorFromShape(parse(reply.slice(1)));
  return reply;
}

export const log = (level, line) => void ask(LOG, level, line);

export const kvGet = (key) => ask(KV_GET, key, undefined);
export const kvPut = (key, text) => void ask(KV_PUT, key, text);
export const kvDelete = (key) => ask(KV_DELETE, key, undefined) === "1";
export const kvGetMany = (keys) => parse(ask(KV_GET_MANY, undefined, stringify(keys)));
export const kvWrite = (batch) => Number(ask(KV_WRITE, undefined, stringify(batch)));
export const kvList = (range) => parse(ask(KV_LIST, undefined, stringify(range)));

export const sqlExecute = (query, cells) => parse(ask(SQL_EXEC, query, stringify(cells)));
export const sqlNext = (cursor) => parse(ask(SQL_NEXT, String(cursor), undefined));
export const sqlClose = (cursor) => void ask(SQL_CLOSE, String(cursor), undefined);
export const databaseSize = () => Number(ask(DATABASE_SIZE, undefined, undefined));

/** Opens a transaction inside the unit, or inside another one: its number. One that is "sync" ends in this turn. */
export const beginTransaction = (kind) => Number(ask(SAVEPOINT, "begin", kind));
export const releaseTransaction = (number) => void ask(SAVEPOINT, "release", String(number));
export const rollBackTransaction = (number) => void ask(SAVEPOINT, "rollback", String(number));
export const deleteAll = (keepsAlarm) => void ask(DELETE_ALL, keepsAlarm ? "keep alarm" : "", undefined);

/** Milliseconds, or null without an alarm. */
export function alarmGet() {
  const reply = ask(ALARM_GET, undefined, undefined);
  return reply === "" ? null : Number(reply);
}

/** Undefined deletes it. */
export function alarmSet(atMs, isConfirmed) {
  ask(ALARM_SET, isConfirmed ? undefined : "unconfirmed", atMs === undefined ? undefined : String(atMs));
}

export const facetList = (startAfter, limit) => parse(ask(FACET_LIST, startAfter, String(limit)));

/** Throws when facet `name` may not be deleted or cloned now. */
export const checkFacetChange = (name) => void ask(FACET_CHANGE, undefined, stringify(name));

/** `{ i, j }`: an id of the namespace of class `name`, and its jurisdiction. */
export const objectId = (name, wanted) => parse(ask(OBJECT_ID, name, stringify(wanted)));

/** Hands over the code of a dynamic worker, which has this number. Throws when it is malformed. */
export const loadCode = (number, code) => void ask(LOAD_CODE, String(number), stringify(code));

/** The text of one of the worker's modules, or undefined. */
export function moduleText(name) {
  const reply = ask(MODULE, name, undefined);
  return reply === "" ? undefined : reply.slice(reply.indexOf("\n") + 1);
}

/** The names of the worker's modules, or undefined where the host does not tell. */
export function moduleNames() {
  const reply = ask(MODULE, undefined, undefined);
  return reply === "" ? undefined : parse(reply.slice(reply.indexOf("\n") + 1));
}

export const randomBytes = (size) => Uint8Array.fromBase64(ask(RANDOM, String(size), undefined));

/** Ends this sandbox: memory is used up. Does not return. */
export const endExhausted = () => void ask(EXHAUSTED, "memory", undefined);

/** Ends this sandbox for a reason of the worker's. Does not return. */
export const abort = (reason, retryAlarm) => void ask(ABORT, retryAlarm ? undefined : "drop alarm", reason);

/** Ends this sandbox, whatever lives in it; its code is loaded anew. Does not return. */
export const abortIsolate = (reason) => void ask(ABORT, "isolate", reason);
