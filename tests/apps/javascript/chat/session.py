from __future__ import annotations

import asyncio


async def say(visit, room, who, text):
    return await visit.post(f"/rooms/{room}", json={"from": who, "text": text})


async def poll(visit, room, since=0, **more):
    answer = await visit.get(f"/rooms/{room}", params={"since": since, **more})
    assert answer.status_code == 200
    return [f"{m['from']}: {m['text']}" for m in answer.json()["messages"]], answer.json()["last"]


async def session(visit, app):
    assert await poll(visit, "lobby") == ([], 0)
    hello = await say(visit, "lobby", "Ann", "Hello 👋")
    assert hello.status_code == 201
    assert hello.json()["id"] == 1
    assert hello.json()["at"].endswith("Z")
    await say(visit, "lobby", "Ben", "Hi!")
    await say(visit, "lobby-2", "Cy", "Anybody here?")

    assert await poll(visit, "lobby") == (["Ann: Hello 👋", "Ben: Hi!"], 2)
    assert await poll(visit, "lobby", 1) == (["Ben: Hi!"], 2)
    assert (await visit.get("/rooms/lobby/presence")).json() == ["Ann", "Ben"]

    # A poll that waits is answered by the message, and one that waits for nothing ends.
    waiting = asyncio.create_task(poll(visit, "lobby", 2, wait=1))
    await asyncio.sleep(0.2)
    await say(visit, "lobby", "Ann", "Lunch?")
    assert await waiting == (["Ann: Lunch?"], 3)
    assert await poll(visit, "lobby", 3, wait=1) == ([], 3)

    assert (await say(visit, "lobby", "Ann", " ")).status_code == 400
    assert (await say(visit, "lobby", "Ann", "x" * 501)).status_code == 413
    assert (await visit.post("/rooms/lobby", data={"from": "Ann", "text": "form"})).status_code == 415
    broken = await visit.post("/rooms/lobby", content="{", headers={"Content-Type": "application/json"})
    assert broken.status_code == 400
    assert (await visit.get("/rooms/lobby", params={"since": "noon"})).status_code == 400
    assert (await visit.delete("/rooms/lobby")).status_code == 405
    assert (await visit.get("/rooms/Not A Room")).status_code == 404

    await asyncio.gather(*(say(visit, "busy", "Bot", f"number {n}") for n in range(60)))
    await app.restart()

    assert (await visit.get("/rooms")).json() == {"lobby": 3, "lobby-2": 1, "busy": 60}
    messages, last = await poll(visit, "busy")
    assert (len(messages), last) == (50, 60)
    assert await poll(visit, "lobby", 2) == (["Ann: Lunch?"], 3)
