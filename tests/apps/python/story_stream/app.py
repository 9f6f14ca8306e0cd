"""Tells a story word by word, as server-sent events."""

import asyncio
import json

from workers import DurableObject, Response

PAGE = """<!doctype html>
<title>Story teller</title>
<button id="tell">Tell me a story</button>
<p id="story"></p>
<script>
  tell.onclick = () => {
    story.textContent = "";
    const source = new EventSource("/stories/default");
    source.onmessage = (event) => { story.textContent += JSON.parse(event.data).word + " "; };
    source.addEventListener("end", () => source.close());
  };
</script>
"""


class App(DurableObject):
    async def fetch(self, request):
        if request.path == "/":
            return Response.html(PAGE)
        if request.path == "/stats":
            counts = {key.removeprefix("told:"): count for key, count in self.ctx.storage.kv.list(prefix="told:")}
            return Response.json(counts)
        if not request.path.startswith("/stories/"):
            return Response("Not found", status=404)

        name = request.path.removeprefix("/stories/")
        if request.method == "PUT":
            text = await request.text()
            if not text.strip():
                return Response("A story needs words", status=400)
            self.ctx.storage.kv.put(f"story:{name}", text)
            return Response.json({"words": len(text.split())}, status=201)

        text = self.ctx.storage.kv.get(f"story:{name}")
        if text is None:
            return Response("There is no such story", status=404)
        try:
            start = int(request.headers.get("last-event-id", "0"))
        except ValueError:
            return Response("Last-Event-ID must be a number", status=400)
        headers = {"content-type": "text/event-stream", "cache-control": "no-store"}
        return Response(self.tell(name, text.split(), start), headers=headers)

    async def tell(self, name, words, start):
        yield "retry: 1000\n\n"
        for number, word in enumerate(words[start:], start + 1):
            await asyncio.sleep(0.02)
            yield f"id: {number}\ndata: {json.dumps({'word': word})}\n\n"
        kv = self.ctx.storage.kv
        kv.put(f"told:{name}", kv.get(f"told:{name}", 0) + 1)
        yield f"event: end\ndata: {len(words)}\n\n"
