"""The platform of `examples/facets`, in Python: applications are loaded at run time, each into a facet of an object."""

from hashlib import sha256

from perdure import DurableObject, FacetOptions, WorkerCode, WorkerEntrypoint

# In the real world an AI writes this, or a person.
AGENT_CODE = """
from perdure import DurableObject, Response

# Simple app that remembers how many times it has been invoked
# and returns it.
class App(DurableObject):
    def fetch(self, request):
        counter = self.ctx.storage.kv.get("counter", 0) + 1
        self.ctx.storage.kv.put("counter", counter)
        return Response(f"You've made {counter} requests.\\n")
"""


class AppRunner(DurableObject):
    """Loads one application, and delivers requests to it."""

    async def fetch(self, request):
        # The app runs as a child of this object, with a database of its own.
        return await self.ctx.facets.get("app", self.start).fetch(request)

    def start(self):
        """Called when the app is not running: says what code it is."""
        return FacetOptions(cls=self.load().get_durable_object_class("App"))

    def set_code(self, code):
        """Called by whoever brings a new version. Each code has an id of its own: the same code, the same id."""
        self.ctx.storage.kv.put("code_id", sha256(code.encode()).hexdigest())
        self.ctx.storage.kv.put("code", code)

    def load(self):
        """The app's code, loaded from our own storage when it is not in memory."""
        kv = self.ctx.storage.kv
        return self.env.LOADER.get(kv.get("code_id"), lambda: WorkerCode.python(kv.get("code")))


class Default(WorkerEntrypoint):
    """A simple HTTP handler that uses AppRunner."""

    async def fetch(self, request):
        app = self.ctx.exports.AppRunner.get_by_name("my-app")
        await app.set_code(AGENT_CODE)  # In a real use case: once, not for every request.
        return await app.fetch(request)
