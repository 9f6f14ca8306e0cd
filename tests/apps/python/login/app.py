"""A login with signed cookies, and the authorization-code dance of OAuth for other apps."""

import base64
import hashlib
import hmac
import json
import os
import time
from functools import wraps
from html import escape
from http.cookies import CookieError, SimpleCookie
from secrets import compare_digest, token_urlsafe
from urllib.parse import parse_qs, quote, urlencode, urlsplit

from workers import DurableObject, Response

ROUNDS = 20_000
SESSION_S = 3600
CLIENTS = {"calendar": "https://calendar.example/callback"}


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def login_required(handler):
    @wraps(handler)
    async def wrapper(self, request):
        user = self.current_user(request)
        if user is None:
            back = request.path + (f"?{urlsplit(request.url).query}" if "?" in request.url else "")
            return Response.redirect(f"/login?next={quote(back, safe='')}")
        return await handler(self, request, user)

    return wrapper


class App(DurableObject):
    def on_start(self):
        storage = self.ctx.storage
        storage.sql.exec("CREATE TABLE IF NOT EXISTS users (name TEXT PRIMARY KEY, salt BLOB, hash BLOB)")
        storage.sql.exec("CREATE TABLE IF NOT EXISTS codes (code PRIMARY KEY, user TEXT, client TEXT, expires REAL)")
        if storage.kv.get("key") is None:
            storage.kv.put("key", os.urandom(32))
        self.key: bytes = storage.kv.get("key")

    def sign(self, claims: dict) -> str:
        payload = b64(json.dumps(claims).encode())
        return f"{payload}.{b64(hmac.digest(self.key, payload.encode(), 'sha256'))}"

    def unsign(self, token: str, purpose: str) -> str | None:
        payload, _, signature = token.partition(".")
        if not compare_digest(b64(hmac.digest(self.key, payload.encode(), "sha256")), signature):
            return None
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        return claims["user"] if claims["for"] == purpose and claims["until"] > time.time() else None

    def current_user(self, request) -> str | None:
        try:
            cookies = SimpleCookie(request.headers.get("cookie") or "")
        except CookieError:
            return None
        return self.unsign(cookies["session"].value, "session") if "session" in cookies else None

    async def fetch(self, request):
        name = f"{request.method.lower()}_{request.path.strip('/') or 'index'}"
        handler = getattr(self, f"on_{name}", None)
        return await handler(request) if handler else Response("Not found", status=404)

    @login_required
    async def on_get_index(self, request, user):
        return Response.html(f"<p>Hello, {escape(user)}!</p>")

    async def on_get_login(self, request):
        target = escape(request.query.get("next", "/"))
        return Response.html(f'<form method="post"><input name="name"><input name="next" value="{target}"></form>')

    async def on_post_register(self, request):
        form = await request.form()
        salt = os.urandom(16)
        hashed = hashlib.pbkdf2_hmac("sha256", form["password"].encode(), salt, ROUNDS)
        rows = self.ctx.storage.sql.exec(
            "INSERT OR IGNORE INTO users VALUES (?, ?, ?) RETURNING name", form["name"], salt, hashed
        ).all()
        return Response("Welcome" if rows else "That name is taken", status=201 if rows else 409)

    async def on_post_login(self, request):
        form = await request.form()
        rows = self.ctx.storage.sql.exec("SELECT salt, hash FROM users WHERE name = ?", form["name"]).all()
        salt, expected = (rows[0]["salt"], rows[0]["hash"]) if rows else (b"", b"")
        given = hashlib.pbkdf2_hmac("sha256", form["password"].encode(), salt, ROUNDS)
        if not hmac.compare_digest(given, expected):
            return Response("Wrong name or password", status=401)
        token = self.sign({"user": form["name"], "for": "session", "until": time.time() + SESSION_S})
        target = form.get("next") or "/"
        if not target.startswith("/") or target.startswith("//"):
            target = "/"
        response = Response.redirect(target, 303)
        response.headers.append("set-cookie", f"session={token}; Path=/; HttpOnly; SameSite=Lax; Max-Age={SESSION_S}")
        response.headers.append("set-cookie", "greeted=; Path=/; Max-Age=0")
        return response

    @login_required
    async def on_get_authorize(self, request, user):
        client = request.query.get("client_id", "")
        if CLIENTS.get(client) != request.query.get("redirect_uri"):
            return Response("Unknown client", status=400)
        code = token_urlsafe(16)
        self.ctx.storage.sql.exec("INSERT INTO codes VALUES (?, ?, ?, ?)", code, user, client, time.time() + 60)
        query = urlencode({"code": code, "state": request.query.get("state", "")})
        return Response.redirect(f"{CLIENTS[client]}?{query}")

    async def on_post_token(self, request):
        fields = parse_qs(await request.text())
        code = fields.get("code", [""])[0]
        rows = self.ctx.storage.sql.exec("DELETE FROM codes WHERE code = ? RETURNING user, expires", code).all()
        if not rows or rows[0]["expires"] < time.time():
            return Response.json({"error": "invalid_grant"}, status=400)
        token = self.sign({"user": rows[0]["user"], "for": "api", "until": time.time() + 600})
        return Response.json({"access_token": token, "token_type": "Bearer", "expires_in": 600})

    async def on_get_me(self, request):
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        user = self.unsign(token, "api") if scheme == "Bearer" else None
        if user is None:
            return Response.json({"error": "invalid_token"}, status=401, headers={"www-authenticate": "Bearer"})
        return Response.json({"name": user})
