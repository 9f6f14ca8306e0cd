import { DurableObject } from "cloudflare:workers";

export class Subject extends DurableObject {
  put(key, value) {
    this.ctx.storage.kv.put(key, value);
  }

  read(key) {
    return this.ctx.storage.kv.get(key) ?? null;
  }

  async current() {
    return await this.ctx.storage.getCurrentBookmark();
  }

  async putAndCurrent(key, value) {
    this.ctx.storage.kv.put(key, value);
    return await this.ctx.storage.getCurrentBookmark();
  }

  async at(when) {
    return await this.ctx.storage.getBookmarkForTime(when);
  }

  async restore(bookmark) {
    return await this.ctx.storage.onNextSessionRestoreBookmark(bookmark);
  }

  async restart() {
    this.ctx.abort("restarted");
  }

  // Facets

  facet(name) {
    return this.ctx.facets.get(name, () => ({ class: this.ctx.exports.Subject }));
  }

  async ofFacet(name, method, ...args) {
    return await this.facet(name)[method](...args);
  }

  names() {
    return this.ctx.facets.list();
  }

  drop(name) {
    this.ctx.facets.delete(name);
  }

  async rewindFacet(name, to) {
    return await this.ctx.facets.rewind(name, to);
  }
}
