// Values as text for people, in the manner of Node's `util.inspect`.

const DEPTH_MAX = 4;
const ITEMS_MAX = 100;
const STRING_CHARACTERS_MAX = 10_000;
const LINE_CHARACTERS_MAX = 76;
const IDENTIFIER = /^[A-Za-z_$][\w$]*$/;

/** What is shown by its name alone, as looking into it would be a call: object → name. */
export const shownAs = new WeakMap();

/** `value` as text, its errors as `showError` has them. Never throws. */
export function show(value, showError) {
  try {
    return showValue(value, { depth: 0, seen: [], showError });
  } catch (error) {
    return `[cannot be shown: ${String(error?.message ?? "it throws")}]`;
  }
}

function showValue(value, state) {
  switch (typeof value) {
    case "string":
      return quote(value);
    case "bigint":
      return `${value}n`;
    case "number":
      return Object.is(value, -0) ? "-0" : String(value);
    case "function":
      return shownAs.has(value) ? `[${shownAs.get(value)}]` : showFunction(value);
    case "object":
      return value === null ? "null" : showObject(value, state);
    default:
      return String(value);
  }
}

function quote(text) {
  const cut = text.length > STRING_CHARACTERS_MAX ? text.slice(0, STRING_CHARACTERS_MAX) : text;
  const mark = !cut.includes("'") ? "'" : !cut.includes('"') ? '"' : !cut.includes("`") ? "`" : "'";
  const inner = JSON.stringify(cut).slice(1, -1).replaceAll('\\"', '"');
  const quoted = mark + (mark === "'" ? inner.replaceAll("'", "\\'") : inner) + mark;
  return cut.length < text.length ? `${quoted}... ${text.length - cut.length} more characters` : quoted;
}

function showFunction(value) {
  const isClass = Object.getOwnPropertyDescriptor(value, "prototype")?.writable === false;
  const parent = Object.getPrototypeOf(value)?.name;
  if (isClass) return `[class ${value.name || "(anonymous)"}${parent ? ` extends ${parent}` : ""}]`;
  return value.name ? `[Function: ${value.name}]` : "[Function (anonymous)]";
}

function showObject(value, { depth, seen, showError }) {
  if (seen.includes(value)) return "[Circular]";
  const leaf = showLeaf(value, showError);
  if (leaf !== undefined) return leaf;
  if (depth > DEPTH_MAX) return Array.isArray(value) ? "[Array]" : `[${nameOf(value) || "Object"}]`;
  return showParts(value, { depth: depth + 1, seen: [...seen, value], showError });
}

function showLeaf(value, showError) {
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? "Invalid Date" : value.toISOString();
  if (value instanceof RegExp) return String(value);
  if (value instanceof Error) return showError(value);
  if (value instanceof Promise) return "Promise { ... }";
  if (value instanceof WeakMap || value instanceof WeakSet || value instanceof WeakRef) return `${nameOf(value)} { <items unknown> }`;
  if (value instanceof URL) return `URL { ${quote(value.href)} }`;
  return undefined;
}

function showParts(value, state) {
  const name = nameOf(value);
  if (Array.isArray(value)) return bracket("", "[", [...listed(value, state), ...ownProperties(value, state, true)], "]");
  if (ArrayBuffer.isView(value) && !(value instanceof DataView)) {
    return bracket(`${name}(${value.length}) `, "[", listed(value, state), "]");
  }
  if (value instanceof ArrayBuffer) return `ArrayBuffer { byteLength: ${value.byteLength} }`;
  if (value instanceof Map) {
    const pairs = limited([...value], ([key, item]) => `${showValue(key, state)} => ${showValue(item, state)}`);
    return bracket(`Map(${value.size}) `, "{", pairs, "}");
  }
  if (value instanceof Set) return bracket(`Set(${value.size}) `, "{", limited([...value], (item) => showValue(item, state)), "}");
  const entries = typeof value.entries === "function" && typeof value.append === "function" ? [...value.entries()] : undefined;
  const parts = entries?.map(([key, item]) => `${showKey(key)}: ${showValue(item, state)}`) ?? ownProperties(value, state, false);
  const prefix = name === undefined ? "[Object: null prototype] " : name === "Object" ? "" : `${name} `;
  return bracket(prefix, "{", parts, "}");
}

const listed = (array, state) => limited(array, (item) => showValue(item, state));

function limited(items, showItem) {
  const shown = Array.from(items.slice(0, ITEMS_MAX), showItem);
  if (items.length > ITEMS_MAX) shown.push(`... ${items.length - ITEMS_MAX} more items`);
  return shown;
}

function ownProperties(value, state, isArray) {
  const parts = [];
  for (const key of Reflect.ownKeys(value)) {
    if (isArray && typeof key === "string" && /^(\d+|length)$/.test(key)) continue;
    const { enumerable, get, set, value: item } = Object.getOwnPropertyDescriptor(value, key) ?? {};
    if (!enumerable) continue;
    const accessor = get && set ? "[Getter/Setter]" : get ? "[Getter]" : set ? "[Setter]" : undefined;
    parts.push(`${showKey(key)}: ${accessor ?? showValue(item, state)}`);
    if (parts.length >= ITEMS_MAX) break;
  }
  return parts;
}

function showKey(key) {
  if (typeof key === "symbol") return `[${String(key)}]`;
  return IDENTIFIER.test(key) ? key : quote(key);
}

/** The name of a value's class; undefined when it has none at all. */
function nameOf(value) {
  for (let each = value; each !== null; each = Object.getPrototypeOf(each)) {
    const descriptor = Object.getOwnPropertyDescriptor(each, "constructor");
    if (typeof descriptor?.value === "function" && descriptor.value.name !== "") return descriptor.value.name;
  }
  return undefined;
}

function bracket(prefix, open, parts, close) {
  if (parts.length === 0) return `${prefix}${open}${close}`;
  const line = parts.join(", ");
  if (prefix.length + line.length + 4 <= LINE_CHARACTERS_MAX && !line.includes("\n")) {
    return open === "[" ? `${prefix}[ ${line} ]` : `${prefix}{ ${line} }`;
  }
  return `${prefix}${open}\n  ${parts.join(",\n").replaceAll("\n", "\n  ")}\n${close}`;
}
