"""Bodies under way: answers and requests that stream, pass through, fail, end early."""

# mypy: ignore-errors
# ruff: noqa: ANN001, ANN201, ANN202

import asyncio

from perdure import DurableObject, Response


class Subject(DurableObject):
    async def fetch(self, request):
        return await getattr(self, request.path.strip("/"))(request)

    def other(self, request):
        return self.ctx.exports.Subject.get_by_name(request.query["to"])

    # ── answers ──

    async def count(self, request):
        async def body():
            for number in range(int(request.query["n"])):
                self.ctx.storage.kv.put("given", number + 1)
                yield f"{number};"

        return Response(body(), headers={"content-type": "text/event-stream"})

    async def ticks(self, request):
        async def body():
            try:
                number = 0
                while True:
                    number += 1
                    self.ctx.storage.kv.put("given", number)
                    yield f"{number};"
                    await asyncio.sleep(float(request.query["seconds"]))
            finally:
                self.ctx.storage.kv.put("closed", True)

        return Response(body())

    async def failing(self, request):
        async def body():
            self.ctx.storage.kv.put("given", 1)
            yield "a"
            raise ValueError("torn")

        return Response(body())

    async def aborting(self, request):
        async def body():
            yield "a"
            self.ctx.abort("enough")

        return Response(body())

    async def large(self, request):
        async def body():
            yield bytes(range(256)) * 1024
            yield "é" * 100_000

        return Response(body())

    async def wrong(self, request):
        async def body():
            yield {"no": "bytes"}

        return Response(body())

    # ── requests ──

    async def upload(self, request):
        size = chunks = 0
        async for chunk in request.stream():
            size += len(chunk)
            chunks += 1
        return Response.json({"size": size, "chunks": chunks})

    async def text(self, request):
        return Response(await request.text())

    async def ignore(self, request):
        return Response("ignored")

    async def shout(self, request):
        async def body():
            async for chunk in request.stream():
                yield chunk.upper()

        return Response(body())

    # ── through another object ──

    async def forward(self, request):
        return await self.other(request).fetch(request.query["url"])

    async def proxy(self, request):
        return await self.other(request).fetch(f"http://it/{request.query['path']}", method="POST", body=request.body)

    async def wrap(self, request):
        response = await self.other(request).fetch(request.query["url"])

        async def body():
            async for chunk in response.stream():
                yield b"<" + chunk + b">"

        return Response(body())

    async def read(self, request):
        return Response(await (await self.other(request).fetch(request.query["url"])).text())

    async def send(self, request):
        async def body():
            for number in range(3):
                self.ctx.storage.kv.put("given", number + 1)
                yield f"{number};"
                await asyncio.sleep(0.01)

        return await self.other(request).fetch("http://it/text", method="POST", body=body())

    async def send_inside(self, request):
        """A request that streams, sent in a critical section."""
        return Response(await self.ctx.block_concurrency_while(lambda: self.sent_text(request)))

    async def sent_text(self, request):
        return await (await self.send(request)).text()

    async def keep(self, request):
        self.kept = await self.other(request).fetch(request.query["url"])
        return Response("kept")

    async def drop(self, request):
        self.kept = None
        return Response("dropped")

    async def twice(self, request):
        response = await self.other(request).fetch(request.query["url"])
        first = await response.body.read()
        try:
            return Response(response.body)
        except TypeError as error:
            await response.body.cancel()
            return Response(f"{first.decode()} {error}")

    def get(self, key):
        return self.ctx.storage.kv.get(key)
