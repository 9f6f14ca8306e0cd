import { HttpError, Router } from "../lib/router.js";

const keyOf = (user, id) => `task:${user}:${String(id).padStart(6, "0")}`;

function find({ storage, state, params }) {
  const key = keyOf(state.user, params.id);
  const task = storage.kv.get(key);
  if (!task) throw new HttpError(404, `no task ${params.id}`);
  return [key, task];
}

export default new Router()
  .get("/", async ({ storage, state, query }) => {
    const all = [...(await storage.list({ prefix: `task:${state.user}:`, reverse: query.has("newest") })).values()];
    const { true: done = [], false: open = [] } = Object.groupBy(all, (task) => String(task.done));
    return { done, open };
  })
  .post("/", async ({ storage, state, request }) => {
    const { title } = await request.json().catch(() => {
      throw new HttpError(400, "that is no JSON");
    });
    if (!title) throw new HttpError(422, "a task has a title");
    const id = (storage.kv.get("last-id") ?? 0) + 1;
    storage.kv.put("last-id", id);
    storage.kv.put(keyOf(state.user, id), { id, title, done: false });
    return Response.json({ id }, { status: 201, headers: { location: `/tasks/${id}` } });
  })
  .get("/:id", (context) => find(context)[1])
  .put("/:id/done", (context) => {
    const [key, task] = find(context);
    const changed = { ...task, done: !task.done };
    context.storage.kv.put(key, changed);
    return changed;
  })
  .delete("/:id", (context) => {
    context.storage.kv.delete(find(context)[0]);
    return new Response(null, { status: 204 });
  })
  .post("/:id/explode", ({ params }) => params.none.at(0));
