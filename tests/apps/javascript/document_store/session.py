MERGE = {"content-type": "application/merge-patch+json; charset=utf-8"}


async def session(visit, app):
    profile = {"name": "Ann", "tags": ["a", "b"], "address": {"city": "Köln", "zip": None}}
    made = await visit.put("/people/ann", json=profile)
    assert made.status_code == 201 and made.json() == profile
    etag = made.headers["etag"]
    exists = await visit.put("/people/ann", json={}, headers={"if-none-match": "*"})
    assert exists.status_code == 412 and exists.json()["error"] == "it exists"

    await app.restart()
    got = await visit.get("/people/ann")
    assert got.json() == profile and got.headers["etag"] == etag
    fresh = await visit.get("/people/ann", headers={"if-none-match": f'"other", {etag}'})
    assert fresh.status_code == 304 and fresh.content == b""

    change = '{"address": {"city": "Bonn", "street": "A 1"}, "tags": null}'
    unsure = await visit.patch("/people/ann", content=change, headers=MERGE)
    assert unsure.status_code == 428
    plain = await visit.patch("/people/ann", json={}, headers={"if-match": etag})
    assert plain.status_code == 415 and plain.json()["error"] == "cannot patch with application/json"
    patched = await visit.patch("/people/ann", content=change, headers={**MERGE, "if-match": etag})
    assert patched.status_code == 200
    assert patched.json() == {"name": "Ann", "address": {"city": "Bonn", "zip": None, "street": "A 1"}}
    assert patched.headers["etag"] != etag
    late = await visit.patch("/people/ann", content=change, headers={**MERGE, "if-match": etag})
    assert late.status_code == 412

    broken = await visit.put("/people/ben", content=b"{")
    assert broken.status_code == 400 and broken.json() == {"error": "that is not JSON", "cause": "SyntaxError"}
    head = await visit.head("/people/ann")
    assert head.status_code == 200 and head.content == b"" and head.headers["etag"] == patched.headers["etag"]
    assert (await visit.get("/")).json() == ["people/ann"]
    assert (await visit.delete("/people/ann", headers={"if-match": etag})).status_code == 412
    assert (await visit.delete("/people/ann", headers={"if-match": "*"})).status_code == 204
    assert (await visit.get("/people/ann")).status_code == 404
    assert (await visit.delete("/people/ann")).status_code == 404
