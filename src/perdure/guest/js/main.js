// The module `cloudflare:workers`, and with it the whole runtime: it is run once, when the image is built.
import "./libraries.js"; // before everything else
import { setHanded } from "./callees.js";
import { DurableObject, RpcTarget, WorkerEntrypoint } from "./classes.js";
import { ObjectContext } from "./context.js";
import { setBuiltins, setOffered } from "./errors.js";
import { enter, env, rejected, waitUntil } from "./guest.js";
import { abortIsolate } from "./life.js";
import { RpcPromise, RpcStub } from "./stubs.js";
import { exportsOfWorker as exports } from "./worker.js";
import { Buffer, builtins, process } from "./node/index.js"; // after the globals, which it passes on

setOffered([
  "DurableObject", "RpcPromise", "RpcStub", "RpcTarget", "WorkerEntrypoint", "abortIsolate", "env", "exports", "waitUntil",
]);

const ctx = new ObjectContext({ exports });
setHanded({ ctx, storage: ctx.storage, kv: ctx.storage.kv, sql: ctx.storage.sql, facets: ctx.facets });

setBuiltins(Object.keys(builtins));
for (const [name, value] of Object.entries({ Buffer, global: globalThis, process })) {
  Object.defineProperty(globalThis, name, { value, writable: true, configurable: true, enumerable: false });
}
globalThis.__perdure_builtins = builtins; // The build makes a module of each and removes it.
globalThis.__perdure_enter = enter; // The bridge takes both and removes them.
globalThis.__perdure_rejected = rejected;

export { DurableObject, RpcPromise, RpcStub, RpcTarget, WorkerEntrypoint, abortIsolate, env, exports, waitUntil };
