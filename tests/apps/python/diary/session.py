from __future__ import annotations

ANN = {"user": "ann", "password": "correct horse"}
BEN = {"user": "ben", "password": "battery staple"}


async def session(visit, app):
    assert "Log in" in (await visit.get("/")).text
    assert (await visit.post("/entries", data={"text": "sneaky"})).status_code == 401

    short = await visit.post("/signup", data={"user": "ann", "password": "short"})
    assert short.status_code == 400
    assert "at least 8 characters" in short.text

    joined = await visit.post("/signup", data=ANN)
    assert joined.status_code == 303
    assert "HttpOnly" in joined.headers["set-cookie"]
    assert "session" in visit.cookies

    await visit.post("/entries", data={"text": "Dear diary, 1 < 2 & so on"})
    page = await visit.get("/")
    assert "Diary of ann" in page.text
    assert "1 &lt; 2 &amp; so on" in page.text

    await visit.post("/logout")
    assert "session" not in visit.cookies
    assert "Dear diary" not in (await visit.get("/")).text

    assert (await visit.post("/signup", data=ANN)).status_code == 409
    wrong = await visit.post("/login", data={**ANN, "password": "wrong horse"})
    assert wrong.status_code == 401
    assert "Wrong name or password" in wrong.text

    await visit.post("/signup", data=BEN)
    assert "Dear diary" not in (await visit.get("/")).text

    await visit.post("/logout")
    welcome = await visit.post("/login", data=ANN, follow_redirects=True)
    assert "Dear diary" in welcome.text

    await app.restart()

    assert "Dear diary" in (await visit.get("/")).text  # the session is still good
    visit.cookies.clear()
    visit.cookies.set("session", "forged")
    assert "Dear diary" not in (await visit.get("/")).text
