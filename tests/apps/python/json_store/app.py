"""A store of JSON documents: GET, PUT, PATCH (RFC 7396), DELETE, with ETags."""

import hashlib
import json
import re
from urllib.parse import unquote

from perdure import DurableObject, Response, SqlError

JSON_PATH = re.compile(r"\$(\.\w+|\[\d+\])*")


def merge(target, patch):
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merge(result.get(key), value)
    return result


def dumps(value) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def etag(document: str) -> str:
    return f'"{hashlib.md5(document.encode()).hexdigest()}"'


def problem(status: int, title: str) -> Response:
    return Response(dumps({"title": title, "status": status}), status, {"content-type": "application/problem+json"})


class App(DurableObject):
    def on_start(self):
        self.sql = self.ctx.storage.sql
        self.sql.exec("create table if not exists docs (key text primary key, body text check (json_valid(body)))")

    def load(self, key: str) -> str | None:
        return self.sql.exec("select body from docs where key = ?", key).scalar()

    def save(self, key: str, body: str) -> None:
        self.sql.exec("replace into docs values (?, ?)", key, body)

    async def fetch(self, request):
        collection, _, key = request.path.removeprefix("/").partition("/")
        if collection != "docs":
            return problem(404, "Not found")
        if not key:
            return self.query(request.query_all)
        handler = getattr(self, f"do_{request.method.lower()}", None)
        if handler is None:
            return problem(405, f"{request.method} is not supported")
        key = unquote(key)
        old = self.load(key)
        wanted = request.headers.get("if-match")
        if wanted is not None and (old is None or wanted not in ("*", etag(old))):
            return problem(412, "The document has changed")
        try:
            return await handler(request, key, old)
        except ValueError as error:
            return problem(400, f"Bad JSON: {error}")

    async def do_get(self, request, key, old):
        if old is None:
            return problem(404, f"No document {key}")
        if request.headers.get("if-none-match") == etag(old):
            return Response(None, status=304)
        return self.answer(old)

    async def do_put(self, request, key, old):
        body = dumps(await request.json())
        self.save(key, body)
        return self.answer(body, 201 if old is None else 200)

    async def do_patch(self, request, key, old):
        if old is None:
            return problem(404, f"No document {key}")
        if "merge-patch" not in request.headers.get("content-type", ""):
            return problem(415, "PATCH takes application/merge-patch+json")
        body = dumps(merge(json.loads(old), await request.json()))
        self.save(key, body)
        return self.answer(body)

    async def do_delete(self, request, key, old):
        self.sql.exec("delete from docs where key = ?", key)
        return Response(None, status=204 if old is not None else 404)

    def answer(self, body: str, status: int = 200) -> Response:
        return Response(body, status, {"content-type": "application/json", "etag": etag(body)})

    def query(self, query: dict[str, list[str]]) -> Response:
        """/docs?$.color=red&$.size=3: the keys of the documents that have all of these."""
        conditions, values = ["1"], []
        for path, wanted in query.items():
            if not JSON_PATH.fullmatch(path):
                return problem(400, f"Bad path {path}")
            conditions.append(f"cast(json_extract(body, ?) as text) in ({', '.join('?' * len(wanted))})")
            values += [path, *wanted]
        try:
            rows = self.sql.exec(f"select key from docs where {' and '.join(conditions)} order by key", *values).raw()
        except SqlError as error:
            return problem(400, str(error))
        return Response.json([key for [key] in rows])
