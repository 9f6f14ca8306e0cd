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

/** Base of objects whose methods may be called from afar. They cannot cross yet: return plain data. */
export class RpcTarget {}
