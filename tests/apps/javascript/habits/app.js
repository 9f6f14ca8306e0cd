import { DurableObject } from "cloudflare:workers";

const DAY_MS = 24 * 60 * 60 * 1000;
const ISO_DAY = /^(?<year>\d{4})-(?<month>\d{2})-(?<day>\d{2})$/;

function parseDay(text) {
  const groups = ISO_DAY.exec(text ?? "")?.groups;
  if (!groups) return null;
  const date = new Date(Date.UTC(+groups.year, +groups.month - 1, +groups.day));
  return date.toISOString().slice(0, 10) === text ? date : null; // 31 February is no day
}

class Habit {
  #days;

  constructor(name, days = []) {
    this.name = name;
    this.#days = new Set(days);
  }

  toggle(day) {
    if (this.#days.delete(day)) return false;
    this.#days.add(day);
    return true;
  }

  streak(until) {
    let count = 0;
    for (let t = until.getTime(); this.#days.has(new Date(t).toISOString().slice(0, 10)); t -= DAY_MS) count++;
    return count;
  }

  get longest() {
    let [best, run, previous] = [0, 0, NaN];
    for (const time of [...this.#days].map((day) => Date.parse(day)).sort((a, b) => a - b)) {
      run = time - previous === DAY_MS ? run + 1 : 1;
      best = Math.max(best, run);
      previous = time;
    }
    return best;
  }

  get total() {
    return this.#days.size;
  }

  toJSON() {
    return { name: this.name, days: [...this.#days].sort() };
  }
}

export class App extends DurableObject {
  #habits = new Map();

  constructor(ctx, env) {
    super(ctx, env);
    ctx.blockConcurrencyWhile(async () => {
      for (const [key, { name, days }] of await ctx.storage.list({ prefix: "habit:" })) {
        this.#habits.set(key.slice("habit:".length), new Habit(name, days));
      }
    });
  }

  async fetch(request) {
    const url = new URL(request.url);
    const [, resource, slug, day] = url.pathname.split("/").map(decodeURIComponent);
    if (resource !== "habits") return Response.json({ error: "Not found" }, { status: 404 });
    if (request.method === "POST" && !slug) {
      const { name } = await request.json().catch(() => ({}));
      if (typeof name !== "string" || !name.trim()) {
        return Response.json({ error: "name is required" }, { status: 400 });
      }
      const id = name.trim().toLowerCase().normalize("NFKD").replace(/[^a-z0-9]+/g, "-").replace(/^-|-$/g, "");
      if (this.#habits.has(id)) return Response.json({ error: "exists" }, { status: 409 });
      await this.#save(id, new Habit(name.trim()));
      return Response.json({ id }, { status: 201, headers: { Location: `/habits/${id}` } });
    }
    const habit = this.#habits.get(slug);
    if (slug && !habit) return Response.json({ error: "Not found" }, { status: 404 });
    if (request.method === "PUT" && day) {
      if (!parseDay(day)) return Response.json({ error: `${day} is not a date` }, { status: 400 });
      const done = habit.toggle(day);
      await this.#save(slug, habit);
      return Response.json({ done });
    }
    const today = parseDay(url.searchParams.get("today")) ?? new Date();
    const describe = (h) => ({ ...h.toJSON(), streak: h.streak(today), longest: h.longest, total: h.total });
    return Response.json(habit ? describe(habit) : [...this.#habits.values()].map((h) => h.name));
  }

  async #save(id, habit) {
    this.#habits.set(id, habit);
    await this.ctx.storage.put(`habit:${id}`, habit.toJSON());
  }
}
