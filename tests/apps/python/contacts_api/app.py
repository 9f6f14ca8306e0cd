"""A JSON API for contacts, kept in the SQL database that the house lends."""

import re
import secrets

from workers import DurableObject, Response

EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")


class App(DurableObject):
    async def on_start(self):
        await self.env.DB.execute(
            "CREATE TABLE IF NOT EXISTS contacts (id TEXT PRIMARY KEY, name TEXT NOT NULL, email TEXT UNIQUE NOT NULL,"
            " favourite INTEGER NOT NULL DEFAULT 0)"
        )

    async def fetch(self, request):
        parts = [part for part in request.path.split("/") if part]
        if parts == ["contacts"]:
            if request.method == "GET":
                return await self.list_contacts(request)
            if request.method == "POST":
                return await self.create(request)
            return not_allowed("GET, POST")
        if len(parts) == 2 and parts[0] == "contacts":
            rows = await self.env.DB.query("SELECT * FROM contacts WHERE id = ?", parts[1])
            if not rows:
                return problem(404, "no such contact")
            if request.method == "GET":
                return Response.json(as_json(rows[0]))
            if request.method == "PATCH":
                return await self.update(rows[0], request)
            if request.method == "DELETE":
                await self.env.DB.execute("DELETE FROM contacts WHERE id = ?", parts[1])
                return Response(None, status=204)
            return not_allowed("GET, PATCH, DELETE")
        return problem(404, "not found")

    async def list_contacts(self, request):
        prefix = request.query.get("name", "")
        rows = await self.env.DB.query("SELECT * FROM contacts WHERE name LIKE ? ORDER BY name", prefix + "%")
        return Response.json({"count": len(rows), "contacts": [as_json(row) for row in rows]})

    async def create(self, request):
        body, error = await read(request)
        if error:
            return error
        missing = [field for field in ("name", "email") if not body.get(field)]
        if missing:
            return problem(422, f"missing: {', '.join(missing)}")
        error = await self.check_email(body["email"])
        if error:
            return error
        contact_id = secrets.token_hex(4)
        await self.env.DB.execute(
            "INSERT INTO contacts (id, name, email) VALUES (?, ?, ?)", contact_id, body["name"], body["email"]
        )
        contact = {"id": contact_id, "name": body["name"], "email": body["email"], "favourite": False}
        return Response.json(contact, status=201, headers={"Location": f"/contacts/{contact_id}"})

    async def update(self, row, request):
        body, error = await read(request)
        if error:
            return error
        contact = as_json(row) | {key: body[key] for key in ("name", "email", "favourite") if key in body}
        if contact["email"] != row["email"]:
            error = await self.check_email(contact["email"])
            if error:
                return error
        await self.env.DB.execute(
            "UPDATE contacts SET name = ?, email = ?, favourite = ? WHERE id = ?",
            contact["name"], contact["email"], bool(contact["favourite"]), row["id"],
        )  # fmt: skip
        return Response.json(contact)

    async def check_email(self, email):
        if not isinstance(email, str) or not EMAIL.fullmatch(email):
            return problem(422, "email is not valid")
        if await self.env.DB.query("SELECT 1 FROM contacts WHERE email = ?", email):
            return problem(409, "email is already taken")
        return None


async def read(request):
    try:
        body = await request.json()
    except ValueError:
        return None, problem(400, "body must be JSON")
    if not isinstance(body, dict):
        return None, problem(400, "body must be an object")
    return body, None


def as_json(row):
    return {**row, "favourite": bool(row["favourite"])}


def problem(status, message):
    return Response.json({"error": message}, status=status)


def not_allowed(methods):
    return Response.json({"error": "method not allowed"}, status=405, headers={"Allow": methods})
