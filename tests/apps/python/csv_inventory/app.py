"""An inventory that is filled from a CSV file and given back as one."""

import csv
import hashlib
import hmac
import io
import secrets
import time
from decimal import Decimal, InvalidOperation

from workers import DurableObject, Response

COLUMNS = ["sku", "name", "quantity", "price"]

PAGE = """<!doctype html>
<title>Inventory</title>
<h1>Inventory</h1>
<form method="post" action="/import" enctype="multipart/form-data">
  <input type="file" name="file" accept=".csv"> <button>Import</button>
</form>
<p><a href="/export.csv">Download as CSV</a></p>
"""


class App(DurableObject):
    def on_start(self):
        self.ctx.storage.sql.exec(
            "CREATE TABLE IF NOT EXISTS items (sku TEXT PRIMARY KEY, name TEXT, quantity INTEGER, cents INTEGER)"
        )

    async def fetch(self, request):
        if request.path == "/":
            return Response.html(PAGE)
        if request.path == "/import":
            if request.method != "POST":
                return Response("POST a CSV file here\n", status=405, headers={"allow": "POST"})
            return await self.import_csv(request)
        if request.path == "/export.csv":
            return self.export_csv()
        if request.path == "/share":
            return self.share(request)
        if request.path == "/shared.csv":
            return self.shared(request)
        if request.path == "/value":
            total = self.ctx.storage.sql.exec("SELECT SUM(quantity * cents) FROM items").scalar() or 0
            return Response.json({"value": f"{Decimal(total) / 100:.2f}"})
        return Response("Not found\n", status=404)

    async def import_csv(self, request):
        form = await request.form()
        upload = form.get("file")
        if upload is None or isinstance(upload, str):
            return Response.json({"error": "no file was sent"}, status=400)
        try:
            text = (await upload.bytes()).decode("utf-8-sig")
        except UnicodeDecodeError:
            return Response.json({"error": f"{upload.name} is not UTF-8"}, status=400)
        reader = csv.DictReader(io.StringIO(text, newline=""))
        missing = [column for column in COLUMNS if column not in (reader.fieldnames or [])]
        if missing:
            return Response.json({"error": f"missing columns: {', '.join(missing)}"}, status=400)
        imported, errors = 0, []
        for row in reader:
            try:
                self.save(row)
                imported += 1
            except (TypeError, ValueError, InvalidOperation):
                errors.append({"line": reader.line_num, "sku": row["sku"]})
        return Response.json({"file": upload.name, "imported": imported, "errors": errors})

    def save(self, row):
        quantity = int(row["quantity"])
        cents = int(Decimal(row["price"]) * 100)
        if quantity < 0 or cents < 0 or not row["sku"]:
            raise ValueError("out of range")
        self.ctx.storage.sql.exec(
            "INSERT INTO items VALUES (?, ?, ?, ?) ON CONFLICT (sku) DO UPDATE SET"
            " name = excluded.name, quantity = excluded.quantity, cents = excluded.cents",
            row["sku"], row["name"], quantity, cents,
        )  # fmt: skip

    def share(self, request):
        """A link that works without being logged in anywhere, for some minutes."""
        expires = int(time.time()) + 60 * int(request.query.get("minutes", "10"))
        return Response.json({"url": f"/shared.csv?expires={expires}&signature={self.sign(expires)}"})

    def shared(self, request):
        expires, signature = request.query.get("expires", ""), request.query.get("signature", "")
        if not hmac.compare_digest(self.sign(expires), signature):
            return Response("The link is not valid\n", status=403)
        if int(expires) < time.time():
            return Response("The link has expired\n", status=410)
        return self.export_csv()

    def sign(self, expires):
        secret = self.ctx.storage.kv.get("secret")
        if secret is None:
            secret = secrets.token_bytes(32)
            self.ctx.storage.kv.put("secret", secret)
        return hmac.new(secret, f"export:{expires}".encode(), hashlib.sha256).hexdigest()

    def export_csv(self):
        output = io.StringIO()
        writer = csv.writer(output)
        writer.writerow(COLUMNS)
        for item in self.ctx.storage.sql.exec("SELECT * FROM items ORDER BY sku"):
            writer.writerow([item["sku"], item["name"], item["quantity"], f"{Decimal(item['cents']) / 100:.2f}"])
        headers = {"content-type": "text/csv; charset=utf-8", "content-disposition": 'attachment; filename="stock.csv"'}
        return Response(output.getvalue(), headers=headers)
