import { DurableObject } from "cloudflare:workers";

interface Expense {
  id: number;
  payer: string;
  cents: number;
  what: string;
  shared: string;
}

type Transfer = { from: string; to: string; amount: string };

enum Status {
  Created = 201,
  NotFound = 404,
  Unprocessable = 422,
}

class ValidationError extends Error {
  constructor(
    message: string,
    public readonly field: string,
  ) {
    super(message);
    this.name = "ValidationError";
  }
}

const money = (cents: number): string =>
  `${cents < 0 ? "-" : ""}${Math.floor(Math.abs(cents) / 100)}.${String(Math.abs(cents) % 100).padStart(2, "0")}`;

function toCents(value: unknown): number {
  const match = String(value).match(/^(?<whole>\d{1,7})(?:\.(?<part>\d{1,2}))?$/);
  if (!match) throw new ValidationError(`"${value}" is not an amount`, "amount");
  const { whole, part = "0" } = match.groups as { whole: string; part?: string };
  return Number(whole) * 100 + Number(part.padEnd(2, "0"));
}

export class App extends DurableObject<Env> {
  private readonly sql: SqlStorage;

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    this.sql = ctx.storage.sql;
    this.sql.exec(`CREATE TABLE IF NOT EXISTS people (name TEXT PRIMARY KEY);
      CREATE TABLE IF NOT EXISTS expenses (id INTEGER PRIMARY KEY, payer TEXT, cents INTEGER, what TEXT, shared TEXT)`);
  }

  async fetch(request: Request): Promise<Response> {
    const { pathname } = new URL(request.url);
    try {
      switch (`${request.method} ${pathname}`) {
        case "POST /people": {
          const { name } = await request.json<{ name?: string }>();
          if (!name?.trim()) throw new ValidationError("a person needs a name", "name");
          this.sql.exec("INSERT OR IGNORE INTO people VALUES (?)", name.trim());
          return Response.json(this.people(), { status: Status.Created });
        }
        case "POST /expenses":
          return Response.json(this.add(await request.json()), { status: Status.Created });
        case "GET /balances":
          return Response.json(Object.fromEntries([...this.balances()].map(([name, cents]) => [name, money(cents)])));
        case "GET /settle":
          return Response.json(this.settle());
        default:
          return Response.json({ error: "not found" }, { status: Status.NotFound });
      }
    } catch (error: unknown) {
      if (error instanceof ValidationError) {
        return Response.json({ error: error.message, field: error.field }, { status: Status.Unprocessable });
      }
      throw error;
    }
  }

  private people(): string[] {
    return this.sql.exec<{ name: string }>("SELECT name FROM people ORDER BY name").toArray().map((row) => row.name);
  }

  private add({ payer, amount, what = "something", shared }: Record<string, any>) {
    const people = this.people();
    const among: string[] = shared ?? people;
    for (const name of [payer, ...among]) {
      if (!people.includes(name)) throw new ValidationError(`${name} is not in the group`, "shared");
    }
    if (among.length === 0) throw new ValidationError("nobody shares it", "shared");
    const cents = toCents(amount);
    return this.sql
      .exec("INSERT INTO expenses (payer, cents, what, shared) VALUES (?, ?, ?, ?) RETURNING id, what",
        payer, cents, what, JSON.stringify(among))
      .one();
  }

  private balances(): Map<string, number> {
    const balances = new Map<string, number>(this.people().map((name) => [name, 0]));
    for (const { payer, cents, shared } of this.sql.exec<Expense>("SELECT * FROM expenses")) {
      const among = JSON.parse(shared) as string[];
      const [share, rest] = [Math.floor(cents / among.length), cents % among.length];
      balances.set(payer, balances.get(payer)! + cents);
      among.forEach((name, i) => balances.set(name, balances.get(name)! - share - (i < rest ? 1 : 0)));
    }
    return balances;
  }

  private settle(): Transfer[] {
    const open = [...this.balances()].map(([name, cents]) => ({ name, cents }));
    const transfers: Transfer[] = [];
    for (;;) {
      open.sort((a, b) => a.cents - b.cents || a.name.localeCompare(b.name));
      const [debtor, creditor] = [open.at(0), open.at(-1)];
      if (!debtor || !creditor || debtor.cents >= 0) return transfers;
      const cents = Math.min(-debtor.cents, creditor.cents);
      debtor.cents += cents;
      creditor.cents -= cents;
      transfers.push({ from: debtor.name, to: creditor.name, amount: money(cents) });
    }
  }
}

interface Env {}
