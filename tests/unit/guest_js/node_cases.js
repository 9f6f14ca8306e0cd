// Modules of Node: each paragraph is source whose last expression has the value behind `//=>`, which Node's own has.

// ── buffer ──

Buffer.from('héllo').toString('base64') + Buffer.from('aGk', 'base64') + Buffer.from('ff00', 'hex').length
//=> "aMOpbGxvhi2"

Buffer.from('_-8', 'base64url').toString('hex') + Buffer.from([255, 239]).toString('base64url') //=> "ffef_-8"

Buffer.from('YW Jj\nZA==', 'base64').toString() //=> "abcd"

[Buffer.isEncoding('base64url'), Buffer.byteLength('YQ', 'base64url'), Buffer.byteLength('€')].join() //=> "true,1,3"

Buffer.from('abcdef').toString('utf8', 1, -1) + '|' + Buffer.from('abcdef').toString('latin1', 2, 4) //=> "|cd"

Buffer.from('\ufeffa').toString().length //=> 2

const b = Buffer.alloc(8); b.writeUInt32BE(0xdeadbeef, 0); b.writeDoubleLE; b.readUInt16BE(2).toString(16) //=> "beef"

Buffer.concat([Buffer.from('a'), new Uint8Array([98])]).equals(Buffer.from('ab')) //=> true

JSON.stringify(Buffer.from('a')) //=> "{\"type\":\"Buffer\",\"data\":[97]}"

const { Buffer: B, isUtf8, Blob: K } = await import('node:buffer');
[B === Buffer, isUtf8(new Uint8Array([255])), K === Blob, Buffer.from('a') instanceof Uint8Array].join()
//=> "true,false,true,true"

(await import('buffer')).Buffer === Buffer //=> true

// ── util ──

const { promisify, inspect, format, types, isDeepStrictEqual } = await import('node:util');
[await promisify((a, done) => done(null, a + 1))(1), inspect({ a: [1] }), format('%s=%d', 'x', 5), types.isDate(new Date())].join()
//=> "2,{ a: [ 1 ] },x=5,true"

const { isDeepStrictEqual: same } = await import('node:util'); const loop = { a: 1 }; loop.me = loop;
const other = { a: 1 }; other.me = other;
[same({ a: [1, { b: NaN }] }, { a: [1, { b: NaN }] }), same([1], ['1']), same(new Map([[{}, 1]]), new Map([[{}, 1]])),
same(new Set([1, 2]), new Set([2, 1])), same(loop, other), same([0], [-0]), same(Object.create(null), {})].join()
//=> "true,false,true,true,true,false,false"

const { inherits } = await import('node:util'); function Base() {} Base.prototype.x = 5; function Sub() {}
inherits(Sub, Base); [new Sub().x, Sub.super_ === Base].join() //=> "5,true"

// ── events ──

const { EventEmitter, once } = await import('node:events'); const e = new EventEmitter(); let s = '';
e.on('x', (v) => s += v); e.once('x', (v) => s += v); e.emit('x', 1); e.emit('x', 2);
const waiting = once(e, 'y'); e.emit('y', 3); s + (await waiting) + e.listenerCount('x') //=> "11231"

const Emitter = (await import('events')).default; class Mine extends Emitter {} let seen;
new Mine().on('error', (error) => { seen = error.message }).emit('error', new Error('told')); seen //=> "told"

// ── path, url, querystring ──

const path = await import('node:path');
[path.join('/a', '../b', 'c.txt'), path.extname('x.tar.gz'), path.default.basename('/a/b.js', '.js'), path.resolve('/a', 'b'),
path.relative('/a/b', '/a/c'), path.posix.sep].join() //=> "/b/c.txt,.gz,b,/a/b,../c,/"

const url = await import('node:url'); const parts = url.parse('https://u:p@a.b:8080/x/y?q=1&r=2#h', true);
[parts.host, parts.port, parts.auth, parts.pathname, parts.query.r, parts.hash, parts.path].join()
//=> "a.b:8080,8080,u:p,/x/y,2,#h,/x/y?q=1&r=2"

