import { DurableObject } from "cloudflare:workers";

type Booking = { id: number; room: string; title: string; starts: number; ends: number };

const ROOMS = ["attic", "cellar", "garden"] as const;
type Room = (typeof ROOMS)[number];

const isRoom = (value: string | undefined): value is Room => (ROOMS as readonly string[]).includes(value ?? "");

const WHEN = /^(?<y>\d{4})-(?<mo>\d\d)-(?<d>\d\d)T(?<h>\d\d):(?<mi>\d\d)$/;

function minutes(text: string | undefined): number {
  const g = WHEN.exec(text ?? "")?.groups;
  if (!g) throw new BadRequest(`"${text}" is not a time like 2030-01-31T09:30`);
  return Date.UTC(+g.y, +g.mo - 1, +g.d, +g.h, +g.mi) / 60_000;
}

const iso = (m: number) => new Date(m * 60_000).toISOString().slice(0, 16);
const stamp = (m: number) => iso(m).replaceAll(/[-:]/g, "") + "00Z";

class BadRequest extends Error {}

class Conflict extends Error {
  constructor(readonly other: Booking) {
    super(`overlaps "${other.title}"`);
  }
}

export class App extends DurableObject {
  #sql = this.ctx.storage.sql;

  constructor(ctx: any, env: any) {
    super(ctx, env);
    this.#sql.exec(`create table if not exists bookings(
      id integer primary key, room text, title text, starts integer, ends integer, check (ends > starts))`);
  }

  async fetch(request: Request): Promise<Response> {
    const url = new URL(request.url);
    const [room, rest] = url.pathname.split("/").slice(1);
    if (!isRoom(room)) return Response.json({ rooms: ROOMS }, { status: room ? 404 : 200 });
    try {
      if (request.method === "POST") {
        const form = Object.fromEntries(await request.formData()) as Record<string, string>;
        return Response.json(this.view(this.book(room, form)), { status: 201 });
      }
      if (request.method === "DELETE") {
        const gone = this.#sql
          .exec("delete from bookings where room = ? and id = ? returning title", room, rest).toArray();
        return gone.length ? new Response(null, { status: 204 }) : new Response("no such booking", { status: 404 });
      }
      if (rest === "calendar.ics") return this.calendar(room);
      const day = minutes(`${url.searchParams.get("day")}T00:00`);
      return Response.json(this.between(room, day, day + 24 * 60).map(this.view));
    } catch (error) {
      if (error instanceof BadRequest) return Response.json({ error: error.message }, { status: 400 });
      if (error instanceof Conflict) {
        return Response.json({ error: error.message, with: this.view(error.other) }, { status: 409 });
      }
      throw error;
    }
  }

  private book(room: Room, { title, starts, ends }: Record<string, string | undefined>): Booking {
    const [from, to] = [starts, ends].map(minutes) as [number, number];
    if (to <= from) throw new BadRequest("it ends before it starts");
    const [other] = this.between(room, from, to);
    if (other) throw new Conflict(other);
    return this.#sql
      .exec<Booking>("insert into bookings values (null, ?, ?, ?, ?) returning *",
        room, title?.trim() || "busy", from, to)
      .one();
  }

  private between(room: Room, from: number, to: number): Booking[] {
    const query = "select * from bookings where room = ? and starts < ? and ends > ? order by starts";
    return this.#sql.exec<Booking>(query, room, to, from).toArray();
  }

  private view({ id, title, starts, ends }: Booking) {
    return { id, title, starts: iso(starts), ends: iso(ends) };
  }

  private calendar(room: Room): Response {
    const events = this.between(room, 0, Number.MAX_SAFE_INTEGER).flatMap((b) => [
      "BEGIN:VEVENT",
      `UID:${b.id}@${room}`,
      `DTSTART:${stamp(b.starts)}`,
      `DTEND:${stamp(b.ends)}`,
      `SUMMARY:${b.title.replace(/[,;\\]/g, "\\$&")}`,
      "END:VEVENT",
    ]);
    const lines = ["BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//booking//EN", ...events, "END:VCALENDAR", ""];
    return new Response(lines.join("\r\n"), { headers: { "content-type": "text/calendar; charset=utf-8" } });
  }
}
