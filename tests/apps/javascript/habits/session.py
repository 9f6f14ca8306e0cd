async def session(visit, app):
    made = await visit.post("/habits", json={"name": "Read a Book!"})
    assert made.status_code == 201 and made.json() == {"id": "read-a-book"}
    assert made.headers["location"] == "/habits/read-a-book"
    assert (await visit.post("/habits", json={"name": " read a book "})).status_code == 409
    assert (await visit.post("/habits", content=b"no json")).status_code == 400

    for day in ("2024-02-27", "2024-02-28", "2024-02-29", "2024-03-01", "2024-03-03"):
        assert (await visit.put(f"/habits/read-a-book/{day}")).json() == {"done": True}
    await visit.post("/habits", json={"name": "Run"})

    await app.restart()
    habit = (await visit.get("/habits/read-a-book", params={"today": "2024-03-01"})).json()
    assert habit["streak"] == 4 and habit["longest"] == 4 and habit["total"] == 5
    assert habit["days"][0] == "2024-02-27" and habit["name"] == "Read a Book!"
    assert (await visit.get("/habits")).json() == ["Read a Book!", "Run"]

    assert (await visit.put("/habits/read-a-book/2024-02-29")).json() == {"done": False}
    habit = (await visit.get("/habits/read-a-book", params={"today": "2024-03-03"})).json()
    assert (habit["streak"], habit["longest"], habit["total"]) == (1, 2, 4)

    feb = await visit.put("/habits/run/2023-02-29")
    assert feb.status_code == 400 and feb.json()["error"] == "2023-02-29 is not a date"
    assert (await visit.get("/habits/swim")).status_code == 404
    assert (await visit.get("/")).status_code == 404
