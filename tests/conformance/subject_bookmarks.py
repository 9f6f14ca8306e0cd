"""What the cases of bookmarks ask of an object: trusted code and, word for word, a guest."""

# mypy: ignore-errors
# ruff: noqa: ANN001, ANN002, ANN201
from perdure import DurableObject, FacetOptions


class Subject(DurableObject):
    def put(self, key, value):
        self.ctx.storage.kv.put(key, value)

    def read(self, key):
        return self.ctx.storage.kv.get(key)

    async def current(self):
        return await self.ctx.storage.get_current_bookmark()

    async def put_and_current(self, key, value):
        self.ctx.storage.kv.put(key, value)
        return await self.ctx.storage.get_current_bookmark()

    async def at(self, when_ms):
        return await self.ctx.storage.get_bookmark_for_time(when_ms)

    async def restore(self, bookmark):
        return await self.ctx.storage.on_next_session_restore_bookmark(bookmark)

    async def restart(self):
        self.ctx.abort("restarted")

    # Facets

    def facet(self, name):
        return self.ctx.facets.get(name, lambda: FacetOptions(cls=self.ctx.exports.Subject))

    async def of_facet(self, name, method, *arguments):
        return await getattr(self.facet(name), method)(*arguments)

    def names(self):
        return self.ctx.facets.list()

    def drop(self, name):
        self.ctx.facets.delete(name)

    async def rewind_facet(self, name, to):
        return await self.ctx.facets.rewind(name, to)
