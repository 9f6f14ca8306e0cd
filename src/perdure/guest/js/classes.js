// The classes that a worker's own classes extend.

/** A Durable Object: one instance per name, with a database of its own. */
export class DurableObject {
  constructor(ctx, env) {
    this.ctx = ctx;
    this.env = env;
  }
}

/** A stateless entry point: a fresh instance answers each request or call. */
export class WorkerEntrypoint {
  constructor(ctx, env) {
    this.ctx = ctx;
    this.env = env;
  }
}

/** Base of objects that are sent as stubs: whoever holds one may call the methods of the class. */
export class RpcTarget {}
