import { DurableObject } from "cloudflare:workers";
import { Buffer } from "node:buffer";

const encoder = new TextEncoder();
const base64url = (data) => Buffer.from(data).toString("base64url");

async function hashPassword(password, salt) {
  const key = await crypto.subtle.importKey("raw", encoder.encode(password), "PBKDF2", false, ["deriveBits"]);
  return crypto.subtle.deriveBits({ name: "PBKDF2", hash: "SHA-256", salt, iterations: 10_000 }, key, 256);
}

class Tokens {
  #key;

  constructor(secret) {
    this.#key = crypto.subtle.importKey("raw", secret, { name: "HMAC", hash: "SHA-256" }, false, ["sign", "verify"]);
  }

  async issue(claims, seconds) {
    const header = base64url(JSON.stringify({ alg: "HS256", typ: "JWT" }));
    const payload = base64url(JSON.stringify({ ...claims, exp: Math.floor(Date.now() / 1000) + seconds }));
    const signature = await crypto.subtle.sign("HMAC", await this.#key, encoder.encode(`${header}.${payload}`));
    return `${header}.${payload}.${base64url(signature)}`;
  }

  async read(token = "") {
    const [header, payload, signature] = token.split(".");
    if (!signature) return null;
    const given = Buffer.from(signature, "base64url");
    const signed = encoder.encode(`${header}.${payload}`);
    if (!(await crypto.subtle.verify("HMAC", await this.#key, given, signed))) return null;
    const claims = JSON.parse(Buffer.from(payload, "base64url").toString("utf8"));
    return claims.exp > Date.now() / 1000 ? claims : null;
  }
}

export class App extends DurableObject {
  constructor(ctx, env) {
    super(ctx, env);
    ctx.blockConcurrencyWhile(async () => {
      await env.DB.execute(`CREATE TABLE IF NOT EXISTS users (
        id INTEGER PRIMARY KEY, email TEXT NOT NULL UNIQUE,
        salt BLOB NOT NULL, hash BLOB NOT NULL, visits INTEGER DEFAULT 0)`);
      let secret = await ctx.storage.get("secret");
      if (!secret) {
        secret = crypto.getRandomValues(new Uint8Array(32));
        await ctx.storage.put("secret", secret);
      }
      this.tokens = new Tokens(secret);
    });
  }

  async fetch(request) {
    const { pathname } = new URL(request.url);
    switch (`${request.method} ${pathname}`) {
      case "POST /signup":
        return this.signup(await this.credentials(request));
      case "POST /login":
        return this.login(await this.credentials(request));
      case "POST /logout":
        return new Response(null, { status: 204, headers: { "Set-Cookie": "session=; Path=/; Max-Age=0" } });
      case "GET /me":
        return this.me(request);
    }
    return Response.json({ error: "Not found" }, { status: 404 });
  }

  async credentials(request) {
    const form = await request.formData();
    return { email: form.get("email")?.trim().toLowerCase() ?? "", password: form.get("password") ?? "" };
  }

  async signup({ email, password }) {
    if (!/^[^@\s]+@[^@\s]+\.[^@\s]+$/.test(email)) return Response.json({ error: "Invalid e-mail" }, { status: 422 });
    if (password.length < 8) return Response.json({ error: "Password too short" }, { status: 422 });
    const salt = crypto.getRandomValues(new Uint8Array(16));
    const hash = new Uint8Array(await hashPassword(password, salt));
    const taken = await this.env.DB.query("SELECT id FROM users WHERE email = ?", email);
    if (taken.length) return Response.json({ error: "E-mail is taken" }, { status: 409 });
    await this.env.DB.execute("INSERT INTO users (email, salt, hash) VALUES (?, ?, ?)", email, salt, hash);
    return this.login({ email, password }, 201);
  }

  async login({ email, password }, status = 200) {
    const [user] = await this.env.DB.query("SELECT id, salt, hash FROM users WHERE email = ?", email);
    const hash = user && new Uint8Array(await hashPassword(password, user.salt));
    if (!user || !crypto.subtle.timingSafeEqual(hash, user.hash)) {
      return Response.json({ error: "Wrong e-mail or password" }, { status: 401 });
    }
    const token = await this.tokens.issue({ sub: user.id, email }, 3600);
    const response = Response.json({ email }, { status });
    response.headers.append("Set-Cookie", `session=${token}; Path=/; HttpOnly; SameSite=Strict; Max-Age=3600`);
    response.headers.append("Set-Cookie", "seen=yes; Path=/");
    return response;
  }

  async me(request) {
    const cookies = new Map((request.headers.get("Cookie") ?? "").split("; ").map((pair) => pair.split("=", 2)));
    const claims = await this.tokens.read(cookies.get("session"));
    if (!claims) return Response.json({ error: "Please log in" }, { status: 401 });
    await this.env.DB.execute("UPDATE users SET visits = visits + 1 WHERE id = ?", claims.sub);
    const [user] = await this.env.DB.query("SELECT email, visits FROM users WHERE id = ?", claims.sub);
    return Response.json({ ...user, greeting: this.env.GREETING });
  }
}
