// Whether two values are equal all the way down, as Node's assert and util have it.

const { keys, getPrototypeOf, prototype } = Object;
const tagOf = (value) => prototype.toString.call(value);

/** `strict` compares as `===` does and looks at prototypes; otherwise numbers and their texts are equal. */
export function isDeepEqual(one, other, strict = true, met = new Map()) {
  if (strict ? Object.is(one, other) : one == other || (one !== one && other !== other)) return true;
  if (typeof one !== "object" || typeof other !== "object" || one === null || other === null) return false;
  if (tagOf(one) !== tagOf(other) || (strict && getPrototypeOf(one) !== getPrototypeOf(other))) return false;
  if (met.get(one) === other) return true; // Inside of itself: equal if the rest is.
  met.set(one, other);
  const isSame = haveEqualContents(one, other, strict, met);
  met.delete(one);
  return isSame;
}

function haveEqualContents(one, other, strict, met) {
  if (one instanceof Date) return one.getTime() === other.getTime();
  if (one instanceof RegExp) return String(one) === String(other);
  if (one instanceof Error && (one.message !== other.message || one.name !== other.name)) return false;
  if (one instanceof ArrayBuffer) return areEqualBytes(new Uint8Array(one), new Uint8Array(other));
  if (ArrayBuffer.isView(one) && !areEqualBytes(bytesOf(one), bytesOf(other))) return false;
  if (one instanceof Map) return one.size === other.size && [...one].every(([key, value]) => hasPair(other, key, value, strict, met));
  if (one instanceof Set) return one.size === other.size && [...one].every((item) => hasItem(other, item, strict, met));
  if ([Number, String, Boolean, BigInt].some((Box) => one instanceof Box) && one.valueOf() !== other.valueOf()) return false;
  if (ArrayBuffer.isView(one)) return true;
  const names = keys(one);
  if (Array.isArray(one) && one.length !== other.length) return false;
  return names.length === keys(other).length && names.every((name) => Object.hasOwn(other, name) && isDeepEqual(one[name], other[name], strict, met));
}

const bytesOf = (view) => new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
const areEqualBytes = (one, other) => one.length === other.length && one.every((byte, index) => byte === other[index]);

function hasPair(map, key, value, strict, met) {
  if (map.has(key)) return isDeepEqual(value, map.get(key), strict, met);
  return [...map].some((pair) => isDeepEqual(key, pair[0], strict, met) && isDeepEqual(value, pair[1], strict, met));
}

const hasItem = (set, item, strict, met) => set.has(item) || [...set].some((each) => isDeepEqual(item, each, strict, met));
