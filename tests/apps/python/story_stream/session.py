from __future__ import annotations

import json

STORY = "The quick brown fox — naïve — jumps"


async def listen(visit, path, **headers):
    """The words of a story, and the data of its last event."""
    words, last = [], None
    async with visit.stream("GET", path, headers=headers) as response:
        assert response.status_code == 200
        assert response.headers["content-type"] == "text/event-stream"
        async for line in response.aiter_lines():
            if line.startswith("data: {"):
                words.append(json.loads(line[6:])["word"])
            elif line.startswith("data: "):
                last = line[6:]
    return words, last


async def session(visit, app):
    assert "EventSource" in (await visit.get("/")).text
    assert (await visit.get("/stories/fox")).status_code == 404

    added = await visit.put("/stories/fox", content=STORY.encode())
    assert added.status_code == 201
    assert added.json() == {"words": 8}
    assert (await visit.put("/stories/empty", content="  ")).status_code == 400

    assert await listen(visit, "/stories/fox") == (STORY.split(), "8")
    assert (await visit.get("/stats")).json() == {"fox": 1}

    # A browser that lost its connection says how far it came.
    assert await listen(visit, "/stories/fox", **{"Last-Event-ID": "6"}) == (["—", "jumps"], "8")
    bad = await visit.get("/stories/fox", headers={"Last-Event-ID": "six"})
    assert bad.status_code == 400

    await app.restart()

    assert (await visit.get("/stats")).json() == {"fox": 2}
    assert (await listen(visit, "/stories/fox"))[0] == STORY.split()
    assert (await visit.get("/stats")).json() == {"fox": 3}
