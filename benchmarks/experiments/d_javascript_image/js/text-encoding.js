globalThis.window = globalThis; // fast-text-encoding looks for a browser
await import("fast-text-encoding");
delete globalThis.window;
