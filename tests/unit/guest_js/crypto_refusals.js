// Promises that fail: the error's name and message contain what stands behind `//=>`.

subtle.digest('MD5', raw) //=> "NotSupportedError: `MD5` is no algorithm for hashing here: use SHA-1, SHA-256"

subtle.digest('SHA-256', 'text') //=> "TypeError: the data must be an ArrayBuffer or a view of one"

subtle.digest('SHA-256') //=> "TypeError: the data must be"

subtle.generateKey({ name: 'AES-GCM', length: 100 }, true, ['encrypt'])
//=> "OperationError: the `length` of an AES key"

subtle.generateKey({ name: 'ECDSA', namedCurve: 'K-1' }, true, ['sign']) //=> "NotSupportedError: `K-1` is no curve"

subtle.generateKey({ name: 'RSA-PSS', modulusLength: 99999, publicExponent: new Uint8Array([1, 0, 1]),
hash: 'SHA-256' }, true, ['sign']) //=> "OperationError: the `modulusLength` of RSA"

subtle.generateKey('Ed25519', true, []) //=> "SyntaxError: a pair of keys of Ed25519 needs a usage"

key('AES-GCM', 'read') //=> "TypeError: `read` is no usage of a key"

key('AES-GCM', 'encrypt', 'raw', seven(5)) //=> "DataError: a key of AES has 16, 24 or 32 bytes, not 5"

key('AES-GCM', 'encrypt', 'spki') //=> "NotSupportedError: a key of AES-GCM cannot be imported from `spki`"

key({ name: 'ECDSA', namedCurve: 'P-256' }, 'verify', 'raw', seven(65)) //=> "DataError: the key is no point of P-256"

key({ name: 'ECDSA', namedCurve: 'P-256' }, 'sign', 'pkcs8', seven(40)) //=> "DataError: the key is not in the format"

key({ name: 'ECDSA', namedCurve: 'P-256' }, 'sign', 'pkcs8', new Uint8Array([0x30, 0x84, 255, 255, 255, 255]))
//=> "DataError"

key('Ed25519', 'verify', 'jwk', { kty: 'OKP', crv: 'X', x: 'AA' }) //=> "DataError: the key's curve is `X`, not Ed25519"

key('Ed25519', 'verify', 'jwk', { kty: 'OKP', crv: 'Ed25519', x: '?' }) //=> "DataError: the key's `x` is not base64url"

subtle.exportKey('raw', await subtle.importKey('raw', raw, 'AES-GCM', false, ['encrypt'])) //=> "InvalidAccessError"

subtle.encrypt({ name: 'AES-GCM', iv: seven(12) }, await key('AES-GCM', 'decrypt'), raw)
//=> "InvalidAccessError: the key may not be used to encrypt"

subtle.encrypt({ name: 'AES-CBC', iv: seven(16) }, await key('AES-GCM', 'encrypt'), raw)
//=> "InvalidAccessError: the key is one of AES-GCM, not of AES-CBC"

subtle.encrypt({ name: 'AES-GCM', iv: seven(0) }, await key('AES-GCM', 'encrypt'), raw) //=> "OperationError: the `iv`"

subtle.decrypt({ name: 'AES-GCM', iv: seven(12) }, await key('AES-GCM', 'decrypt'), seven(40))
//=> "OperationError: the decryption failed"

subtle.sign('HMAC', {}, raw) //=> "TypeError: the key is not a CryptoKey"

subtle.deriveBits({ name: 'PBKDF2', hash: 'SHA-256', salt: raw, iterations: 0 },
await key('PBKDF2', 'deriveBits'), 8) //=> "OperationError: PBKDF2 needs `iterations`"
