// Tests of ../worker/fs.js, in Node.js: fs_test.go runs them.
'use strict';
const assert = require('node:assert');
require('../worker/fs.js');
const { Files, Memory, resolve } = globalThis.bitnetFiles;
const encode = (s) => new TextEncoder().encode(s);

// on calls a function of the object that Go uses, and gives its result as a promise.
const on = (fs) => new Proxy({}, {
	get: (_, name) => (...args) => new Promise((done, fail) => fs[name](...args, (e, v) => (e ? fail(e) : done(v)))),
});

const copyOf = (store) => {
	const c = new Memory(store.limit);
	for (const [name, f] of store.files) c.files.set(name, { bytes: f.bytes.slice(), size: f.size });
	return c;
};

async function write(go, path, text, flags) {
	const fd = await go.open(path, flags ?? 0o1101, 0o644);
	const bytes = encode(text);
	assert.equal(await go.write(fd, bytes, 0, bytes.length, null), bytes.length);
	await go.fsync(fd);
	await go.close(fd);
}

async function read(go, path) {
	const fd = await go.open(path, 0, 0);
	const buffer = new Uint8Array(1 << 16);
	const n = await go.read(fd, buffer, 0, buffer.length, null);
	await go.close(fd);
	return new TextDecoder().decode(buffer.subarray(0, n));
}

const code = (promise) => promise.then(() => 'none', (e) => e.code);

async function tree(files, go) {
	const out = {};
	const all = [];
	files.walk((path, node) => all.push([path, node]));
	for (const [path, node] of all) out[path] = node.entries ? null : await read(go, path);
	return out;
}

async function rules() {
	const files = await Files.mount(new Memory());
	const go = on(files.object());
	await go.mkdir('/a', 0o755);
	await write(go, '/a/x', 'one');
	await write(go, '/a/x', ' two', 0o2001); // append
	assert.equal(await read(go, '/a/x'), 'one two');
	await write(go, '/a/x', 'three'); // truncates
	assert.equal(await read(go, 'a/../a/./x'), 'three');
	assert.equal(await code(go.open('/a/x', 0o301, 0)), 'EEXIST');
	assert.equal(await code(go.open('/a/y', 0, 0)), 'ENOENT');
	assert.equal(await code(go.open('/a', 1, 0)), 'EISDIR');
	assert.equal(await code(go.open('/a/x/z', 0, 0)), 'ENOTDIR');
	assert.equal(await code(go.mkdir('/a', 0)), 'EEXIST');
	assert.equal(await code(go.rmdir('/a')), 'ENOTEMPTY');
	assert.equal(await code(go.unlink('/a')), 'EISDIR');
	assert.equal(await code(go.rename('/a', '/a/b')), 'EINVAL');
	assert.equal(await code(go.readlink('/a/x')), 'EINVAL');
	assert.equal(await code(go.symlink('/a/x', '/s')), 'ENOSYS');
	assert.equal(await code(go.close(77)), 'EBADF');
	await go.mkdir('/b', 0o755);
	await go.rename('/a', '/b/c'); // a folder with what is in it
	assert.equal(await read(go, '/b/c/x'), 'three');
	await write(go, '/b/y', 'old');
	const fd = await go.open('/b/y', 0, 0); // stays readable after it was replaced
	await go.rename('/b/c/x', '/b/y');
	const old = new Uint8Array(3);
	assert.equal(await go.read(fd, old, 0, 3, 0), 3);
	assert.equal(new TextDecoder().decode(old), 'old');
	await go.close(fd);
	assert.equal(await read(go, '/b/y'), 'three');
	assert.deepEqual(await go.readdir('/b'), ['c', 'y']);
	assert.equal((await go.stat('/b')).isDirectory(), true);
	const stat = await go.stat('/b/y');
	assert.equal(stat.size, 5);
	await go.truncate('/b/y', 2);
	assert.equal(await read(go, '/b/y'), 'th');
	await go.utimes('/b/y', 1, 1000);
	assert.equal((await go.stat('/b/y')).mtimeMs, 1e6);
	const wo = await go.open('/b/w', 0o101, 0);
	assert.equal(await code(go.read(wo, old, 0, 1, null)), 'EBADF');
	const bytes = encode('123456');
	await go.write(wo, bytes, 0, 6, null);
	await go.write(wo, encode('xx'), 0, 2, 1);
	await go.ftruncate(wo, 4);
	await go.close(wo);
	assert.equal(await read(go, '/b/w'), '1xx4');
	const again = await Files.mount(copyOf(files.store));
	assert.deepEqual(await tree(again, on(again.object())), { '/b': null, '/b/c': null, '/b/w': '1xx4', '/b/y': 'th' });
	assert.equal(resolve('/a', '../b', 'c'), '/b/c');
	await files.removeAll('/b');
	assert.deepEqual((await files.store.names()).filter((n) => n.startsWith('i')), []);
}

