"""Measurements in and out as NDJSON, line by line, however many there are."""

import json
import zlib
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import UTC, datetime

from workers import DurableObject, Response

PAGE = 500


class App(DurableObject):
    def on_start(self):
        self.sql = self.ctx.storage.sql
        self.sql.exec(
            "CREATE TABLE IF NOT EXISTS measurements (id INTEGER PRIMARY KEY, sensor TEXT, at INTEGER, value REAL)"
        )

    async def fetch(self, request):
        match request.method, request.path:
            case "POST", "/import":
                return Response.json(await self.load(request))
            case "GET", "/export.ndjson":
                return self.export(request.query.get("sensor"), gzipped=False)
            case "GET", "/export.ndjson.gz":
                return self.export(request.query.get("sensor"), gzipped=True)
            case "GET", "/summary":
                rows = self.sql.exec(
                    """SELECT sensor, COUNT(*) AS n, MIN(value) AS low, MAX(value) AS high, TOTAL(value) AS total
                       FROM measurements GROUP BY sensor ORDER BY sensor"""
                )
                return Response.json({row.pop("sensor"): row for row in rows})
            case "DELETE", "/":
                await self.ctx.storage.delete_all()
                self.on_start()
                return Response(None, status=204)
        return Response("not found\n", status=404)

    async def lines(self, request) -> AsyncIterator[bytes]:
        rest = b""
        async for chunk in request.stream():
            *complete, rest = (rest + chunk).split(b"\n")
            for line in complete:
                yield line
        if rest:
            yield rest

    async def load(self, request) -> dict[str, int | list[int]]:
        imported, bad, number = 0, [], 0
        async for line in self.lines(request):
            number += 1
            if not line.strip():
                continue
            try:
                record = json.loads(line)
                at = datetime.fromisoformat(record["at"]).timestamp()
                self.sql.exec(
                    "INSERT INTO measurements (sensor, at, value) VALUES (?, ?, ?)",
                    record["sensor"], int(at), float(record["value"]),
                )
            except (ValueError, KeyError, TypeError):
                bad.append(number)
            else:
                imported += 1
        return {"imported": imported, "bad_lines": bad}

    def export(self, sensor: str | None, gzipped: bool):
        headers = {"content-type": "application/x-ndjson"}
        if not gzipped:
            return Response(self.records(sensor), headers=headers)
        headers = {
            "content-type": "application/gzip",
            "content-disposition": f"attachment; filename=export-{sensor or 'all'}.ndjson.gz",
        }
        return Response(self.compressed(self.records(sensor)), headers=headers)

    async def records(self, sensor: str | None) -> AsyncIterator[str]:
        last = 0
        while True:
            page = self.sql.exec(
                "SELECT * FROM measurements WHERE id > ?1 AND (?2 IS NULL OR sensor = ?2) ORDER BY id LIMIT ?3",
                last, sensor, PAGE,
            ).all()
            if not page:
                break
            last = page[-1]["id"]
            yield "".join(json.dumps(self.record(row)) + "\n" for row in page)

    @staticmethod
    def record(row) -> dict:
        at = datetime.fromtimestamp(row["at"], tz=UTC)
        return {"sensor": row["sensor"], "at": at.isoformat().replace("+00:00", "Z"), "value": row["value"]}

    async def compressed(self, texts: AsyncIterator[str]) -> AsyncIterator[bytes]:
        packer = zlib.compressobj(wbits=31)
        with suppress(GeneratorExit):
            async for text in texts:
                if data := packer.compress(text.encode()):
                    yield data
            yield packer.flush()
