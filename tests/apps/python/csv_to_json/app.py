"""CSV in, JSON out."""

import csv
import io
import json
import re
from datetime import date
from typing import Any

from workers import Response

FORM = """<!doctype html><title>CSV to JSON</title>
<p>{greeting}</p>
<form method="post" action="/convert" enctype="multipart/form-data">
  <input type="file" name="file"> <label><input type="checkbox" name="types" value="1" checked> types</label>
  <button>Convert</button>
</form>"""


def convert_value(text: str) -> Any:
    text = text.strip()
    if text == "":
        return None
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    if re.fullmatch(r"[+-]?(0|[1-9]\d*)", text):
        return int(text)
    if re.fullmatch(r"[+-]?\d*\.\d+([eE][+-]?\d+)?", text):
        return float(text)
    if found := re.fullmatch(r"(\d{1,2})\.(\d{1,2})\.(\d{4})", text):
        day, month, year = map(int, found.groups())
        return date(year, month, day).isoformat()
    return text


def convert(text: str, typed: bool = True) -> list[dict[str, Any]]:
    try:
        dialect = csv.Sniffer().sniff(text[:4096], delimiters=",;\t|")
    except csv.Error:
        dialect = csv.excel
    reader = csv.DictReader(io.StringIO(text, newline=""), dialect=dialect, restkey="_more")
    if not reader.fieldnames:
        raise ValueError("there is no header")
    records = []
    for record in reader:
        if "_more" in record or None in record.values():
            raise ValueError(f"line {reader.line_num}: expected {len(reader.fieldnames)} fields")
        records.append({key.strip(): convert_value(value) if typed else value for key, value in record.items()})
    return records


async def fetch(request, env, ctx):
    if request.path == "/":
        return Response.html(FORM.format(greeting=env.GREETING))
    if request.path != "/convert":
        return Response("not found\n", status=404)
    if request.method != "POST":
        return Response("POST your CSV\n", status=405, headers={"allow": "POST"})

    if request.headers.get("content-type", "").startswith("multipart/form-data"):
        form = await request.form()
        upload = form.get("file")
        if not upload:
            return Response("no file\n", status=400)
        data, typed = await upload.bytes(), "types" in form
        name = upload.name.rsplit(".", 1)[0] + ".json"
    else:
        data, typed, name = await request.bytes(), request.query.get("types") != "no", "data.json"

    try:
        records = convert(data.decode("utf-8-sig"), typed)
    except UnicodeDecodeError:
        return Response("that is no UTF-8\n", status=415)
    except ValueError as error:
        return Response(f"{error}\n", status=422)
    headers = {"content-type": "application/json", "content-disposition": f'attachment; filename="{name}"'}
    return Response(json.dumps(records, indent=2, ensure_ascii=False), headers=headers)
