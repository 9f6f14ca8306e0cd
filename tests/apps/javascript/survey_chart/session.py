from xml.etree import ElementTree

SVG = "{http://www.w3.org/2000/svg}"


async def session(visit, app):
    form = await visit.get("/")
    assert form.text.count('type="radio"') == 7 and "C &amp; C++" in form.text
    voter = visit.cookies["voter"]
    sent = await visit.post("/", data={"language": "2", "editor": "0"})
    assert sent.status_code == 303 and sent.headers["location"] == "/results"
    assert "set-cookie" not in sent.headers
    assert (await visit.get("/chart/language.json")).json() == [0, 0, 1, 0]

    await app.restart()
    visit.cookies.clear()
    second = await visit.post("/", data={"language": "0"}, follow_redirects=True)
    assert second.status_code == 200 and "/chart/editor.svg" in second.text
    assert visit.cookies["voter"] != voter
    await visit.post("/", data={"language": "2"})  # thought better of it
    assert (await visit.get("/chart/language.json")).json() == [0, 0, 2, 0]

    chart = await visit.get("/chart/language.svg")
    assert chart.headers["content-type"] == "image/svg+xml"
    tree = ElementTree.fromstring(chart.text)
    assert [bar.get("width") for bar in tree.iter(f"{SVG}rect")] == ["0.0", "0.0", "300.0", "0.0"]
    assert "C & C++" in [text.text for text in tree.iter(f"{SVG}text")]

    wrong = await visit.post("/", data={"language": "0", "editor": "17"})
    assert wrong.status_code == 422
    assert (await visit.get("/chart/language.json")).json() == [0, 0, 2, 0]  # nothing of it counted
    assert (await visit.get("/chart/constructor.svg")).status_code == 404
    assert (await visit.get("/chart/colour.svg")).status_code == 404
