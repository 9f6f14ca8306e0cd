// What the behaviour cases ask of an object that gets ready before its first event, as subject_start.py says it: what
// `on_start` does there, a critical section of the constructor does here.
import { DurableObject } from "cloudflare:workers";

export class Subject extends DurableObject {
  memory = 0;
  isReady = false;

  constructor(ctx, env) {
    super(ctx, env);
    ctx.blockConcurrencyWhile(async () => {
      await new Promise((resolve) => setTimeout(resolve, 1000));
      if (Date.now() < (ctx.storage.kv.get("fail_until") ?? 0)) throw new Error("getting ready failed");
      this.isReady = true;
    });
  }

  count() {
    return [this.memory++, this.isReady];
  }

  failFor(milliseconds) {
    this.ctx.storage.kv.put("fail_until", Date.now() + milliseconds);
  }
}
