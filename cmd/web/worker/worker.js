// The worker of the page: it gives the Go program a file system and a GPU, starts it,
// and carries messages between it and the page. ../doc.go describes them.
'use strict';
const compiled = compile(); // while the files are mounted
compiled.catch(() => {}); // start reports it
importScripts('fs.js', 'gpu.js', 'wasm_exec.js');

const { Files, Memory, Private, resolve } = globalThis.bitnetFiles;
const BEFORE_MS = 30_000; // for the worker before, which may still be ending
const MOST_FILES = 1000; // of an upload
const SHIPPED = ['config.json', 'model.safetensors', 'tokenizer.json', 'tokenizer_config.json', 'special_tokens_map.json'];

let files;
let receive = null; // the program's, once it is ready
const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

function fail(kind, text) {
	receive = null;
	postMessage({ event: 'failed', kind, text });
}

// Workers of this site hear each other here. One that holds the files says so to one
// that asks; one that is ending does not.
const others = new BroadcastChannel('bitnet');
let taken = false; // another tab holds the files
others.onmessage = ({ data }) => {
	if (data === 'held') taken = true;
	else if (data === 'who' && files?.store.kind === 'opfs') others.postMessage('held');
};

// mount opens what is stored. Where the browser keeps nothing for this site, as in
// some private windows, files are kept in memory.
async function mount() {
	let store;
	try {
		store = await Private.create();
	} catch {
		return Files.mount(new Memory());
	}
	for (const began = Date.now(); ; await sleep(100)) {
		try {
			return await Files.mount(store);
		} catch (e) {
			if (e instanceof TypeError) return Files.mount(new Memory()); // a browser without createSyncAccessHandle
			if (e.name !== 'NoModificationAllowedError' || taken || Date.now() - began > BEFORE_MS) throw e;
			others.postMessage('who');
		}
	}
}

async function fetched(name) {
	const answer = await fetch(name);
	if (!answer.ok) throw new Error(name + ': the server answers ' + answer.status);
	return answer;
}

// compile fetches the program and compiles it, as it comes where the server names its type.
async function compile() {
	const answer = await fetched('bitnet.wasm');
	if (answer.headers.get('Content-Type') === 'application/wasm') return WebAssembly.compileStreaming(answer);
	return WebAssembly.compile(await answer.arrayBuffer());
}

globalThis.bitnetGPU.onstall = (seconds) => postMessage({ event: 'stalled', seconds });

// What the program calls.
globalThis.bitnet = {
	// ready takes requests from now on.
	ready(function_) { receive = function_; },
	// post sends a message; more has fields that JSON cannot hold.
	post(text, more) { postMessage(Object.assign(JSON.parse(text), more)); },
	storage: async () => {
		const { usage = 0, quota = 0 } = (await navigator.storage?.estimate?.()) ?? {};
		return JSON.stringify({ kind: files.store.kind, usage, quota });
	},
	// shipped fetches the model that comes with the page into a new folder.
	shipped: async (folder) => {
		for (const name of SHIPPED) await files.put(folder + '/' + name, await (await fetched('tictactoe/' + name)).blob());
	},
};

// upload writes the files of a request into a new folder and gives its path.
async function upload({ id, files: list }) {
	const folder = '/tmp/upload' + id;
	if (!Array.isArray(list) || list.length === 0) throw new Error('there is no file in what was dropped');
	if (list.length > MOST_FILES) throw new Error(`${list.length} files are more than the ${MOST_FILES} that can be dropped at once: drop one model`);
	const of = list.reduce((n, f) => n + f.file.size, 0);
	let before = 0;
	for (const { path, file } of list) {
		const parts = String(path).split('/').filter((p) => p !== '' && p !== '.');
		if (parts.length === 0 || parts.includes('..')) throw new Error('a file has a name that cannot be kept: rename it');
		await files.put(folder + '/' + parts.join('/'), file, (n) => postMessage({ event: 'progress', id, bytes: before + n, of }));
		before += file.size;
	}
	return folder;
}

onmessage = async ({ data }) => {
	if (!receive) {
		postMessage({ id: data.id, error: 'the program is not ready: reload the page' });
		return;
	}
	const request = { ...data };
	if (data.do === 'upload') {
		delete request.files;
		try {
			request.path = await upload(data);
		} catch (e) {
			await files.turn(() => files.removeAll('/tmp/upload' + data.id)).catch(() => {});
			const full = e.code === 'ENOSPC';
			postMessage({ id: data.id, error: full ? 'the browser gives this site no more space: remove a run or a model, or free space on the disk' : e.message });
			return;
		}
	}
	receive?.(JSON.stringify(request));
};

async function start() {
	try {
		files = await mount();
	} catch (e) {
		if (e.name === 'NoModificationAllowedError') fail('tab', 'bitnet is open in another tab, which holds the runs: close that tab, then reload this one');
		else fail('storage', `the storage of this site cannot be read (${e.message}): clear the site's data in the browser's settings; that removes its runs`);
		return;
	}
	for (const folder of ['/tmp', '/shipped']) await files.removeAll(folder);
	for (const folder of ['/home', '/runs', '/models', '/texts', '/tmp', '/shipped']) {
		if (!files.node(folder)) await files.makeFolder(folder);
	}
	globalThis.fs = files.object();
	globalThis.path = { resolve };
	const unknown = () => { throw Object.assign(new Error('not in a browser'), { code: 'ENOSYS' }); };
	globalThis.process = {
		pid: 1 + crypto.getRandomValues(new Uint32Array(1))[0] % 0x7ffffffe, ppid: 0,
		getuid: () => 0, getgid: () => 0, geteuid: () => 0, getegid: () => 0, getgroups: unknown, umask: () => 0o022,
		cwd: () => '/', chdir: unknown,
	};
	const go = new Go();
	go.env = { HOME: '/home', TMPDIR: '/tmp' };
	go.exit = () => fail('program', 'the program ended: reload the page. What it said last: ' + last());
	await go.run(await WebAssembly.instantiate(await compiled, go.importObject));
}

// last is the last line that the program wrote.
const last = () => files.lastLine || 'nothing';

// Whatever is thrown, the page hears of it: it would wait for ever.
start().catch((e) => fail('program', `the program ended (${e.message}): reload the page`));
