// Runs a program that was compiled for js/wasm in Node.js, with a navigator.gpu as a
// browser has it: Dawn, from the npm package webgpu that `make dawn` installs. Without
// it the program finds no WebGPU.
//
//	GOOS=js GOARCH=wasm go test -exec "$PWD/gpu/browser/node" ./graph
'use strict';
const { execFileSync } = require('node:child_process');
const os = require('node:os');
const path = require('node:path');
const { pathToFileURL } = require('node:url');

const VERSION = require('../dawn/package.json').dependencies.webgpu;

// The same folder as Go's os.UserCacheDir.
function cache() {
	switch (process.platform) {
	case 'darwin':
		return path.join(os.homedir(), 'Library', 'Caches');
	case 'win32':
		return process.env.LocalAppData;
	}
	return process.env.XDG_CACHE_HOME || path.join(os.homedir(), '.cache');
}

async function main() {
	const folder = process.env.BITNET_DAWN || path.join(cache(), 'bitnet', 'dawn-' + VERSION);
	let gpu;
	try {
		const { create, globals } = await import(pathToFileURL(path.join(folder, 'node_modules', 'webgpu', 'index.js')).href);
		Object.assign(globalThis, globals);
		gpu = create([]);
	} catch (e) {
		if (e.code !== 'ERR_MODULE_NOT_FOUND') throw e;
	}
	globalThis.bitnetKept = gpu; // Dawn crashes some time after it is collected
	Object.defineProperty(globalThis, 'navigator', { value: { gpu, userAgent: 'Node.js/' + process.versions.node + ' Dawn/' + VERSION }, configurable: true });
	require('./gpu.js');
	const root = process.env.GOROOT || execFileSync('go', ['env', 'GOROOT'], { encoding: 'utf8' }).trim();
	require(path.join(root, 'lib', 'wasm', 'wasm_exec_node.js'));
}

main().catch((e) => {
	console.error(e);
	process.exit(1);
});
