from xml.etree import ElementTree as ET

SVG = "{http://www.w3.org/2000/svg}"


async def session(visit, app):
    page = await visit.get("/")
    assert "You have not voted." in page.text and 'value="Rust &amp; friends"' in page.text

    voted = await visit.post("/vote", data={"choice": "Rust & friends", "comment": ["fast", "<b>safe</b>"]})
    assert voted.status_code == 303 and "HttpOnly" in voted.headers["set-cookie"]
    page = await visit.get("/")
    assert "You said: fast / &lt;b&gt;safe&lt;/b&gt;" in page.text

    # The same visitor changes their mind, another one joins.
    await visit.post("/vote", data={"choice": "Python"})
    visit.cookies.clear()
    await visit.post("/vote", data={"choice": "Python"})
    visit.cookies.clear()
    await visit.post("/vote", data={"choice": "JavaScript"})
    assert (await visit.post("/vote", data={"choice": "COBOL"})).status_code == 422
    assert (await visit.post("/vote", data={"nothing": "at all"})).status_code == 422
    refused = await visit.get("/vote")
    assert (refused.status_code, refused.headers["allow"]) == (405, "POST")

    await app.restart()
    assert (await visit.get("/results.json")).json() == {"Python": 2, "JavaScript": 1, "Rust & friends": 0}
    chart = await visit.get("/results.svg")
    assert chart.headers["content-type"] == "image/svg+xml"
    assert chart.headers["cache-control"] == "no-store"
    bars = ET.fromstring(chart.text).findall(f"{SVG}rect")
    assert [bar.get("width") for bar in bars] == ["240", "120", "0"]
