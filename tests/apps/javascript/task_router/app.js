import { DurableObject } from "cloudflare:workers";
import { apiKey, cors, errors, requestId } from "./lib/middleware.js";
import { Router } from "./lib/router.js";
import tasks from "./routes/tasks.js";
import * as health from "./routes/health.js";

const router = new Router()
  .use(requestId, cors({ origin: "https://app.example" }), errors)
  .mount("/tasks", tasks.use(apiKey))
  .get("/health", health.show);

export class App extends DurableObject {
  requests = 0;

  fetch(request) {
    this.requests += 1;
    return router.handle(request, { storage: this.ctx.storage, env: this.env, app: this });
  }
}
