async def session(visit, app):
    async def edit(kind, **arguments):
        return await visit.post("/edit", json={"kind": kind, **arguments})

    async def undo():
        return (await visit.post("/undo")).json()

    assert (await visit.post("/undo")).json() == {"error": "nothing to undo"}
    await edit("insert", at=0, text="Hello World")
    await edit("insert", at=5, text=", 🌍")
    assert (await visit.get("/")).text == "Hello, 🌍 World"
    state = (await edit("replace", old="o", new="0")).json()
    assert state == {"text": "Hell0, 🌍 W0rld", "can_undo": 3, "can_redo": 0}
    await edit("delete", at=0, count=4)

    assert (await edit("delete", at=8, count=40)).json() == {"error": "there is not so much to delete"}
    assert (await edit("paint")).json() == {"error": "cannot paint"}
    assert (await edit("insert", where=3)).status_code == 409
    assert (await visit.post("/edit", json={})).json() == {"error": "a command has a kind"}

    assert (await undo())["text"] == "Hell0, 🌍 W0rld"
    await app.restart()
    assert await undo() == {"text": "Hello, 🌍 World", "can_undo": 2, "can_redo": 2}
    assert (await undo())["text"] == "Hello World"
    assert (await visit.post("/redo")).json()["text"] == "Hello, 🌍 World"
    assert (await visit.post("/redo")).json()["can_redo"] == 1

    # What is written now leaves nothing to redo.
    await edit("insert", at=0, text=">")
    assert (await visit.post("/redo")).status_code == 409
    await app.restart()
    assert (await visit.get("/state")).json() == {"text": ">Hell0, 🌍 W0rld", "can_undo": 4, "can_redo": 0}
