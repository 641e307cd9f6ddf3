// The other side of package dawn: it runs in Node.js, holds the graphics device,
// and executes the messages from its standard input, one after another.
//
// A message is six u32 (operation, id, offset low, offset high, bytes to read,
// length of the payload) and its payload; an answer is two (status, length) and
// its payload. Writes and frees have no answer: their errors come with the next
// answer.
'use strict';
const fs = require('node:fs');
const { pathToFileURL } = require('node:url');

const OPEN = 1, BUFFER = 2, FREE_BUFFER = 3, WRITE = 4, READ = 5, KERNEL = 6, PROGRAM = 7, FREE_PROGRAM = 8, RUN = 9, WAIT = 10, TIME = 11, LIST = 12;
const OK = 0, INVALID = 1, OUT_OF_MEMORY = 2, LOST = 3, COMPILE = 4, ALIVE = 5;
const STORAGE = 0x80, COPY_SRC = 4, COPY_DST = 8, MAP_READ = 1, QUERY_RESOLVE = 0x200, COMPUTE = 4;

const UNSENT_LIMIT = 64 << 20; // Dawn keeps a copy of each write until it is submitted
const ALIVE_MS = 1000; // between signs of life while waiting
const STALLED_MS = 20 * 60 * 1000; // without any work finished

// Interrupts are for the trainer: it saves its state and then closes our input.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => {});

// What create() returned must stay reachable: Dawn crashes some time after it is collected.
const kept = (globalThis.bitnetKept = []);
// Bounds checks cost more than the arithmetic of some kernels, and kernels check bounds themselves where a tile may reach past the end.
const options = [
	'enable-dawn-features=allow_unsafe_apis,vulkan_enable_f16_on_nvidia,disable_robustness',
	'disable-dawn-features=timestamp_quantization',
];
let create;

function instance(...more) {
	const gpu = create([...options, ...more]);
	kept.push(gpu);
	return gpu;
}


const napCell = new Int32Array(new SharedArrayBuffer(4));
const nap = (ms) => Atomics.wait(napCell, 0, 0, ms);

// readExactly fills the bytes, or returns false at the end of the input.
function readExactly(bytes) {
	for (let at = 0; at < bytes.length; ) {
		let n;
		try {
			n = fs.readSync(0, bytes, at, bytes.length - at, null);
		} catch (e) {
			if (e.code === 'EOF') return false;
			if (e.code !== 'EAGAIN') throw e;
			nap(1);
			continue;
		}
		if (n === 0) return false;
		at += n;
	}
	return true;
}

function writeAll(bytes) {
	for (let at = 0; at < bytes.length; ) {
		try {
			at += fs.writeSync(1, bytes, at, bytes.length - at);
		} catch (e) {
			if (e.code === 'EPIPE') process.exit(0);
			if (e.code !== 'EAGAIN') throw e;
			nap(1);
		}
	}
}

const answerHead = new Uint32Array(2);
const answerBytes = new Uint8Array(answerHead.buffer);

function answer(status, payload) {
	if (typeof payload === 'string') payload = Buffer.from(payload);
	answerHead[0] = status;
	answerHead[1] = payload ? payload.length : 0;
	writeAll(answerBytes);
	if (payload && payload.length) writeAll(payload);
}

const head = new Uint32Array(6);
const headBytes = new Uint8Array(head.buffer);
let scratch = new Uint8Array(1 << 16);

// payload reads what follows a head.
function payload(size) {
	if (scratch.length < size) scratch = new Uint8Array(size);
	const bytes = scratch.subarray(0, size);
	if (!readExactly(bytes)) process.exit(0);
	return bytes;
}

const json = (size) => JSON.parse(Buffer.from(payload(size)).toString('utf8'));


let aliveAt = 0;

