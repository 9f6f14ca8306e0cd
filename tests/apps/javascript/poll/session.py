from __future__ import annotations

import asyncio
import json


async def watch(visit):
    """What a page sees that shows the counts live."""
    async with visit.stream("GET", "/live") as response:
        assert response.headers["content-type"] == "text/event-stream"
        return [json.loads(line[6:]) async for line in response.aiter_lines() if line.startswith("data: ")]


async def session(visit, app):
    page = await visit.get("/")
    assert "Tabs or spaces?" in page.text
    nobody = {"counts": {"tabs": 0, "spaces": 0, "both": 0}, "total": 0, "mine": None}
    assert (await visit.get("/results")).json() == nobody

    vote = await visit.post("/vote", data={"choice": "tabs"})
    assert vote.status_code == 201
    assert len(vote.headers.get_list("set-cookie")) == 2
    assert vote.json()["mine"] == "tabs"

    changed = await visit.post("/vote", data={"choice": "spaces"})  # the same voter
    assert "set-cookie" not in changed.headers
    assert changed.json() == {"counts": {"tabs": 0, "spaces": 1, "both": 0}, "total": 1, "mine": "spaces"}

    assert (await visit.post("/vote", data={"choice": "emacs"})).status_code == 400
    assert (await visit.post("/vote", data={"choice": "toString"})).status_code == 400
    assert (await visit.post("/vote")).status_code == 400
    assert (await visit.get("/vote")).status_code == 405

    mine = visit.cookies["voter"]
    visit.cookies.clear()  # somebody else
    watching = asyncio.create_task(watch(visit))
    await asyncio.sleep(0.5)
    other = await visit.post("/vote", data={"choice": "both"})
    assert other.json()["total"] == 2
    seen = await asyncio.wait_for(watching, 10)
    assert seen == [{"tabs": 0, "spaces": 1, "both": 0}, {"tabs": 0, "spaces": 1, "both": 1}]

    await app.restart()

    visit.cookies.clear()
    results = await visit.get("/results", headers={"Cookie": f"voter={mine}"})
    assert results.json() == {"counts": {"tabs": 0, "spaces": 1, "both": 1}, "total": 2, "mine": "spaces"}
    assert 'value="1"' in (await visit.get("/")).text
