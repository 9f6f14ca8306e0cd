from __future__ import annotations

import hashlib

PICTURE = bytes(range(256)) * 40
MEMO = "Grüße\n".encode()


async def session(visit, app):
    uploads = [("file", ("ä b.png", PICTURE, "image/png")), ("file", ("memo.txt", MEMO, "text/plain"))]
    uploaded = await visit.post("/files", files=uploads, data={"note": "für später"})
    assert uploaded.status_code == 201
    assert uploaded.json()["note"] == "für später"
    picture, memo = uploaded.json()["files"]
    assert (picture["name"], picture["size"], picture["type"]) == ("ä b.png", len(PICTURE), "image/png")
    assert picture["sha256"] == hashlib.sha256(PICTURE).hexdigest()

    link = (await visit.get(f"/files/{picture['id']}/link", params={"seconds": 600})).json()["url"]
    download = await visit.get(link)
    assert download.status_code == 200
    assert download.content == PICTURE
    assert download.headers["content-type"] == "image/png"
    assert download.headers["content-disposition"] == "attachment; filename*=UTF-8''%C3%A4%20b.png"
    unchanged = await visit.get(link, headers={"If-None-Match": download.headers["etag"]})
    assert unchanged.status_code == 304
    assert unchanged.content == b""

    assert (await visit.get(f"/files/{picture['id']}")).status_code == 403
    assert (await visit.get(link.replace(picture["id"], memo["id"]))).status_code == 403
    assert (await visit.get(link.replace("expires=", "expires=9"))).status_code == 403
    assert (await visit.post("/files", data={"file": "only text"})).status_code == 400
    large = await visit.post("/files", files={"file": ("large.bin", bytes(1024 * 1024 + 1))})
    assert large.status_code == 413
    assert (await visit.get(f"/files/{picture['id']}/link", params={"seconds": "-1"})).status_code == 400
    assert (await visit.get("/files/nothing/link")).status_code == 404

    await app.restart()

    assert [(f["name"], f["size"]) for f in (await visit.get("/files")).json()] == [
        ("memo.txt", len(MEMO)),
        ("ä b.png", len(PICTURE)),
    ]
    assert (await visit.get(link)).content == PICTURE  # the key was kept
    await app.advance("11m")
    assert (await visit.get(link)).status_code == 410
