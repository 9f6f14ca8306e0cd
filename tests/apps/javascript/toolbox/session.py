import base64
import hashlib
import hmac
import json
from email.parser import BytesParser


def parts(response):
    assert response.headers["content-type"].startswith("multipart/form-data; boundary=")
    head = f"content-type: {response.headers['content-type']}\r\n\r\n".encode()
    for part in BytesParser().parsebytes(head + response.content).get_payload():
        name = part.get_param("name", header="content-disposition")
        yield name, part.get_filename(), part.get_content_type(), part.get_payload(decode=True)


async def session(visit, app):
    data = bytes(range(256)) * 3
    sums = (await visit.post("/hash?key=k", content=data)).json()
    for name in ("md5", "sha1", "sha256"):
        assert sums[name] == hashlib.new(name, data).hexdigest()
    assert base64.b64decode(sums["hmac"]) == hmac.digest(b"k", data, "sha256") and sums["self"] is True

    encoded = (await visit.post("/base64", json={"text": "grüße>>>???", "to": "base64url"})).json()
    assert encoded["encoded"] == base64.urlsafe_b64encode("grüße>>>???".encode()).decode().rstrip("=")
    assert encoded["hex"] == "6772c3bc" and encoded["count"] == 2
    await app.restart()
    assert (await visit.get("/audit")).text == 'hash: {"bytes":768}\nbase64: {"bytes":13}'
    again = (await visit.post("/base64", json={"text": "x"})).json()
    assert again == {"encoded": "eA==", "hex": "78", "count": 3}
    empty = await visit.post("/base64", json={"text": ""})
    assert empty.status_code == 400 and empty.json() == {"error": "empty"}

    archive = ("../../etc/a.tar.gz", b"\x00\xff\r\n--x", "application/gzip")
    files = [("one", archive), ("two", ("b", b"abc", "text/plain"))]
    echoed = list(parts(await visit.post("/files", data={"word": "añb"}, files=files)))
    assert ("word", None, "text/plain", "bña".encode()) in echoed
    copies = [part for part in echoed if part[0] == "copy"]
    assert copies[0][1:] == ("a.tar.reversed.gz", "application/gzip", b"x--\n\r\xff\x00")
    assert copies[1][1:] == ("b.reversed", "text/plain", b"cba")
    manifest = next(json.loads(part[3]) for part in echoed if part[1] == "manifest.json")
    assert manifest[0] == {"path": "/safe/a.tar.gz", "size": 7, "type": "application/gzip"}

    same = (await visit.post("/same", json=[{"a": [1, {"b": None}]}, {"a": [1, {"b": None}]}])).json()
    assert same == {"same": True, "a": "{ a: [ 1, { b: null } ] }", "id": 36}
    assert (await visit.post("/same", json=[{"a": 1}, {"a": "1"}])).json()["same"] is False
    assert (await visit.post("/same", content=b"[1")).status_code == 400
    assert (await visit.get("/hash")).status_code == 404
