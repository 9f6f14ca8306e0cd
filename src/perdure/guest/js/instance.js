// The object that lives in this guest, if it is one.

/** The instance; undefined while it is being constructed, and in a stateless worker. */
export let instance;

/** It has been constructed. */
export function setInstance(constructed) {
  instance = constructed;
}

// Handlers of the platform's own events: the method's name, and what the host calls it.
const HANDLERS = { alarm: "alarm", startFacet: "start_facet" };

/** Which of them the instance has, in the host's words. */
export function handlersOfInstance() {
  return Object.keys(HANDLERS).filter((method) => typeof instance[method] === "function").map((method) => HANDLERS[method]);
}
