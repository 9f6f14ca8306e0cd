from __future__ import annotations


async def put(visit, cell, text):
    answer = await visit.put(f"/cells/{cell}", content=text)
    assert answer.status_code == 200
    return answer.json()["value"]


async def session(visit, app):
    assert (await visit.get("/cells")).json() == {}
    assert await put(visit, "a1", "10") == 10
    assert await put(visit, "A2", "2.5") == 2.5
    assert await put(visit, "A3", "apples") == "apples"

    assert await put(visit, "B1", "=A1 + A2 * 2") == 15
    assert await put(visit, "B2", "=-(a1 - 4) ^ 2") == 36
    assert await put(visit, "B3", "=SUM(A1:A3, 100)") == 112.5
    assert await put(visit, "B4", "=round(average(A1:A2), 1)") in (6.2, 6.3)
    assert await put(visit, "C1", "=0.1 + 0.2") == 0.3

    assert await put(visit, "D1", "=A1 / Z9") == "#DIV/0"
    assert await put(visit, "D2", "=A3 + 1") == "#VALUE"
    assert await put(visit, "D3", "=SUM(A1:A2") == "#SYNTAX"
    assert await put(visit, "D4", "=NOPE(1)") == "#NAME"
    await put(visit, "E1", "=E2")
    assert await put(visit, "E2", "=E1 + 1") == "#CYCLE"

    assert (await visit.put("/cells/A100", content="1")).status_code == 400
    assert (await visit.post("/cells/A1", content="1")).status_code == 405

    await app.restart()

    await put(visit, "A1", "20")
    assert (await visit.get("/cells/B1")).json() == {"cell": "B1", "input": "=A1 + A2 * 2", "value": 25}
    assert (await visit.delete("/cells/A2")).json()["value"] == ""
    assert (await visit.get("/cells/b1")).json()["value"] == 20
    page = await visit.get("/")
    assert "<th>E</th>" in page.text
    assert "<td>apples</td>" in page.text