// settle waits for a promise of Dawn's. Dawn polls its driver in every iteration of
// the event loop, which would keep a core busy that a CPU adapter needs, so the loop
// sleeps: briefly at first, then longer and longer.
async function settle(promise) {
	let done = false;
	promise.then(() => (done = true), () => (done = true));
	const began = Date.now();
	for (let ms = 0.02; ; ms = Math.min(ms * 1.25, 0.5)) {
		await new Promise(setImmediate);
		if (done || lostWhy !== null) break;
		nap(ms);
		const now = Date.now();
		if (now - aliveAt < ALIVE_MS) continue;
		aliveAt = now;
		if (now - began > STALLED_MS) giveUp(5, 'the graphics driver has finished nothing for 20 minutes');
		answer(ALIVE);
	}
	if (!done) throw new Failure(LOST, lostWhy);
	return promise;
}

function giveUp(code, why) {
	console.error(why);
	process.exit(code);
}

class Failure extends Error {
	constructor(status, message) {
		super(message);
		this.status = status;
	}
}


let device, queue, alignment;
let lostWhy = null; // a message, once the device is lost
let fault = null; // the first Failure that no answer has reported yet
let chunk = 256; // dispatches in one submission
let unsent = 0;
let staging = null, stagingSize = 0;
const buffers = new Map(), kernels = new Map(), programs = new Map(), layouts = new Map();
const underWay = []; // promises of the ends of the last runs

const firstFault = (status, e) => {
	if (e && fault === null) fault = new Failure(status, e.message);
};

// checked calls make and throws what Dawn finds wrong with it.
async function checked(make) {
	device.pushErrorScope('internal');
	device.pushErrorScope('out-of-memory');
	device.pushErrorScope('validation');
	let made;
	try {
		made = make();
	} finally {
		for (const status of [INVALID, OUT_OF_MEMORY, INVALID]) firstFault(status, await settle(device.popErrorScope()));
	}
	tell();
	return made;
}

// watched is checked without waiting: the next answer reports a failure.
function watched(make) {
	device.pushErrorScope('validation');
	try {
		make();
	} finally {
		device.popErrorScope().then((e) => firstFault(INVALID, e), () => {});
	}
}

function tell() {
	if (lostWhy !== null) throw new Failure(LOST, lostWhy);
	const f = fault;
	fault = null;
	if (f) throw f;
}

async function list() {
	let names = '';
	try {
		await settle(instance('adapter=\u0001').requestAdapter());
	} catch (e) {
		names = e.message;
	}
	const found = [];
	for (const [, backend, name] of names.matchAll(/backend: '(\w+)', name: '(.*)'/g)) {
		if (!['vulkan', 'metal', 'd3d12'].includes(backend) || found.some((f) => f.backend === backend && f.name === name)) continue;
		const gpu = instance('backend=' + backend, 'adapter=' + name);
		const adapter = await settle(gpu.requestAdapter());
		if (!adapter) continue;
		const { info, limits } = adapter;
		const features = [...adapter.features];
		if (gpu.wgslLanguageFeatures.has('packed_4x8_integer_dot_product')) features.push('packed_4x8_integer_dot_product');
		found.push({
			backend, name, features,
			vendor: info.vendor, driver: info.description, fallback: info.isFallbackAdapter,
			subgroupMin: info.subgroupMinSize ?? 0, subgroupMax: info.subgroupMaxSize ?? 0,
			matrices: [...(info.subgroupMatrixConfigs ?? [])].map((c) => ({ m: c.M, n: c.N, k: c.K, component: c.componentType, result: c.resultComponentType })),
			limits: Object.fromEntries(LIMITS.map((l) => [l, limits[l]])),
		});
	}
	return found;
}

const LIMITS = [
	'maxBufferSize', 'maxStorageBufferBindingSize', 'minStorageBufferOffsetAlignment', 'maxStorageBuffersPerShaderStage',
	'maxComputeWorkgroupStorageSize', 'maxComputeInvocationsPerWorkgroup', 'maxComputeWorkgroupSizeX', 'maxComputeWorkgroupsPerDimension',
];
const FEATURES = ['timestamp-query', 'shader-f16', 'subgroups', 'subgroup-size-control', 'chromium-experimental-subgroup-matrix'];

