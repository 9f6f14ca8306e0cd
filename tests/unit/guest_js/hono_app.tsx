/** @jsxImportSource hono/jsx */
// An app as people write them with Hono; the test bundles it with its packages, as its author would.
import { Hono } from "hono";
import { basicAuth } from "hono/basic-auth";
import { getCookie, setCookie } from "hono/cookie";
import { cors } from "hono/cors";
import { etag } from "hono/etag";
import { HTTPException } from "hono/http-exception";
import { jwt, sign } from "hono/jwt";
import { secureHeaders } from "hono/secure-headers";
import { stream, streamSSE } from "hono/streaming";
import { validator } from "hono/validator";

type Item = { name: string; size: number };

const SECRET = "kept";
const app = new Hono();

app.use("/api/*", cors());
app.use("/safe/*", secureHeaders());
app.use("/etag", etag());
app.use("/private/*", basicAuth({ username: "ann", password: "pass" }));
app.use("/token/*", jwt({ secret: SECRET, alg: "HS256" }));

app.get("/", (c) => c.text("hello"));
app.get("/etag", (c) => c.text("the same"));
app.get("/api/items/:id{[0-9]+}", (c) => c.json({ id: Number(c.req.param("id")), q: c.req.query("q"), all: c.req.queries("t") }));
app.post("/api/items", validator("json", (value: Item, c) => (value.name ? value : c.text("no name", 400))), (c) =>
  c.json(c.req.valid("json"), 201),
);
app.post("/upload", async (c) => {
  const { file, note } = await c.req.parseBody();
  return c.json({ name: (file as File).name, text: await (file as File).text(), note });
});
app.get("/page", (c) => c.html(<ul>{["a", "<b>"].map((item) => <li class="item">{item}</li>)}</ul>));
app.get("/visits", (c) => {
  const visits = Number(getCookie(c, "visits") ?? 0) + 1;
  setCookie(c, "visits", String(visits), { httpOnly: true, path: "/" });
  return c.text(`visit ${visits}`);
});
app.get("/private/x", (c) => c.text("for ann"));
app.get("/login", async (c) => c.text(await sign({ sub: "ann" }, SECRET, "HS256")));
app.get("/token/who", (c) => c.json((c.get as (key: string) => unknown)("jwtPayload")));
app.get("/stream", (c) =>
  stream(c, async (out) => {
    for (const part of ["one ", "two ", "three"]) {
      await out.write(part);
      await out.sleep(5);
    }
  }),
);
app.get("/events", (c) => streamSSE(c, async (out) => out.writeSSE({ event: "tick", data: "1", id: "7" })));
app.get("/fails", () => {
  throw new HTTPException(418, { message: "a teapot" });
});
app.get("/breaks", () => {
  throw new Error("inside");
});
app.onError((error, c) => (error instanceof HTTPException ? error.getResponse() : c.text(`caught ${error.message}`, 500)));
app.notFound((c) => c.text(`nothing at ${c.req.path}`, 404));

const nested = new Hono().basePath("/v2").get("/ping", (c) => c.text("pong"));
app.route("/", nested);

export default app;
