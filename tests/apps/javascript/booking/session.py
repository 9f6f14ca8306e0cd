async def session(visit, app):
    async def book(room, title, starts, ends):
        return await visit.post(f"/{room}", data={"title": title, "starts": starts, "ends": ends})

    assert (await visit.get("/")).json() == {"rooms": ["attic", "cellar", "garden"]}
    assert (await visit.get("/kitchen")).status_code == 404
    first = await book("attic", "Choir, first; part", "2030-03-31T09:00", "2030-03-31T10:30")
    assert first.status_code == 201
    assert first.json() == {
        "id": 1, "title": "Choir, first; part", "starts": "2030-03-31T09:00", "ends": "2030-03-31T10:30",
    }
    await app.restart()
    clash = await book("attic", "Chess", "2030-03-31T10:00", "2030-03-31T11:00")
    assert clash.status_code == 409 and clash.json()["with"]["id"] == 1
    assert clash.json()["error"] == 'overlaps "Choir, first; part"'
    assert (await book("attic", "Chess", "2030-03-31T10:30", "2030-03-31T11:00")).status_code == 201  # right after it
    assert (await book("cellar", "", "2030-03-31T10:00", "2030-03-31T11:00")).json()["title"] == "busy"

    day = (await visit.get("/attic", params={"day": "2030-03-31"})).json()
    assert [booking["title"] for booking in day] == ["Choir, first; part", "Chess"]
    assert (await visit.get("/attic", params={"day": "2030-04-01"})).json() == []
    calendar = await visit.get("/attic/calendar.ics")
    assert calendar.headers["content-type"].startswith("text/calendar")
    assert "DTSTART:20300331T090000Z\r\n" in calendar.text and r"SUMMARY:Choir\, first\; part" in calendar.text

    backwards = await book("attic", "x", "2030-04-01T10:00", "2030-04-01T09:00")
    assert backwards.json()["error"] == "it ends before it starts"
    assert (await book("attic", "x", "tomorrow", "2030-04-01T09:00")).status_code == 400
    assert (await visit.delete("/cellar/1")).status_code == 404
    assert (await visit.delete("/attic/1")).status_code == 204
    assert len((await visit.get("/attic", params={"day": "2030-03-31"})).json()) == 1
