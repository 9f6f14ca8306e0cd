// What the C extensions made global and we wrap. It is taken away before libraries look for it: they would take it for
// complete.
export const NativeTextDecoder = globalThis.TextDecoder;

delete globalThis.TextDecoder;
