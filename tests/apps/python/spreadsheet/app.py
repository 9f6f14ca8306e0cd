"""A spreadsheet: PUT formulas into cells, read values back."""

from sheet import Sheet, parse_reference
from workers import DurableObject, Response


class App(DurableObject):
    def __init__(self, ctx, env):
        super().__init__(ctx, env)
        self.kv = ctx.storage.kv
        self.sheet = Sheet(dict(self.kv.get("cells", {})))

    async def fetch(self, request):
        parts = request.path.strip("/").split("/")
        if parts == [""]:
            return Response.html(self.table())
        if parts == ["cells"] and request.method == "GET":
            return Response.json({name: self.sheet.value(name) for name in sorted(self.sheet.cells)})
        if len(parts) == 2 and parts[0] == "cells":
            name = parts[1].upper()
            if parse_reference(name) is None:
                return Response.json({"error": f"{name} is not a cell"}, status=400)
            if request.method == "PUT":
                self.sheet.set(name, await request.text())
                self.kv.put("cells", self.sheet.cells)
            elif request.method == "DELETE":
                self.sheet.set(name, "")
                self.kv.put("cells", self.sheet.cells)
            elif request.method != "GET":
                return Response.json({"error": "GET, PUT or DELETE"}, status=405)
            text = self.sheet.cells.get(name, "")
            return Response.json({"cell": name, "input": text, "value": self.sheet.value(name)})
        return Response.json({"error": "not found"}, status=404)

    def table(self):
        columns, rows = self.sheet.size()
        letters = [chr(ord("A") + column) for column in range(columns)]
        head = "".join(f"<th>{letter}</th>" for letter in letters)
        body = ""
        for row in range(1, rows + 1):
            values = "".join(f"<td>{self.sheet.value(f'{letter}{row}')}</td>" for letter in letters)
            body += f"<tr><th>{row}</th>{values}</tr>"
        return f"<!doctype html><title>Sheet</title><table><tr><th></th>{head}</tr>{body}</table>"
