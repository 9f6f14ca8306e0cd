"""An inbox for webhooks: takes only what is signed, and each delivery once."""

import hashlib
import hmac
import json
import secrets
import time

from perdure import DurableObject, Response

TOLERANCE_S = 300


class SignatureError(Exception):
    pass


def sign(secret: str, timestamp: int, body: bytes) -> str:
    return hmac.new(secret.encode(), f"{timestamp}.".encode() + body, hashlib.sha256).hexdigest()


def verify(secret: str, header: str | None, body: bytes, now: float) -> None:
    """The header is `t=1700000000,v1=abcdef…`, as Stripe has it."""
    if not header:
        raise SignatureError("no signature")
    try:
        parts = dict(part.split("=", 1) for part in header.split(","))
        timestamp, given = int(parts["t"]), parts["v1"]
    except (KeyError, ValueError):
        raise SignatureError("malformed signature") from None
    if abs(now - timestamp) > TOLERANCE_S:
        raise SignatureError("too old")
    if not hmac.compare_digest(sign(secret, timestamp, body), given):
        raise SignatureError("wrong signature")


class App(DurableObject):
    def on_start(self):
        sql = self.ctx.storage.sql
        sql.exec("CREATE TABLE IF NOT EXISTS deliveries (id TEXT PRIMARY KEY, type TEXT, body BLOB, received_ms INT)")
        sql.exec("CREATE TABLE IF NOT EXISTS rejected (reason TEXT PRIMARY KEY, n INTEGER NOT NULL DEFAULT 1)")
        kv = self.ctx.storage.kv
        self.secret = kv.get("secret")
        if self.secret is None:
            self.secret = secrets.token_hex(16)
            kv.put("secret", self.secret)

    async def fetch(self, request):
        match request.method, request.path:
            case "GET", "/secret":
                return Response.json({"secret": self.secret, "now": int(time.time())})
            case "POST", "/hook":
                return await self.receive(request)
            case "GET", "/deliveries":
                return Response.json(self.deliveries())
            case "GET", path if path.startswith("/deliveries/"):
                body = self.ctx.storage.sql.exec(
                    "SELECT body FROM deliveries WHERE id = ?", path.rpartition("/")[2]
                ).scalar()
                if body is None:
                    return Response("unknown", 404)
                return Response(body, headers={"Content-Type": "application/json"})
            case "GET", "/rejected":
                rows = self.ctx.storage.sql.exec("SELECT reason, n FROM rejected ORDER BY n DESC")
                return Response.json(dict(rows.raw()))
        return Response("not found", 404)

    async def receive(self, request):
        body = await request.bytes()
        try:
            verify(self.secret, request.headers.get("X-Signature"), body, time.time())
            event = json.loads(body)
        except SignatureError as error:
            return self.reject(str(error), 401)
        except json.JSONDecodeError:
            return self.reject("no JSON", 400)
        cursor = self.ctx.storage.sql.exec(
            "INSERT INTO deliveries VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
            event["id"], event.get("type", "unknown"), body, time.time_ns() // 1_000_000,
        )
        return Response.json({"received": event["id"], "duplicate": cursor.rows_written == 0}, status=202)

    def reject(self, reason: str, status: int):
        self.ctx.storage.sql.exec(
            "INSERT INTO rejected (reason) VALUES (?) ON CONFLICT (reason) DO UPDATE SET n = n + 1", reason
        )
        return Response.json({"error": reason}, status=status)

    def deliveries(self) -> list[dict]:
        rows = self.ctx.storage.sql.exec(
            """SELECT id, type, length(body) AS size, hex(substr(body, 1, 4)) AS head
               FROM deliveries ORDER BY received_ms, rowid"""
        )
        return [dict(row) for row in rows]
