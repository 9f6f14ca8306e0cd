"""A to-do list with SQL."""

from html import escape

from workers import DurableObject, Response

PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>To-do</title><link rel="icon" href="data:,">
<style>
  :root { color-scheme: light dark; font: 1rem/1.5 system-ui, sans-serif }
  body { max-width: 32rem; margin: 10vh auto; padding: 0 1.25rem }
  form { display: flex; gap: .75rem; align-items: center }
  ul { list-style: none; padding: 0 }
  li { border-bottom: 1px solid #8883; padding: .5rem 0 }
  li span { flex: 1; overflow-wrap: anywhere }
  [aria-pressed=true] + span { text-decoration: line-through; opacity: .5 }
  input, button { font: inherit; color: inherit; padding: .4rem .75rem; border: 1px solid #8886; border-radius: .5rem }
  input { flex: 1; min-width: 0; background: none }
  button { background: #8881; cursor: pointer }
</style>
<h1>To-do</h1>
<form method="post" action="/add">
  <input name="text" aria-label="What is to be done" placeholder="What is to be done?" required autofocus>
  <button>Add</button>
</form>
"""
ITEM = """<li><form method="post"><input type="hidden" name="id" value="{id}">
  <button formaction="/toggle" aria-label="Done" aria-pressed="{pressed}">{mark}</button><span>{text}</span>
  <button formaction="/delete" aria-label="Delete">×</button></form></li>"""


class App(DurableObject):
    def on_start(self):
        self.ctx.storage.sql.exec("create table if not exists todo(id integer primary key, text, done default 0)")

    async def fetch(self, request):
        sql = self.ctx.storage.sql
        form = await request.form() if request.method == "POST" else {}
        match request.path:
            case "/add" if form.get("text"):
                sql.exec("insert into todo(text) values (?)", form["text"])
            case "/toggle":
                sql.exec("update todo set done = not done where id = ?", form.get("id"))
            case "/delete":
                sql.exec("delete from todo where id = ?", form.get("id"))
            case "/":
                return Response.html(PAGE + self.items())
        return Response.redirect("/", 303)

    def items(self):
        items = self.ctx.storage.sql.exec("select * from todo order by done, id").all()
        left = sum(not item["done"] for item in items)
        return f"<ul>{''.join(map(row, items))}</ul><p>{left} to do, {len(items) - left} done</p>"


def row(item):
    mark, pressed = ("✓", "true") if item["done"] else ("○", "false")
    return ITEM.format(id=item["id"], mark=mark, pressed=pressed, text=escape(item["text"]))
