// A file system for the Go program in the worker, as an object that Go's runtime uses
// like Node's module fs. It lives in the origin's private file system, or in memory
// where the browser has none to give.
//
// Every file's bytes are in a file of their own, named i and a number that is never
// used twice. Names and folders are in a journal: a line for each change, with its
// checksum, written before the change counts. So a rename, of a folder too, either
// happened or did not, whenever the worker is ended; a line that is cut short is the
// one change that did not. The journal is rewritten, into the second of two files,
// when it has grown; the one of the higher generation that is whole counts.
'use strict';
(() => {
	const FORMAT = 1;
	const ROOM = 64 << 10; // a journal grows by this much, so that a full disk still takes removals
	const ENDING_MS = 10_000; // for the worker before to free a file
	const GROWTH = 1 << 20; // bytes of a journal after which it is rewritten, if most of them are history
	const encoder = new TextEncoder(), decoder = new TextDecoder('utf-8', { fatal: true });
	const constants = { O_RDONLY: 0, O_WRONLY: 1, O_RDWR: 2, O_CREAT: 0o100, O_EXCL: 0o200, O_TRUNC: 0o1000, O_APPEND: 0o2000, O_DIRECTORY: 0o200000 };

	function fault(code, what) {
		return Object.assign(new Error(code + ': ' + what), { code });
	}

	// translate makes an error of the browser one that Go knows.
	function translate(e, what) {
		if (e.code && typeof e.code === 'string') return e;
		if (e.name === 'QuotaExceededError') return fault('ENOSPC', what);
		return fault('EIO', what + ': ' + e.message);
	}

	const table = Uint32Array.from({ length: 256 }, (_, n) => {
		for (let k = 0; k < 8; k++) n = n & 1 ? (n >>> 1) ^ 0xedb88320 : n >>> 1;
		return n;
	});

	function crc32(bytes) {
		let c = ~0;
		for (const b of bytes) c = table[(c ^ b) & 255] ^ (c >>> 8);
		return (~c >>> 0).toString(16).padStart(8, '0');
	}

	const line = (record) => {
		const text = JSON.stringify(record);
		return crc32(encoder.encode(text)) + ' ' + text + '\n';
	};

	// lines gives the records of a journal up to the first that is not whole, and
	// where that begins.
	function lines(bytes) {
		const records = [];
		let at = 0;
		for (;;) {
			const end = bytes.indexOf(10, at);
			if (end < 0) return { records, end: at };
			try {
				const text = decoder.decode(bytes.subarray(at + 9, end));
				if (decoder.decode(bytes.subarray(at, at + 8)) !== crc32(encoder.encode(text))) return { records, end: at };
				records.push(JSON.parse(text));
			} catch {
				return { records, end: at };
			}
			at = end + 1;
		}
	}

	// Memory keeps files as long as the worker lives.
	class Memory {
		constructor(limit = Infinity) {
			this.kind = 'memory';
			this.files = new Map();
			this.limit = limit; // of all bytes
		}

		used() {
			let n = 0;
			for (const f of this.files.values()) n += f.size;
			return n;
		}

		async open(name) {
			let f = this.files.get(name);
			if (!f) this.files.set(name, (f = { bytes: new Uint8Array(64), size: 0 }));
			const store = this;
			const grow = (size) => {
				if (size - f.size + store.used() > store.limit) throw Object.assign(new Error('full'), { name: 'QuotaExceededError' });
				if (size > f.bytes.length) {
					const larger = new Uint8Array(Math.max(size, 2 * f.bytes.length));
					larger.set(f.bytes.subarray(0, f.size));
					f.bytes = larger;
				}
			};
			return {
				getSize: () => f.size,
				read(buffer, { at }) {
					const part = f.bytes.subarray(Math.min(at, f.size), Math.min(at + buffer.length, f.size));
					buffer.set(part);
					return part.length;
				},
				write(buffer, { at }) {
					const end = at + buffer.length;
					if (end > f.size) grow(end);
					f.bytes.set(buffer, at);
					f.size = Math.max(f.size, end);
					return buffer.length;
				},
				truncate(size) {
					if (size > f.size) grow(size);
					else f.bytes.fill(0, size, f.size);
					f.size = size;
				},
				flush() {},
				close() {},
			};
		}

		async size(name) { return this.files.get(name)?.size ?? 0; }
		async names() { return [...this.files.keys()]; }
		async remove(name) { this.files.delete(name); }
	}

	// Private is the origin's private file system.
	class Private {
		constructor(folder) {
			this.kind = 'opfs';
			this.folder = folder;
		}

		static async create() {
			const root = await navigator.storage.getDirectory();
			return new Private(await root.getDirectoryHandle('bitnet', { create: true }));
		}

		async open(name) {
			const file = await this.folder.getFileHandle(name, { create: true });
			return file.createSyncAccessHandle();
		}

		async size(name) {
			try {
				return (await (await this.folder.getFileHandle(name)).getFile()).size;
			} catch (e) {
				if (e.name === 'NotFoundError') return 0;
				throw e;
			}
		}

		async names() {
			const out = [];
			for await (const name of this.folder.keys()) out.push(name);
			return out;
		}

		async remove(name) {
			try {
				await this.folder.removeEntry(name);
			} catch (e) {
				if (e.name !== 'NotFoundError') throw e;
			}
		}
	}

	// Journal is the two files of which one counts.
	class Journal {
		constructor(files) {
			this.files = files;
			this.at = 0; // the file that counts
			this.generation = 0;
			this.end = 0; // of its whole lines
		}

		// load gives the records of the file that counts.
		static async load(store) {
			const first = await store.open('journal0');
			let second;
			try {
				second = await store.open('journal1');
			} catch (e) {
				first.close(); // else it would be held against the next attempt
				throw e;
			}
			const j = new Journal([first, second]);
			let best = null;
			j.files.forEach((file, i) => {
				const bytes = new Uint8Array(file.getSize());
				file.read(bytes, { at: 0 });
				const { records, end } = lines(bytes);
				const [head, ...rest] = records;
				// Until all that the file before held is here, that one counts.
				if (head?.format !== FORMAT || rest.length < head.records) return;
				if (!best || head.generation > best.generation) best = { at: i, generation: head.generation, end, records: rest };
			});
			if (best) [j.at, j.generation, j.end] = [best.at, best.generation, best.end];
			return [j, best?.records ?? []];
		}

		// write puts text at a place of a file that is made large enough first.
		static write(file, text, at) {
			const bytes = encoder.encode(text);
			const need = at + bytes.length;
			if (need > file.getSize()) {
				try {
					file.truncate(Math.ceil(need / ROOM + 0.5) * ROOM);
				} catch {
					file.truncate(need); // all that is left
				}
			}
			if (file.write(bytes, { at }) !== bytes.length) throw fault('ENOSPC', 'the journal');
			return need;
		}

		append(record) {
			this.end = Journal.write(this.files[this.at], line(record), this.end);
		}

		// rewrite makes the other file the one that counts, with these records.
		rewrite(records) {
			const other = this.files[1 - this.at];
			other.truncate(0);
			const text = [{ format: FORMAT, generation: this.generation + 1, records: records.length }, ...records].map(line).join('');
			const end = Journal.write(other, text, 0);
			other.flush();
			const old = this.files[this.at];
			[this.at, this.generation, this.end] = [1 - this.at, this.generation + 1, end];
			old.truncate(0);
			old.flush();
		}

		flush() { this.files[this.at].flush(); }
		close() { for (const f of this.files) f.close(); }
	}

	const S_IFDIR = 0o40000, S_IFREG = 0o100000;

	// Files is the tree of names.
	class Files {
		constructor(store, journal) {
			this.store = store;
			this.journal = journal;
			this.root = this.folder(0);
			this.last = 0; // the last number that was given to a file
			this.open = new Map(); // by descriptor
			this.tail = Promise.resolve();
			this.compactAt = GROWTH;
			this.said = ''; // the line that the program has begun to write to its standard output
			this.lastLine = ''; // the first line of what it wrote last
		}

		static async mount(store) {
			const [journal, records] = await Journal.load(store);
			try {
				return await Files.rebuild(store, journal, records);
			} catch (e) {
				journal.close();
				throw e;
			}
		}

		static async rebuild(store, journal, records) {
			const names = await store.names();
			if (journal.generation === 0 && names.some((n) => n.startsWith('i'))) throw fault('EIO', 'the list of the stored files is damaged');
			const files = new Files(store, journal);
			for (const r of records) files.apply(r);
			try {
				journal.rewrite(files.records());
			} catch { /* there is no room for it: the old one still counts */ }
			const known = new Set(['journal0', 'journal1']);
			files.walk((path, node) => known.add('i' + node.ino));
			for (const name of names) {
				if (!known.has(name)) await store.remove(name).catch(() => {}); // it is tried again next time
				const n = Number(/^i(\d+)$/.exec(name)?.[1] ?? 0);
				files.last = Math.max(files.last, n);
			}
			return files;
		}

		folder(time) { return { entries: new Map(), ino: 0, mtime: time }; }

		walk(visit, node = this.root, path = '') {
			for (const [name, child] of node.entries) {
				visit(path + '/' + name, child);
				if (child.entries) this.walk(visit, child, path + '/' + name);
			}
		}

		// records describe the whole tree.
		records() {
			const out = [];
			this.walk((path, n) => out.push(n.entries ? ['d', path, n.mtime] : ['f', path, n.mtime, n.ino]));
			out.push(['n', this.last]);
			return out;
		}

		// log writes a change to the journal, and does it.
		log(record) {
			try {
				this.journal.append(record);
			} catch (e) {
				throw translate(e, 'the list of files');
			}
			this.apply(record);
			if (this.journal.end < this.compactAt) return;
			try {
				this.journal.rewrite(this.records());
			} catch { /* there is no room for it: the old one still counts */ }
			this.compactAt = Math.max(GROWTH, 2 * this.journal.end);
		}

		apply([kind, path, a, b]) {
			if (kind === 'n') {
				this.last = Math.max(this.last, path);
				return;
			}
			const [parent, name] = this.parent(path);
			switch (kind) {
			case 'd':
				parent.entries.set(name, this.folder(a));
				break;
			case 'f':
				parent.entries.set(name, { ino: b, mtime: a, size: null, opens: 0, handle: null });
				this.last = Math.max(this.last, b);
				break;
			case 't':
				parent.entries.get(name).mtime = a;
				return;
			case 'r':
				parent.entries.delete(name);
				break;
			case 'm': {
				const [to, as] = this.parent(a);
				to.entries.set(as, parent.entries.get(name));
				parent.entries.delete(name);
				break;
			}
			}
		}

		parts(path) {
			const out = [];
			for (const p of path.split('/')) {
				if (p === '..') out.pop();
				else if (p !== '' && p !== '.') out.push(p);
			}
			return out;
		}

		find(path) {
			let node = this.root;
			for (const p of this.parts(path)) {
				if (!node.entries) throw fault('ENOTDIR', path);
				node = node.entries.get(p);
				if (!node) throw fault('ENOENT', path);
			}
			return node;
		}

		parent(path) {
			const parts = this.parts(path);
			if (parts.length === 0) throw fault('EINVAL', path);
			const name = parts.pop();
			const node = this.find(parts.join('/'));
			if (!node.entries) throw fault('ENOTDIR', path);
			return [node, name];
		}

		full(path) { return '/' + this.parts(path).join('/'); }

		child(path) {
			const [parent, name] = this.parent(path);
			return parent.entries.get(name);
		}

		// turn runs what has to wait for the browser, one after the other.
		turn(job) {
			const result = this.tail.then(job);
			this.tail = result.catch(() => {});
			return result;
		}

		async hold(node) {
			if (!node.handle) {
				node.handle = await this.handle('i' + node.ino);
				node.size = node.handle.getSize();
			}
			node.opens++;
		}

		// handle opens a stored file. Whoever has the journal has all files, but a worker
		// that is ending frees them one by one.
		async handle(name) {
			for (const began = Date.now(); ; ) {
				try {
					return await this.store.open(name);
				} catch (e) {
					if (e.name !== 'NoModificationAllowedError' || Date.now() - began > ENDING_MS) throw e;
				}
				await new Promise((done) => setTimeout(done, 50));
			}
		}

		async release(node) {
			if (--node.opens > 0) return;
			node.handle.close();
			node.handle = null;
			if (node.gone) await this.discard(node);
		}

		async discard(node) {
			node.gone = true;
			if (node.opens === 0) await this.store.remove('i' + node.ino).catch(() => {}); // mount removes what is left
		}

		async openFile(path, flags) {
			let node = this.node(path);
			if (node && flags & constants.O_CREAT && flags & constants.O_EXCL) throw fault('EEXIST', path);
			if (!node) {
				if (!(flags & constants.O_CREAT)) throw fault('ENOENT', path);
				this.log(['f', this.full(path), Date.now(), this.last + 1]);
				node = this.child(path);
			}
			const writes = (flags & 3) !== 0;
			if (node.entries) {
				if (writes || flags & constants.O_CREAT) throw fault('EISDIR', path);
			} else {
				if (flags & constants.O_DIRECTORY) throw fault('ENOTDIR', path);
				await this.hold(node);
				if (flags & constants.O_TRUNC && writes) this.resize(node, 0);
			}
			let fd = 3;
			while (this.open.has(fd)) fd++;
			this.open.set(fd, { node, path: this.full(path), at: 0, reads: (flags & 3) !== 1, writes, appends: (flags & constants.O_APPEND) !== 0, dirty: false });
			return fd;
		}

		// node is child, and the root for "/".
		node(path) { return this.parts(path).length === 0 ? this.root : this.child(path); }

		descriptor(fd) {
			const f = this.open.get(fd);
			if (!f) throw fault('EBADF', 'descriptor ' + fd);
			return f;
		}

		async closeFile(fd) {
			const f = this.descriptor(fd);
			this.open.delete(fd);
			if (f.node.entries) return;
			await this.release(f.node);
			if (f.dirty && !f.node.gone) this.touch(f);
		}

		// touch keeps the time of the last change.
		touch(f) {
			try {
				const [parent, name] = this.parent(f.path);
				if (parent.entries.get(name) === f.node) this.log(['t', f.path, f.node.mtime]);
			} catch { /* a time is not worth a failure */ }
			f.dirty = false;
		}

		resize(node, size) {
			try {
				node.handle.truncate(size);
			} catch (e) {
				throw translate(e, 'changing the size of a file');
			}
			node.size = size;
			node.mtime = Date.now();
		}

		readAt(fd, buffer, offset, length, position) {
			const f = this.descriptor(fd);
			if (f.node.entries) throw fault('EISDIR', f.path);
			if (!f.reads) throw fault('EBADF', f.path);
			const at = position ?? f.at;
			const n = f.node.handle.read(buffer.subarray(offset, offset + length), { at });
			if (position === null) f.at += n;
			return n;
		}

		writeAt(fd, buffer, offset, length, position) {
			const f = this.descriptor(fd);
			if (!f.writes) throw fault('EBADF', f.path);
			const { node } = f;
			const before = node.handle.getSize();
			const at = f.appends ? before : position ?? f.at;
			let n;
			try {
				n = node.handle.write(buffer.subarray(offset, offset + length), { at });
			} catch (e) {
				if (node.handle.getSize() > before) node.handle.truncate(before);
				throw translate(e, f.path);
			}
			if (n === 0 && length > 0) throw fault('ENOSPC', f.path);
			if (position === null) f.at = at + n;
			node.size = Math.max(node.size, at + n);
			node.mtime = Date.now();
			f.dirty = true;
			return n;
		}

		async describe(node) {
			if (!node.entries && node.size === null) node.size = await this.store.size('i' + node.ino);
			const size = node.entries ? 0 : node.size;
			return {
				dev: 1, ino: node.entries ? 0 : node.ino, mode: node.entries ? S_IFDIR | 0o755 : S_IFREG | 0o644, nlink: 1, uid: 0, gid: 0, rdev: 0,
				size, blksize: 4096, blocks: Math.ceil(size / 512), atimeMs: node.mtime, mtimeMs: node.mtime, ctimeMs: node.mtime,
				isDirectory: () => !!node.entries,
			};
		}

		async makeFolder(path) {
			if (this.node(path)) throw fault('EEXIST', path);
			this.log(['d', this.full(path), Date.now()]);
		}

		async removeFile(path) {
			const node = this.node(path);
			if (!node) throw fault('ENOENT', path);
			if (node.entries) throw fault('EISDIR', path);
			this.log(['r', this.full(path)]);
			await this.discard(node);
		}

		async removeFolder(path) {
			const node = this.node(path);
			if (!node) throw fault('ENOENT', path);
			if (!node.entries) throw fault('ENOTDIR', path);
			if (node.entries.size > 0) throw fault('ENOTEMPTY', path);
			this.log(['r', this.full(path)]);
		}

		async move(from, to) {
			const node = this.child(from), there = this.node(to);
			if (!node) throw fault('ENOENT', from);
			[from, to] = [this.full(from), this.full(to)];
			if (from === to) return;
			if (node.entries && (to + '/').startsWith(from + '/')) throw fault('EINVAL', to);
			if (there) {
				if (node.entries && !there.entries) throw fault('ENOTDIR', to);
				if (!node.entries && there.entries) throw fault('EISDIR', to);
				if (there.entries?.size > 0) throw fault('ENOTEMPTY', to);
			}
			this.log(['m', from, to]);
			for (const f of this.open.values()) {
				if (f.path === from || f.path.startsWith(from + '/')) f.path = to + f.path.slice(from.length);
			}
			if (there && !there.entries) await this.discard(there);
		}

		async sync(fd) {
			const f = this.descriptor(fd);
			if (f.node.handle) f.node.handle.flush();
			if (f.dirty) this.touch(f);
			this.journal.flush();
		}

		async truncateFile(path, size) {
			const node = this.find(path);
			if (node.entries) throw fault('EISDIR', path);
			await this.hold(node);
			try {
				this.resize(node, size);
			} finally {
				await this.release(node);
			}
		}

		// removeAll removes a folder or file with all that is in it.
		async removeAll(path) {
			const node = this.child(path);
			if (!node) return;
			if (!node.entries) return this.removeFile(path);
			for (const name of [...node.entries.keys()]) await this.removeAll(path + '/' + name);
			await this.removeFolder(path);
		}

		// put writes a Blob to a new file; progress gets the number of bytes so far.
		async put(path, blob, progress) {
			const parts = this.parts(path);
			for (let i = 1; i < parts.length; i++) {
				const folder = '/' + parts.slice(0, i).join('/');
				if (!this.child(folder)) await this.turn(() => this.makeFolder(folder));
			}
			const fd = await this.turn(() => this.openFile(path, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL));
			try {
				const piece = 1 << 20;
				for (let at = 0; at < blob.size; at += piece) {
					const bytes = new Uint8Array(await blob.slice(at, at + piece).arrayBuffer());
					for (let n = 0; n < bytes.length; ) n += this.writeAt(fd, bytes, n, bytes.length - n, null);
					progress?.(Math.min(at + piece, blob.size));
				}
				await this.turn(() => this.sync(fd));
			} finally {
				await this.turn(() => this.closeFile(fd));
			}
		}

		async close() {
			await this.tail;
			for (const { node } of this.open.values()) node.handle?.close();
			this.journal.close();
		}

		say(buffer) {
			this.said += new TextDecoder().decode(buffer);
			const end = this.said.lastIndexOf('\n');
			if (end >= 0) {
				const text = this.said.slice(0, end);
				console.log(text);
				this.lastLine = text.slice(0, text.indexOf('\n') >>> 0);
			}
			this.said = this.said.slice(end + 1).slice(-4096);
		}

		// object is what Go's runtime calls.
		object() {
			const now = (callback, what, job) => {
				let value;
				try {
					value = job();
				} catch (e) {
					callback(translate(e, what));
					return;
				}
				callback(null, value);
			};
			const later = (callback, what, job) => {
				this.turn(job).then((value) => callback(null, value), (e) => callback(translate(e, what)));
			};
			const unknown = (callback) => callback(fault('ENOSYS', 'not in a browser'));
			const files = this;
			return {
				constants,
				writeSync(fd, buffer) {
					files.say(buffer);
					return buffer.length;
				},
				write(fd, buffer, offset, length, position, callback) {
					if (fd <= 2) {
						files.say(buffer.subarray(offset, offset + length));
						callback(null, length);
						return;
					}
					now(callback, 'write', () => files.writeAt(fd, buffer, offset, length, position));
				},
				read(fd, buffer, offset, length, position, callback) {
					if (fd <= 2) {
						callback(null, 0);
						return;
					}
					now(callback, 'read', () => files.readAt(fd, buffer, offset, length, position));
				},
				open: (path, flags, mode, callback) => later(callback, path, () => files.openFile(path, flags)),
				close: (fd, callback) => later(callback, 'close', () => files.closeFile(fd)),
				fstat: (fd, callback) => later(callback, 'stat', () => files.describe(files.descriptor(fd).node)),
				stat: (path, callback) => later(callback, path, async () => files.describe(files.find(path))),
				lstat: (path, callback) => later(callback, path, async () => files.describe(files.find(path))),
				readdir: (path, callback) => later(callback, path, async () => {
					const node = files.find(path);
					if (!node.entries) throw fault('ENOTDIR', path);
					return [...node.entries.keys()].sort();
				}),
				mkdir: (path, mode, callback) => later(callback, path, () => files.makeFolder(path)),
				unlink: (path, callback) => later(callback, path, () => files.removeFile(path)),
				rmdir: (path, callback) => later(callback, path, () => files.removeFolder(path)),
				rename: (from, to, callback) => later(callback, from, () => files.move(from, to)),
				fsync: (fd, callback) => later(callback, 'sync', () => files.sync(fd)),
				ftruncate: (fd, size, callback) => now(callback, 'truncate', () => files.resize(files.descriptor(fd).node, size)),
				truncate: (path, size, callback) => later(callback, path, () => files.truncateFile(path, size)),
				utimes: (path, atime, mtime, callback) => later(callback, path, async () => {
					files.find(path);
					files.log(['t', files.full(path), 1000 * mtime]);
				}),
				// There is one user, who may do everything.
				chmod: (path, mode, callback) => later(callback, path, async () => void files.find(path)),
				fchmod: (fd, mode, callback) => now(callback, 'chmod', () => void files.descriptor(fd)),
				chown: (path, uid, gid, callback) => unknown(callback),
				fchown: (fd, uid, gid, callback) => unknown(callback),
				lchown: (path, uid, gid, callback) => unknown(callback),
				link: (path, link, callback) => unknown(callback),
				symlink: (path, link, callback) => unknown(callback),
				readlink: (path, callback) => later(callback, path, async () => {
					files.find(path);
					throw fault('EINVAL', path); // there are no links
				}),
			};
		}
	}

	// resolve is path.resolve, in a world whose working folder is /.
	function resolve(...segments) {
		let out = [];
		for (const s of segments) {
			if (s.startsWith('/')) out = [];
			for (const p of s.split('/')) {
				if (p === '..') out.pop();
				else if (p !== '' && p !== '.') out.push(p);
			}
		}
		return '/' + out.join('/');
	}

	globalThis.bitnetFiles = { Files, Memory, Private, resolve };
})();
