"""A job queue: an alarm works it off, failures are tried again later."""

import json
import traceback
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from enum import Enum
from statistics import median

from workers import DurableObject, Response

MAX_ATTEMPTS = 3
BATCH = 5
HANDLERS: dict[str, Callable[..., object]] = {}


class State(str, Enum):
    WAITING = "waiting"
    DONE = "done"
    DEAD = "dead"


def job(function):
    HANDLERS[function.__name__] = function
    return function


@job
def reverse(text: str) -> str:
    return text[::-1]


@job
def middle(numbers: list[float]) -> float:
    return median(numbers)


@job
def flaky(attempt: int = 1, works_at: int = 2) -> str:
    if attempt < works_at:
        raise ConnectionError(f"attempt {attempt} failed")
    return f"worked at attempt {attempt}"


class App(DurableObject):
    def on_start(self):
        self.sql = self.ctx.storage.sql
        self.sql.exec(
            """
            CREATE TABLE IF NOT EXISTS jobs (
                id INTEGER PRIMARY KEY, kind TEXT NOT NULL, args TEXT NOT NULL, due REAL NOT NULL,
                state TEXT NOT NULL DEFAULT 'waiting', attempts INTEGER NOT NULL DEFAULT 0, result TEXT, error TEXT
            );
            CREATE INDEX IF NOT EXISTS jobs_due ON jobs (due) WHERE state = 'waiting';
            """
        )

    async def fetch(self, request):
        match request.method, request.path.strip("/").split("/"):
            case "POST", ["jobs"]:
                return await self.enqueue(await request.json())
            case "GET", ["jobs", job_id]:
                rows = self.sql.exec("SELECT * FROM jobs WHERE id = ?", job_id).all()
                if not rows:
                    return Response.json({"error": "no such job"}, status=404)
                found = rows[0]
                return Response.json({
                    "state": found["state"], "attempts": found["attempts"], "error": found["error"],
                    "result": json.loads(found["result"]) if found["result"] else None,
                })
            case "GET", ["stats"]:
                counts = dict.fromkeys((state.value for state in State), 0)
                counts.update(self.sql.exec("SELECT state, COUNT(*) FROM jobs GROUP BY state").raw())
                alarm = await self.ctx.storage.get_alarm()
                return Response.json({**counts, "alarm": alarm.isoformat() if alarm else None})
        return Response.json({"error": "not found"}, status=404)

    async def enqueue(self, data):
        kind, args, delay = data.get("kind"), data.get("args", {}), data.get("delay_s", 0)
        if kind not in HANDLERS:
            return Response.json({"error": f"unknown kind {kind}", "kinds": sorted(HANDLERS)}, status=400)
        due = datetime.now(UTC) + timedelta(seconds=delay)
        job_id = self.sql.exec(
            "INSERT INTO jobs (kind, args, due) VALUES (?, ?, ?) RETURNING id", kind, json.dumps(args), due.timestamp()
        ).one()["id"]
        await self.set_next_alarm()
        return Response.json({"id": job_id}, status=202, headers={"Location": f"/jobs/{job_id}"})

    async def alarm(self, info):
        now = datetime.now(UTC).timestamp()
        due = self.sql.exec(
            "SELECT * FROM jobs WHERE state = ? AND due <= ? ORDER BY due, id LIMIT ?", State.WAITING.value, now, BATCH
        ).all()
        for row in due:
            self.work(row, now)
        await self.set_next_alarm()

    def work(self, row, now: float) -> None:
        attempt = row["attempts"] + 1
        args = json.loads(row["args"])
        if row["kind"] == "flaky":
            args["attempt"] = attempt
        try:
            result = HANDLERS[row["kind"]](**args)
        except Exception as error:
            last = traceback.format_exception_only(error)[-1].strip()
            state = State.DEAD if attempt >= MAX_ATTEMPTS else State.WAITING
            self.sql.exec(
                "UPDATE jobs SET state = ?, attempts = ?, error = ?, due = ? WHERE id = ?",
                state.value, attempt, last, now + 60 * 2**attempt, row["id"],
            )
        else:
            self.sql.exec(
                "UPDATE jobs SET state = ?, attempts = ?, result = ?, error = NULL WHERE id = ?",
                State.DONE.value, attempt, json.dumps(result), row["id"],
            )

    async def set_next_alarm(self):
        due = self.sql.exec("SELECT MIN(due) AS due FROM jobs WHERE state = 'waiting'").one()["due"]
        if due is not None:
            await self.ctx.storage.set_alarm(int(due * 1000) + 1)