// crashes ends the worker between any two changes, and in the middle of the line
// of the last one: what is mounted then is what was there before or after it.
async function crashes() {
	let seed = 7;
	const random = (n) => ((seed = (seed * 1103515245 + 12345) & 0x7fffffff) >> 8) % n;
	const files = await Files.mount(new Memory());
	files.compactAt = 3000; // so that the journal is written anew in between
	const go = on(files.object());
	const names = ['/p', '/q', '/p/r', '/p/s', '/q/t', '/q/r'];
	const pick = () => names[random(names.length)];
	let before = await tree(files, go);
	for (let i = 0; i < 400; i++) {
		const [a, b] = [pick(), pick()];
		const { end, generation } = files.journal;
		await [() => go.mkdir(a, 0o755), () => write(go, a, 'text ' + i), () => go.rename(a, b), () => go.unlink(a), () => go.rmdir(a)][random(5)]().catch(() => {});
		const after = await tree(files, go);
		const whole = await Files.mount(copyOf(files.store));
		assert.deepEqual(await tree(whole, on(whole.object())), after, 'change ' + i);
		const changed = files.journal.end !== end && files.journal.generation === generation;
		if (!changed) { // nothing was written, or all of it anew
			before = after;
			continue;
		}
		const torn = copyOf(files.store);
		const journal = torn.files.get('journal' + files.journal.at);
		const cut = 1 + random(20);
		journal.bytes.fill(0, files.journal.end - cut, files.journal.end);
		const half = await Files.mount(torn);
		const names_ = (t) => Object.keys(t).sort().join(' ');
		const got = names_(await tree(half, on(half.object())));
		assert.ok([names_(before), names_(after)].includes(got), `change ${i}: ${got} is neither ${names_(before)} nor ${names_(after)}`);
		before = after;
		files.compactAt = 3000;
	}
	// Without a list of files, nothing is removed.
	const damaged = copyOf(files.store);
	await write(on((await Files.mount(damaged)).object()), '/keep', 'this');
	for (const name of ['journal0', 'journal1']) damaged.files.get(name).bytes.fill(120);
	const there = (await damaged.names()).length;
	assert.equal(await code(Files.mount(damaged)), 'EIO');
	assert.equal((await damaged.names()).length, there);
}

// full fills the store: what does not fit fails with ENOSPC and changes nothing,
// and what is there can be removed.
async function full() {
	const files = await Files.mount(new Memory(300 << 10));
	const go = on(files.object());
	await write(go, '/small', 'kept');
	assert.equal(await code(write(go, '/large', 'x'.repeat(400 << 10))), 'ENOSPC');
	assert.equal(await read(go, '/small'), 'kept');
	assert.equal((await go.stat('/large')).size, 0);
	let made = 0;
	let failed = 'none';
	while (failed === 'none') failed = await code(go.mkdir('/folder' + 'y'.repeat(200) + made++, 0));
	assert.equal(failed, 'ENOSPC');
	const again = await Files.mount(copyOf(files.store));
	const go2 = on(again.object());
	assert.equal(await read(go2, '/small'), 'kept');
	assert.equal(await code(go2.unlink('/large')), 'none');
	assert.equal((await go2.readdir('/')).filter((n) => n.startsWith('folder')).length, made - 1);
}

// ending mounts the files of a worker that is being ended and frees them one by one.
async function ending() {
	const store = new Memory();
	await write(on((await Files.mount(store)).object()), '/a', 'kept');
	const held = new Set(['journal1', 'i1']);
	const open = store.open.bind(store);
	store.open = async (name) => {
		if (held.has(name)) throw Object.assign(new Error('held'), { name: 'NoModificationAllowedError' });
		held.add(name);
		return { ...await open(name), close: () => held.delete(name) };
	};
	await assert.rejects(Files.mount(store), { name: 'NoModificationAllowedError' });
	assert.deepEqual([...held], ['journal1', 'i1'], 'the attempt holds nothing');
	held.delete('journal1');
	const files = await Files.mount(store);
	setTimeout(() => held.delete('i1'), 120);
	assert.equal(await read(on(files.object()), '/a'), 'kept');
	await files.close();
	store.names = async () => { throw new Error('gone'); };
	await assert.rejects(Files.mount(store), /gone/);
	assert.deepEqual([...held], []);
}

(async () => {
	await rules();
	await ending();
	await crashes();
	await full();
	console.log('fine');
})();
