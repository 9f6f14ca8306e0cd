from email.utils import parsedate_to_datetime


async def session(visit, app):
    short = await visit.post("/?for=10m", content="one\ntwo ünïcode\n")
    assert short.status_code == 201
    path = short.headers["location"]
    assert short.text.strip().endswith(path) and len(path) == 9
    long = (await visit.post("/?for=1d", content="stays")).headers["location"]

    shown = await visit.get(path)
    assert shown.text.splitlines()[:2] == ["   1  one", "   2  two ünïcode"]
    assert shown.headers["x-views"] == "1"
    assert parsedate_to_datetime(shown.headers["expires"]) is not None
    assert (await visit.get(f"{path}/raw")).text == "one\ntwo ünïcode\n"

    burning = (await visit.post("/?burn", content="read me once")).headers["location"]
    assert (await visit.get(f"{burning}/raw")).text == "read me once"
    assert (await visit.get(f"{burning}/raw")).status_code == 404

    await app.restart()
    assert (await visit.get("/")).json() == {"pastes": 2, "views": 2}
    await app.advance("9m")
    assert (await visit.get(path)).headers["x-views"] == "3"
    await app.advance("2m")
    assert (await visit.get(path)).status_code == 404
    assert (await visit.get(f"{long}/raw")).text == "stays"

    assert (await visit.post("/?for=1y", content="x")).status_code == 400
    assert (await visit.post("/", content=" \n")).status_code == 400
    assert (await visit.post("/", content="x" * 10_001)).status_code == 413
    put = await visit.put("/", content="x")
    assert put.status_code == 405 and "DELETE" in put.headers["allow"]

    await app.advance("25h")
    assert (await visit.get("/")).json() == {"pastes": 0, "views": 0}
