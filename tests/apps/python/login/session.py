from urllib.parse import parse_qs, urlsplit

CALLBACK = "https://calendar.example/callback"


async def session(visit, app):
    ann = {"name": "Ann <3", "password": "correct horse"}
    assert (await visit.post("/register", data=ann)).status_code == 201
    assert (await visit.post("/register", data={**ann, "password": "other"})).status_code == 409

    asked = {"client_id": "calendar", "redirect_uri": CALLBACK, "state": "x y&z"}
    sent = await visit.get("/authorize", params=asked)
    assert sent.status_code == 302 and sent.headers["location"].startswith("/login?next=%2Fauthorize%3F")
    back = parse_qs(urlsplit(sent.headers["location"]).query)["next"][0]

    assert (await visit.post("/login", data={**ann, "password": "wrong"})).status_code == 401
    assert (await visit.post("/login", data={"name": "nobody", "password": ""})).status_code == 401
    logged_in = await visit.post("/login", data={**ann, "next": back})
    assert (logged_in.status_code, logged_in.headers["location"]) == (303, back)
    assert len(logged_in.headers.get_list("set-cookie")) == 2
    evil = await visit.post("/login", data={**ann, "next": "//evil.example"})
    assert evil.headers["location"] == "/"

    await app.restart()
    assert "Hello, Ann &lt;3!" in (await visit.get("/")).text

    allowed = await visit.get(back)
    query = parse_qs(urlsplit(allowed.headers["location"]).query)
    assert allowed.headers["location"].startswith(CALLBACK) and query["state"] == ["x y&z"]
    token = (await visit.post("/token", data={"code": query["code"][0]})).json()["access_token"]
    # A code works once, and for a minute.
    assert (await visit.post("/token", data={"code": query["code"][0]})).json() == {"error": "invalid_grant"}
    assert (await visit.get("/authorize", params={**asked, "redirect_uri": "https://evil.example"})).status_code == 400

    assert (await visit.get("/me", headers={"authorization": f"Bearer {token}"})).json() == {"name": "Ann <3"}
    forged = await visit.get("/me", headers={"authorization": f"Bearer {token[:-2]}AA"})
    assert forged.status_code == 401 and forged.headers["www-authenticate"] == "Bearer"

    await app.advance("11m")
    assert (await visit.get("/me", headers={"authorization": f"Bearer {token}"})).status_code == 401
