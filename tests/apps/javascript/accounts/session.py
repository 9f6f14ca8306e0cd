import base64
import json


async def session(visit, app):
    ann = {"email": "Ann@Example.com ", "password": "correct horse"}
    assert (await visit.get("/me")).status_code == 401
    signed = await visit.post("/signup", data=ann)
    assert signed.status_code == 201 and signed.json() == {"email": "ann@example.com"}
    assert len(signed.headers.get_list("set-cookie")) == 2 and visit.cookies["seen"] == "yes"
    assert (await visit.get("/me")).json() == {
        "email": "ann@example.com", "visits": 1, "greeting": "hello from the house",
    }
    assert (await visit.post("/signup", data=ann)).status_code == 409
    assert (await visit.post("/signup", data={"email": "ann", "password": "long enough"})).status_code == 422
    short = await visit.post("/signup", data={"email": "b@example.com", "password": "short"})
    assert short.json()["error"] == "Password too short"

    await app.restart()
    assert (await visit.get("/me")).json()["visits"] == 2  # the cookie outlives the app

    header, payload, signature = visit.cookies["session"].split(".")
    claims = json.loads(base64.urlsafe_b64decode(payload + "=="))
    assert claims["email"] == "ann@example.com"
    forged = base64.urlsafe_b64encode(json.dumps({**claims, "sub": 2}).encode()).decode().rstrip("=")
    visit.cookies.clear()
    for token in (f"{header}.{forged}.{signature}", "nonsense", f"{header}.{payload}."):
        denied = await visit.get("/me", headers={"cookie": f"session={token}"})
        assert denied.status_code == 401
    still = await visit.get("/me", headers={"cookie": f"seen=yes; session={header}.{payload}.{signature}"})
    assert still.json()["visits"] == 3

    wrong = await visit.post("/login", data={**ann, "password": "wrong horse"})
    assert wrong.status_code == 401 and "set-cookie" not in wrong.headers
    assert (await visit.post("/login", data=ann)).status_code == 200
    await app.advance("61m")
    expired = await visit.get("/me", headers={"cookie": f"session={header}.{payload}.{signature}"})
    assert expired.status_code == 401 and expired.json()["error"] == "Please log in"
    assert (await visit.post("/logout")).status_code == 204