const url = await import('node:url');
[url.parse('/x?y#z').pathname, url.format({ protocol: 'http', host: 'a.b', pathname: '/c', query: { d: 1 } }),
url.resolve('http://a.b/c/d', '../e'), url.fileURLToPath('file:///a%20b'), url.pathToFileURL('/a b?').href].join()
//=> "/x,http://a.b/c?d=1,http://a.b/e,/a b,file:///a%20b%3F"

const qs = await import('node:querystring');
[JSON.stringify(qs.parse('a=1&a=2&b=%zz&c')), qs.stringify({ a: [1, 'x y'], b: true, c: null })].join()
//=> "{\"a\":[\"1\",\"2\"],\"b\":\"%zz\",\"c\":\"\"},a=1&a=x%20y&b=true&c="

const { StringDecoder } = await import('node:string_decoder'); const d = new StringDecoder('utf8');
const b = new StringDecoder('base64'); d.write(Buffer.from([0xe2, 0x82])) + d.write(Buffer.from([0xac])) + d.end() +
b.write(Buffer.from('ab')) + b.write(Buffer.from('cd')) + b.end() //=> "€YWJjZA=="

// ── crypto ──

const c = await import('node:crypto'); const { createHash, createHmac } = c;
[createHash('md5').update('abc').digest('hex'), createHash('sha1').update('a').update('bc').digest('base64'),
createHmac('sha256', 'key').update('m').digest('hex').slice(0, 8), createHash('SHA-512').update('').digest().length].join()
//=> "900150983cd24fb0d6963f7d28e17f72,qZk+NkcGgWq6PiVxeFDCbJzQ2J0=,782906cf,64"

const c = await import('crypto'); const { timingSafeEqual, randomBytes, randomInt, randomUUID } = c;
[timingSafeEqual(Buffer.from('a'), Buffer.from('a')), randomBytes(100_000).length, randomUUID().length,
Array.from({ length: 200 }, () => randomInt(3, 6)).every((n) => n >= 3 && n < 6), c.webcrypto === crypto].join()
//=> "true,100000,36,true,true"

const { createHash } = await import('node:crypto'); const h = createHash('sha256'); h.update('a'); const copy = h.copy();
h.digest(); let again; try { h.digest() } catch (e) { again = e.message } again + copy.update('b').digest('hex').slice(0, 8)
//=> "Digest already calledfb8e20fc"

// ── assert ──

const assert = (await import('node:assert')).default; const failed = (run) => { try { run(); return 'no' } catch (e) { return e.code } };
[failed(() => assert(0)), failed(() => assert.equal(1, '1')), failed(() => assert.strictEqual(1, '1')),
failed(() => assert.deepStrictEqual({ a: [1] }, { a: [1] })), failed(() => assert.throws(() => { throw new RangeError('x') }, RangeError)),
failed(() => assert.throws(() => {})), failed(() => assert.match('abc', /z/)), failed(() => assert.strict.equal(1, '1'))].join()
//=> "ERR_ASSERTION,no,ERR_ASSERTION,no,no,ERR_ASSERTION,ERR_ASSERTION,ERR_ASSERTION"

const assert = await import('node:assert/strict');
await assert.rejects(Promise.reject(new Error('gone')), /gone/);
await assert.rejects(async () => { throw new TypeError('x') }, { name: 'TypeError', message: 'x' });
try { assert.default.equal(1, 2) } catch (e) { e.name + ': ' + e.message } //=> "AssertionError: Expected 1 === 2"

// ── process, timers, module ──

[Object.keys(process.env).length, process.argv.length, typeof process.versions.node, process.cwd(), global === globalThis].join()
//=> "0,0,undefined,/,true"

let s = ''; await new Promise((done) => { setTimeout(() => { s += 't'; done() }); process.nextTick((v) => s += v, 'n') }); s //=> "nt"

const { setTimeout: wait } = await import('node:timers/promises'); await wait(5, 'late') //=> "late"

const { createRequire, builtinModules } = await import('node:module'); const require = createRequire('file:///x.js');
[require('node:path').join('a', 'b'), require('util') === (await import('node:util')).default,
process.getBuiltinModule('fs') === undefined].join() //=> "a/b,true,true"

(await import('node:stream/web')).ReadableStream === ReadableStream //=> true
