// A quiz with a score, in TypeScript.
import { DurableObject } from "cloudflare:workers";
import { QUESTIONS, type Question } from "./questions";

interface Env {
  GREETING: string;
}

type Game = { player: string; answers: number[]; startedAt: number; finishedAt?: number };

enum Grade {
  Poor = "try again",
  Good = "good",
  Perfect = "perfect",
}

export class App extends DurableObject<Env> {
  private readonly limitMs: number = 10 * 60 * 1000;

  constructor(ctx: DurableObjectState, protected readonly bindings: Env) {
    super(ctx, bindings);
  }

  async fetch(request: Request): Promise<Response> {
    const { pathname } = new URL(request.url);
    const [, section, id] = pathname.split("/") as (string | undefined)[];

    if (pathname === "/") return new Response(`${this.bindings.GREETING}, here are ${QUESTIONS.length} questions\n`);
    if (pathname === "/scores") return Response.json(this.scores());
    if (section === "games" && !id) {
      if (request.method !== "POST") return fail(405, "start a game with POST");
      return this.start(await request.formData());
    }
    if (section === "games" && id) {
      const game = this.ctx.storage.kv.get<Game>(`game:${id}`);
      if (!game) return fail(404, "no such game");
      if (request.method === "GET") return Response.json(view(game));
      return await this.answer(id, game, request);
    }
    return fail(404, "not found");
  }

  private start(form: FormData): Response {
    const player = form.get("player") as string | null;
    if (!player) return fail(400, "player is required");
    const id: string = crypto.randomUUID().slice(0, 8);
    const game: Game = { player, answers: [], startedAt: Date.now() };
    this.ctx.storage.kv.put(`game:${id}`, game);
    return Response.json({ id, ...view(game) }, { status: 201 });
  }

  private async answer(id: string, game: Game, request: Request): Promise<Response> {
    if (game.finishedAt !== undefined) return fail(409, "this game is over");
    if (Date.now() - game.startedAt > this.limitMs) return fail(410, "time is up");
    const { choice } = (await request.json()) as { choice?: unknown };
    const question = QUESTIONS[game.answers.length]!;
    if (!isChoice(choice, question)) return fail(422, `choice must be from 0 to ${question.options.length - 1}`);
    game.answers.push(choice);
    if (game.answers.length === QUESTIONS.length) game.finishedAt = Date.now();
    this.ctx.storage.kv.put(`game:${id}`, game satisfies Game);
    return Response.json({ correct: choice === question.correct, ...view(game) });
  }

  private scores(): { player: string; score: number; grade: Grade }[] {
    const games = [...this.ctx.storage.kv.list<Game>({ prefix: "game:" })].map(([, game]) => game);
    return games
      .filter((game) => game.finishedAt !== undefined)
      .map((game) => ({ player: game.player, score: score(game), grade: grade(score(game)) }))
      .sort((a, b) => b.score - a.score || a.player.localeCompare(b.player));
  }
}

function isChoice(value: unknown, question: Question): value is number {
  return Number.isInteger(value) && <number>value >= 0 && (value as number) < question.options.length;
}

const score = (game: Game): number => game.answers.filter((choice, n) => choice === QUESTIONS[n]?.correct).length;

function grade(points: number): Grade {
  if (points === QUESTIONS.length) return Grade.Perfect;
  return points >= QUESTIONS.length / 2 ? Grade.Good : Grade.Poor;
}

function view(game: Game) {
  const next = QUESTIONS[game.answers.length];
  const question = next && { text: next.text, options: next.options };
  return { player: game.player, score: score(game), answered: game.answers.length, question: question ?? null };
}

function fail(status: number, error: string): Response {
  return Response.json({ error }, { status });
}
