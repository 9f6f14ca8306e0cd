"""A counter."""

from workers import DurableObject, Response

PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Counter</title>
<link rel="icon" href="data:,">
<style>
  :root { color-scheme: light dark; font: 1rem/1.5 system-ui, sans-serif }
  body { min-height: 90vh; margin: 0; display: grid; place-content: center; text-align: center }
  output { font-size: 7rem; font-weight: 200; line-height: 1.2; font-variant-numeric: tabular-nums }
  button { font: inherit; font-size: 1.25rem; min-width: 3rem; margin: 0 .25rem; padding: .5rem 1rem; cursor: pointer;
           border: 1px solid #8886; border-radius: .75rem; background: #8881; color: inherit }
  button:hover { background: #8883 }
  p { color: #888 }
</style>
<output>%d</output>
<form method="post">
  <button name="step" value="-1" aria-label="one less">−</button>
  <button name="step" value="1" aria-label="one more" autofocus>+</button>
</form>
<p>The number is in this app's own database.</p>
"""


class App(DurableObject):
    async def fetch(self, request):
        kv = self.ctx.storage.kv
        count = kv.get("count", 0)
        if request.method == "POST":
            step = (await request.form()).get("step")
            kv.put("count", count + (-1 if step == "-1" else 1))
            return Response.redirect("/", 303)
        return Response.html(PAGE % count)
