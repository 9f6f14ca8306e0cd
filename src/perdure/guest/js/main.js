// The module `cloudflare:workers`, and with it the whole runtime: it is run once, when the image is built.
import { setHanded } from "./callees.js";
import { DurableObject, RpcTarget, WorkerEntrypoint } from "./classes.js";
import { ObjectContext } from "./context.js";
import { setOffered } from "./errors.js";
import { enter, env, rejected, waitUntil } from "./guest.js";
import { abortIsolate } from "./life.js";
import { RpcPromise, RpcStub } from "./stubs.js";
import { exportsOfWorker as exports } from "./worker.js";

setOffered([
  "DurableObject", "RpcPromise", "RpcStub", "RpcTarget", "WorkerEntrypoint", "abortIsolate", "env", "exports", "waitUntil",
]);

const ctx = new ObjectContext({ exports });
setHanded({ ctx, storage: ctx.storage, kv: ctx.storage.kv, sql: ctx.storage.sql, facets: ctx.facets });

globalThis.__perdure_enter = enter; // The bridge takes both and removes them.
globalThis.__perdure_rejected = rejected;

export { DurableObject, RpcPromise, RpcStub, RpcTarget, WorkerEntrypoint, abortIsolate, env, exports, waitUntil };
