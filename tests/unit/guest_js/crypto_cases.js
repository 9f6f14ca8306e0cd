// Keys that a guest makes: the last expression has the value behind `//=>`.

const pair = await subtle.generateKey({ name: 'Ed25519' }, false, ['sign', 'verify']);
const mark = await subtle.sign('Ed25519', pair.privateKey, message); [await subtle.verify('Ed25519',
pair.publicKey, mark, message), pair.publicKey.extractable, pair.privateKey.usages].join() //=> "true,true,sign"

const [a, b] = await Promise.all([1, 2].map(() => subtle.generateKey({ name: 'ECDH', namedCurve: 'P-256' },
true, ['deriveBits']))); const bits = (mine, other) => subtle.deriveBits({ name: 'ECDH',
public: other.publicKey }, mine.privateKey, 256); b64(await bits(a, b)) === b64(await bits(b, a)) //=> true

const [a, b] = await Promise.all([1, 2].map(() => subtle.generateKey('X25519', true, ['deriveKey'])));
const aes = (mine, other) => subtle.deriveKey({ name: 'X25519', public: other.publicKey }, mine.privateKey, {
name: 'AES-GCM', length: 256 }, true, ['encrypt']).then((key) => subtle.exportKey('raw', key)).then(b64);
await aes(a, b) === await aes(b, a) //=> true

const aes = await subtle.generateKey({ name: 'AES-GCM', length: 256 }, false, ['wrapKey', 'unwrapKey']);
const hmac = await key({ name: 'HMAC', hash: 'SHA-256' }, ['sign', 'verify']); const how = { name: 'AES-GCM',
iv: seven(12) }; const wrapped = await subtle.wrapKey('jwk', hmac, aes, how);
const again = await subtle.unwrapKey('jwk', wrapped, aes, how, { name: 'HMAC', hash: 'SHA-256' },
true, ['verify']); await subtle.verify('HMAC', again, await subtle.sign('HMAC', hmac, message), message) //=> true

const { algorithm, type, usages, extractable } = await subtle.generateKey({ name: 'hmac', hash: 'sha-384' },
true, ['verify', 'sign']); JSON.stringify({ algorithm, type, usages, extractable })
//=> "{\"algorithm\":{\"name\":\"HMAC\",\"hash\":{\"name\":\"SHA-384\"},\"length\":1024},\"type\":\"secret\",\"usages\":[\"sign\",\"verify\"],\"extractable\":true}"

[subtle.timingSafeEqual(raw, raw.slice()), subtle.timingSafeEqual(raw, seven(16))].join() //=> "true,false"

await subtle.digest('SHA-256', message); await subtle.digest('SHA-256', new DataView(raw.buffer));
typeof crypto.randomUUID() //=> "string"
