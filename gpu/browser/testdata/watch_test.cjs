// Tests of ../gpu.js with a GPU that answers late: watch_test.go runs them.
'use strict';
const assert = require('node:assert');

let tick = null;
globalThis.setInterval = (f) => { tick = f; return 7; };
globalThis.clearInterval = (id) => { if (id === 7) tick = null; };

// A browser that says that a kernel is compiled only with the next submission.
let submissions = 0, scopes = 0, owed = [];
const device = {
	lost: new Promise(() => {}),
	queue: { submit() { submissions++; for (const f of owed.splice(0)) f(); } },
	addEventListener() {},
	destroy() {},
	pushErrorScope() { scopes++; },
	popErrorScope: async () => { scopes--; return null; },
	createShaderModule: () => ({ getCompilationInfo: async () => ({ messages: [] }) }),
	createBindGroupLayout: () => ({}),
	createPipelineLayout: () => ({}),
	createComputePipelineAsync: () => new Promise((done) => owed.push(() => done({}))),
};
const adapter = { features: new Set(), limits: {}, requestDevice: async () => device };
Object.defineProperty(globalThis, 'navigator', { value: { gpu: { requestAdapter: async () => adapter } }, configurable: true });
require('../gpu.js');

const pause = () => new Promise((done) => setTimeout(done, 5));

(async () => {
	const said = [];
	globalThis.bitnetGPU.onstall = (seconds) => said.push(seconds);
	const d = await globalThis.bitnetGPU.open('high-performance', 256);
	tick();
	assert.equal(submissions, 0, 'nothing is waited for');
	const kernel = d.kernel('a', 'fn main() {}', 'rw');
	await pause();
	assert.equal(submissions, 0);
	tick(); // answers came since the last look
	assert.equal(submissions, 0);
	tick();
	assert.equal(submissions, 1, 'the browser is reminded');
	assert.equal(await kernel, 1);
	assert.equal(scopes, 0);
	tick();

	// One that never answers is reported, and one that then does.
	device.queue.submit = () => {};
	const late = d.kernel('b', 'fn main() {}', 'w');
	await pause();
	tick();
	for (let i = 0; i < 16; i++) tick();
	assert.deepEqual(said, [30, 32]);
	for (const f of owed.splice(0)) f();
	await late;
	tick();
	assert.deepEqual(said, [30, 32, 0]);
	d.close();
	assert.equal(tick, null);
	console.log('fine');
})();