async function open(want) {
	const adapter = await settle(instance('backend=' + want.backend, 'adapter=' + want.name).requestAdapter());
	if (!adapter) throw new Failure(INVALID, 'the adapter is gone');
	kept.push(adapter);
	device = await settle(adapter.requestDevice({
		requiredFeatures: FEATURES.filter((f) => adapter.features.has(f)),
		requiredLimits: Object.fromEntries(LIMITS.map((l) => [l, adapter.limits[l]])),
	}));
	queue = device.queue;
	chunk = want.chunk;
	device.lost.then((why) => (lostWhy = why.message || 'no reason was given'));
	device.addEventListener('uncapturederror', (e) => firstFault(e.error.constructor.name === 'GPUOutOfMemoryError' ? OUT_OF_MEMORY : INVALID, e.error));
}

function layoutOf(access) {
	let l = layouts.get(access);
	if (!l) {
		const group = device.createBindGroupLayout({
			entries: [...access].map((a, binding) => ({ binding, visibility: COMPUTE, buffer: { type: a === 'w' ? 'storage' : 'read-only-storage' } })),
		});
		l = { group, pipeline: device.createPipelineLayout({ bindGroupLayouts: [group] }) };
		layouts.set(access, l);
	}
	return l;
}

async function kernel(id, { label, code, access }) {
	// The scope keeps the error of a faulty module from being reported twice.
	device.pushErrorScope('validation');
	const module = device.createShaderModule({ label, code });
	const info = await settle(module.getCompilationInfo());
	const scoped = await settle(device.popErrorScope());
	const wrong = info.messages.find((m) => m.type === 'error');
	if (wrong) throw new Failure(COMPILE, JSON.stringify({ line: wrong.lineNum, column: wrong.linePos, message: wrong.message }));
	if (scoped) throw new Failure(COMPILE, JSON.stringify({ line: 0, column: 0, message: scoped.message }));
	const layout = await checked(() => layoutOf(access));
	try {
		const pipeline = await settle(device.createComputePipelineAsync({ label, layout: layout.pipeline, compute: { module, entryPoint: 'main' } }));
		kernels.set(id, { pipeline, layout: layout.group });
	} catch (e) {
		if (e instanceof Failure) throw e;
		throw new Failure(COMPILE, JSON.stringify({ line: 0, column: 0, message: e.message }));
	}
}

// A buffer lives until it is freed and no program binds it.
function unbind(buffer) {
	if (--buffer.uses === 0) buffer.gpu.destroy();
}

async function program(id, dispatches) {
	const bound = new Set();
	const steps = await checked(() => dispatches.map(({ k, b, g }) => ({
		pipeline: kernels.get(k).pipeline,
		x: g[0], y: g[1], z: g[2],
		group: device.createBindGroup({
			layout: kernels.get(k).layout,
			entries: b.map(([buffer, offset, size], binding) => {
				const known = buffers.get(buffer);
				bound.add(known);
				return { binding, resource: { buffer: known.gpu, offset, size } };
			}),
		}),
	})));
	for (const buffer of bound) buffer.uses++;
	programs.set(id, { steps, bound });
}

function submit(commands) {
	queue.submit(commands);
	unsent = 0;
}

function record(pass, { pipeline, group, x, y, z }) {
	pass.setPipeline(pipeline);
	pass.setBindGroup(0, group);
	pass.dispatchWorkgroups(x, y, z);
}

async function run(dispatches) {
	// Two runs at most are under way, so that the next one is there when one ends.
	while (underWay.length >= 2) await settle(underWay.shift());
	watched(() => {
		for (let i = 0; i < dispatches.length; i += chunk) {
			const encoder = device.createCommandEncoder();
			const pass = encoder.beginComputePass();
			for (let j = i; j < Math.min(i + chunk, dispatches.length); j++) record(pass, dispatches[j]);
			pass.end();
			submit([encoder.finish()]);
		}
	});
	underWay.push(queue.onSubmittedWorkDone());
}

async function write(id, offset, size) {
	const data = payload(size);
	watched(() => queue.writeBuffer(buffers.get(id).gpu, offset, data, 0, size));
	unsent += size;
	if (unsent > UNSENT_LIMIT) {
		submit([]);
		await settle(queue.onSubmittedWorkDone());
	}
}

async function reserve(size) {
	if (stagingSize >= size) return;
	let rounded = 1 << 16;
	while (rounded < size) rounded *= 2;
	const larger = await checked(() => device.createBuffer({ size: rounded, usage: MAP_READ | COPY_DST }));
	if (staging) staging.destroy();
	[staging, stagingSize] = [larger, rounded];
}

