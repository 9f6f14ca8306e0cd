// The smallest subject: what a topic's own file looks like.
import { DurableObject } from "cloudflare:workers";

export class Subject extends DurableObject {
  add(amount) {
    const total = (this.ctx.storage.kv.get("total") ?? 0) + amount;
    this.ctx.storage.kv.put("total", total);
    return total;
  }

  now() {
    return Date.now();
  }
}
