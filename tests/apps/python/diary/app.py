"""A private diary: sign up, log in, write. Sessions are cookies."""

import hashlib
import hmac
import html
import secrets
from http.cookies import SimpleCookie

from workers import DurableObject, Response

LOGIN_PAGE = """<!doctype html><title>Diary</title>
<h1>Diary</h1><p class="message">{message}</p>
<form method="post" action="/login"><input name="user"><input name="password" type="password">
<button>Log in</button><button formaction="/signup">Sign up</button></form>"""

DIARY_PAGE = """<!doctype html><title>Diary of {user}</title>
<h1>Diary of {user}</h1>
<form method="post" action="/entries"><textarea name="text"></textarea><button>Save</button></form>
<ol>{entries}</ol><form method="post" action="/logout"><button>Log out</button></form>"""


class App(DurableObject):
    def __init__(self, ctx, env):
        super().__init__(ctx, env)
        self.sql = ctx.storage.sql
        self.sql.exec("""
            CREATE TABLE IF NOT EXISTS users (name TEXT PRIMARY KEY, salt BLOB, digest BLOB);
            CREATE TABLE IF NOT EXISTS sessions (token TEXT PRIMARY KEY, user TEXT);
            CREATE TABLE IF NOT EXISTS entries (id INTEGER PRIMARY KEY, user TEXT, text TEXT);
        """)

    async def fetch(self, request):
        user, token = self.current_user(request)
        match (request.method, request.path):
            case ("GET", "/"):
                return self.diary(user) if user else Response.html(LOGIN_PAGE.format(message=""))
            case ("POST", "/signup"):
                return self.sign_up(await request.form())
            case ("POST", "/login"):
                return self.log_in(await request.form())
            case ("POST", "/logout"):
                self.sql.exec("DELETE FROM sessions WHERE token = ?", token)
                return to_home("session=; Path=/; Max-Age=0; HttpOnly")
            case ("POST", "/entries"):
                if not user:
                    return Response("Log in first", status=401)
                text = (await request.form()).get("text", "").strip()
                if text:
                    self.sql.exec("INSERT INTO entries (user, text) VALUES (?, ?)", user, text)
                return Response.redirect("/", 303)
        return Response("Not found", status=404)

    def current_user(self, request):
        cookies = SimpleCookie(request.headers.get("cookie", ""))
        if "session" not in cookies:
            return None, None
        token = cookies["session"].value
        rows = self.sql.exec("SELECT user FROM sessions WHERE token = ?", token).all()
        return (rows[0]["user"], token) if rows else (None, token)

    def sign_up(self, form):
        name, password = form.get("user", "").strip(), form.get("password", "")
        if not name or len(password) < 8:
            message = "Choose a name, and a password of at least 8 characters."
            return Response.html(LOGIN_PAGE.format(message=message), status=400)
        if self.sql.exec("SELECT 1 FROM users WHERE name = ?", name).all():
            return Response.html(LOGIN_PAGE.format(message="This name is taken."), status=409)
        salt = secrets.token_bytes(16)
        self.sql.exec("INSERT INTO users VALUES (?, ?, ?)", name, salt, digest(password, salt))
        return self.start_session(name)

    def log_in(self, form):
        name, password = form.get("user", ""), form.get("password", "")
        rows = self.sql.exec("SELECT salt, digest FROM users WHERE name = ?", name).all()
        if not rows or not hmac.compare_digest(digest(password, rows[0]["salt"]), rows[0]["digest"]):
            return Response.html(LOGIN_PAGE.format(message="Wrong name or password."), status=401)
        return self.start_session(name)

    def start_session(self, name):
        token = secrets.token_urlsafe(24)
        self.sql.exec("INSERT INTO sessions VALUES (?, ?)", token, name)
        return to_home(f"session={token}; Path=/; HttpOnly; SameSite=Lax")

    def diary(self, user):
        rows = self.sql.exec("SELECT text FROM entries WHERE user = ? ORDER BY id DESC", user)
        entries = "".join(f"<li>{html.escape(row['text'])}</li>" for row in rows)
        return Response.html(DIARY_PAGE.format(user=html.escape(user), entries=entries))


def digest(password, salt):
    return hashlib.pbkdf2_hmac("sha256", password.encode(), salt, 20_000)


def to_home(cookie):
    return Response(None, status=303, headers={"Location": "/", "Set-Cookie": cookie})
