"""Keeps templates, and renders them with what is posted."""

from engine import FILTERS, Template, TemplateError, filter_function
from workers import DurableObject, Response


@filter_function
def initials(value):
    return "".join(word[0] for word in value.split())


class App(DurableObject):
    cache: dict[str, Template] = {}

    async def fetch(self, request):
        name = request.path.strip("/")
        kv = self.ctx.storage.kv
        match request.method:
            case "GET" if not name:
                return Response.json({"templates": [key for key, _ in kv.list()], "filters": sorted(FILTERS)})
            case "PUT":
                source = await request.text()
                try:
                    self.cache[name] = Template(source)
                except TemplateError as error:
                    return Response.json({"error": str(error), "line": error.line}, status=422)
                kv.put(name, source)
                return Response(None, status=204)
            case "POST":
                template = self.cache.get(name)
                if template is None:
                    if (source := kv.get(name)) is None:
                        return Response(f"no template {name}", status=404)
                    template = self.cache[name] = Template(source)
                try:
                    return Response.html(template.render(**await request.json()))
                except TemplateError as error:
                    return Response(str(error), status=400)
        return Response("method not allowed", status=405)