async function mapped(size, use) {
	await settle(staging.mapAsync(MAP_READ, 0, size));
	try {
		use(new Uint8Array(staging.getMappedRange(0, size)));
	} finally {
		staging.unmap();
	}
}

async function read(id, offset, size) {
	await reserve(size);
	await checked(() => {
		const encoder = device.createCommandEncoder();
		encoder.copyBufferToBuffer(buffers.get(id).gpu, offset, staging, 0, size);
		submit([encoder.finish()]);
	});
	await mapped(size, (bytes) => answer(OK, bytes));
}

async function wait() {
	submit([]);
	await settle(queue.onSubmittedWorkDone());
	underWay.length = 0;
	tell();
}

// time answers with two u64 for each dispatch: its start and its end in nanoseconds.
async function time(dispatches) {
	const n = Math.min(1024, chunk, dispatches.length);
	const all = new Uint8Array(16 * dispatches.length);
	await reserve(16 * n);
	const queries = await checked(() => device.createQuerySet({ type: 'timestamp', count: 2 * n }));
	const resolved = await checked(() => device.createBuffer({ size: 16 * n, usage: QUERY_RESOLVE | COPY_SRC }));
	try {
		for (let i = 0; i < dispatches.length; i += n) {
			const count = Math.min(n, dispatches.length - i);
			await checked(() => {
				const encoder = device.createCommandEncoder();
				for (let j = 0; j < count; j++) {
					const pass = encoder.beginComputePass({ timestampWrites: { querySet: queries, beginningOfPassWriteIndex: 2 * j, endOfPassWriteIndex: 2 * j + 1 } });
					record(pass, dispatches[i + j]);
					pass.end();
				}
				encoder.resolveQuerySet(queries, 0, 2 * count, resolved, 0);
				encoder.copyBufferToBuffer(resolved, 0, staging, 0, 16 * count);
				submit([encoder.finish()]);
			});
			await mapped(16 * count, (bytes) => all.set(bytes, 16 * i));
		}
	} finally {
		queries.destroy();
		resolved.destroy();
	}
	return all;
}

async function obey() {
	const [operation, id, low, high, count, size] = head;
	const offset = low + high * 2 ** 32;
	switch (operation) {
	case LIST:
		return answer(OK, JSON.stringify(await list()));
	case OPEN:
		await open(json(size));
		return answer(OK);
	case BUFFER: {
		const { label, size: bytes } = json(size);
		const gpu = await checked(() => device.createBuffer({ label, size: bytes, usage: STORAGE | COPY_SRC | COPY_DST }));
		buffers.set(id, { gpu, uses: 1 });
		return answer(OK);
	}
	case FREE_BUFFER:
		unbind(buffers.get(id));
		buffers.delete(id);
		return;
	case WRITE:
		return write(id, offset, size);
	case READ:
		return read(id, offset, count);
	case KERNEL:
		await kernel(id, json(size));
		return answer(OK);
	case PROGRAM:
		await program(id, json(size));
		return answer(OK);
	case FREE_PROGRAM:
		for (const buffer of programs.get(id).bound) unbind(buffer);
		programs.delete(id);
		return;
	case RUN:
		await run(programs.get(id).steps);
		tell();
		return answer(OK);
	case WAIT:
		await wait();
		return answer(OK);
	case TIME:
		return answer(OK, await time(programs.get(id).steps));
	default:
		throw new Error('message ' + operation + ' is not known');
	}
}

async function main() {
	try {
		({ create } = await import(pathToFileURL(process.argv[1]).href));
	} catch (e) {
		giveUp(3, e.message);
	}
	while (readExactly(headBytes)) {
		try {
			await obey();
		} catch (e) {
			if (head[0] === WRITE || head[0] === FREE_BUFFER || head[0] === FREE_PROGRAM) {
				fault ??= e;
			} else if (lostWhy !== null) {
				answer(LOST, lostWhy);
			} else {
				answer(e.status ?? INVALID, e.message);
			}
		}
	}
	device?.destroy();
	process.exit(0);
}

main().catch((e) => giveUp(4, e.stack));
