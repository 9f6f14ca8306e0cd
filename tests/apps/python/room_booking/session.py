async def session(visit, app):
    url = "/rooms/attic/bookings"
    first = await visit.post(
        url, json={"who": "Ann", "start": "2027-03-01T09:00:00+01:00", "end": "2027-03-01T10:30:00+01:00"}
    )
    assert (first.status_code, first.json()["minutes"]) == (201, 90)

    # The same hour, in another zone's words.
    clash = await visit.post(url, json={"who": "Ben", "start": "2027-03-01T09:15Z", "end": "2027-03-01T10:00Z"})
    assert clash.status_code == 409
    assert clash.json() == {"error": "the room is taken", "by": "Ann", "since": "08:00"}

    # One ends as the next begins, and other rooms are free.
    after = await visit.post(url, json={"who": "Ben", "start": "2027-03-01T09:30Z", "end": "2027-03-01T10:00Z"})
    assert after.status_code == 201
    other = await visit.post(
        "/rooms/garden/bookings", json={"start": "2027-03-01T08:00Z", "end": "2027-03-01T09:00Z"}
    )
    assert other.status_code == 201

    assert (await visit.post("/rooms/roof/bookings", json={})).status_code == 404
    naive = await visit.post(url, json={"start": "2027-03-02T09:00", "end": "2027-03-02T10:00"})
    assert naive.status_code == 400 and "time zone" in naive.json()["error"]
    long = await visit.post(url, json={"start": "2027-03-02T09:00Z", "end": "2027-03-02T19:00Z"})
    assert long.json()["minutes"] == 600
    assert (await visit.post(url, content="{not json")).json() == {"error": "that is no JSON"}
    assert (await visit.patch(url, json={})).status_code == 405

    await app.restart()
    listed = (await visit.get(url, params={"day": "2027-03-01"})).json()
    assert [(entry["who"], entry["start"], entry["minutes"]) for entry in listed] == [
        ("Ann", "2027-03-01T08:00Z", 90),
        ("Ben", "2027-03-01T09:30Z", 30),
    ]
    assert (await visit.get(url, params={"day": "2027-03-02"})).json() == []
    assert (await visit.delete(f"/bookings/{listed[0]['id']}")).json() == {"cancelled": "Ann"}
    assert (await visit.delete(f"/bookings/{listed[0]['id']}")).status_code == 404
    assert len((await visit.get(url)).json()) == 1
