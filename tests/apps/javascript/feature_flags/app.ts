import { DurableObject } from "cloudflare:workers";
import { evaluate } from "./flags/evaluate";
import { FlagStore, UnknownFlagError } from "./flags/store.js";
import { Reason, type Context, type Flag } from "./flags/types";

type Handler = (request: Request, key: string) => Promise<Response> | Response;

export class App extends DurableObject {
  private readonly store: FlagStore;
  private readonly routes: Record<string, Handler>;

  constructor(ctx: DurableObjectState, env: unknown) {
    super(ctx, env);
    this.store = new FlagStore(ctx.storage);
    this.routes = {
      GET: (_, key) => Response.json(key ? this.store.get(key) : [...this.store.all()]),
      PUT: async (request, key) => {
        const flag = { ...((await request.json()) as Omit<Flag, "key">), key } satisfies Flag;
        return Response.json(this.store.put(flag), { status: 200 });
      },
      DELETE: (_, key) => {
        this.store.delete(key);
        return new Response(null, { status: 204 });
      },
    };
  }

  async fetch(request: Request): Promise<Response> {
    const { pathname } = new URL(request.url);
    const [, section, key = ""] = pathname.split("/");
    try {
      if (section === "evaluate" && request.method === "POST") {
        return Response.json(this.evaluateAll(await request.json<Context>()));
      }
      const handler = section === "flags" ? this.routes[request.method] : undefined;
      return (await handler?.(request, key)) ?? Response.json({ error: "not found" }, { status: 404 });
    } catch (error) {
      if (error instanceof UnknownFlagError) return Response.json({ error: error.message }, { status: 404 });
      if (error instanceof TypeError || error instanceof SyntaxError) {
        return Response.json({ error: error.message }, { status: 400 });
      }
      throw error;
    }
  }

  private evaluateAll(context: Context): Record<string, { on: boolean; reason: string }> {
    const result: Record<string, { on: boolean; reason: string }> = {};
    for (const flag of this.store.all()) {
      const { on, reason } = evaluate(flag, context);
      result[flag.key] = { on, reason: Reason[reason] };
    }
    return result;
  }
}
