// The JavaScript side of package browser: it holds the graphics devices of a page or
// a worker and carries out what the Go side asks for, so that a step of training costs
// a few calls and not one for each dispatch.
//
// Every method gives a promise. One that fails is rejected with an Error whose field
// status says why: "invalid", "memory", "lost" or "compile" (with line and column).
'use strict';
(() => {
	const STORAGE = 0x80, COPY_SRC = 4, COPY_DST = 8, MAP_READ = 1, QUERY_RESOLVE = 0x200, COMPUTE = 4;
	const UNSENT_LIMIT = 64 << 20; // bytes of writes that the browser may hold
	const PENDING_RUNS = 2; // so that the next run is there when one ends
	const PACKED_DOT = 'packed_4x8_integer_dot_product'; // of the language
	const LIMITS = [
		'maxBufferSize', 'maxStorageBufferBindingSize', 'minStorageBufferOffsetAlignment', 'maxStorageBuffersPerShaderStage',
		'maxComputeWorkgroupStorageSize', 'maxComputeInvocationsPerWorkgroup', 'maxComputeWorkgroupSizeX', 'maxComputeWorkgroupSizeY',
		'maxComputeWorkgroupSizeZ', 'maxComputeWorkgroupsPerDimension',
	];
	const FEATURES = ['timestamp-query', 'shader-f16', 'subgroups', 'subgroup-size-control', 'chromium-experimental-subgroup-matrix'];
	const PREFERENCES = ['high-performance', 'low-power'];

	const failure = (status, message, more) => Object.assign(new Error(message), { status }, more);
	const lost = (why) => failure('lost', why);
	const sleep = (ms) => new Promise((done) => setTimeout(done, ms));
	const WATCH_MS = 2000; // between two looks at whether the browser answers
	const STALLED_MS = 30_000; // without an answer
	const LOSS_MS = 1000; // in which the browser says that a device was lost, after it ended what waits for it

	function describe(preference, adapter, gpu) {
		const { info, limits } = adapter;
		const features = FEATURES.filter((f) => adapter.features.has(f));
		if (gpu.wgslLanguageFeatures?.has(PACKED_DOT)) features.push(PACKED_DOT);
		return {
			preference, features,
			vendor: info.vendor ?? '', architecture: info.architecture ?? '', device: info.device ?? '', description: info.description ?? '',
			fallback: info.isFallbackAdapter ?? adapter.isFallbackAdapter ?? false,
			subgroupMin: info.subgroupMinSize ?? 0, subgroupMax: info.subgroupMaxSize ?? 0,
			matrices: [...(info.subgroupMatrixConfigs ?? [])].map((c) => ({ m: c.M, n: c.N, k: c.K, component: c.componentType, result: c.resultComponentType })),
			limits: Object.fromEntries(LIMITS.map((l) => [l, limits[l]])),
		};
	}

	// list describes the adapters, the fast one first.
	async function list(gpu) {
		const found = [];
		for (const preference of PREFERENCES) {
			const adapter = await gpu.requestAdapter({ powerPreference: preference });
			if (!adapter) continue;
			const a = describe(preference, adapter, gpu);
			const same = (b) => JSON.stringify({ ...b, preference }) === JSON.stringify(a);
			if (!found.some(same)) found.push(a);
		}
		return found;
	}

	async function open(gpu, preference, chunk) {
		const adapter = await gpu.requestAdapter({ powerPreference: preference });
		if (!adapter) throw failure('invalid', 'the browser no longer offers this adapter');
		const device = await adapter.requestDevice({
			requiredFeatures: FEATURES.filter((f) => adapter.features.has(f)),
			requiredLimits: Object.fromEntries(LIMITS.map((l) => [l, adapter.limits[l]])),
		});
		return new Device(device, chunk);
	}

	const opened = new Set();

	class Device {
		constructor(device, chunk) {
			this.device = device;
			this.queue = device.queue;
			this.chunk = chunk; // dispatches in one submission
			this.why = null; // a message, once the device is lost
			this.fault = null; // the first failure that no answer has reported yet
			this.waiting = new Set(); // rejects what waits for the device
			this.answers = 0; // of the browser, so far
			this.stalled = false;
			this.watch();
			this.unsent = 0;
			this.staging = null;
			this.stagingSize = 0;
			this.buffers = new Map();
			this.kernels = new Map();
			this.programs = new Map();
			this.layouts = new Map();
			this.underWay = []; // ends of the last runs
			this.handles = 0;
			device.lost.then((info) => this.lose(info.message || info.reason || 'no reason was given'));
			device.addEventListener('uncapturederror', (e) => this.blame(e.error, e.error.constructor.name === 'GPUOutOfMemoryError' ? 'memory' : 'invalid'));
			opened.add(this);
		}

		// watch reminds the browser of a device that it owes an answer. A training in
		// Chromium was seen to wait for ever for its first step. The cause is not known;
		// an answer that comes only with the next message would explain it, because all
		// waited for it and sent none.
		watch() {
			let seen = 0, silent = 0;
			this.watcher = setInterval(() => {
				const { answers } = this;
				if (this.waiting.size === 0 || answers !== seen) {
					[seen, silent] = [answers, 0];
					this.stall(0);
					return;
				}
				this.device.pushErrorScope('internal');
				this.submit([]);
				this.device.popErrorScope().catch(() => {});
				silent += WATCH_MS;
				if (silent >= STALLED_MS) this.stall(silent / 1000);
			}, WATCH_MS);
			this.watcher.unref?.(); // Node.js would not end
		}

		unwatch() {
			clearInterval(this.watcher);
			this.stall(0);
		}

		// stall reports that nothing was answered for so many seconds, or that this is over.
		stall(seconds) {
			if (seconds || this.stalled) globalThis.bitnetGPU.onstall?.(seconds);
			this.stalled = seconds > 0;
		}

		lose(why) {
			this.unwatch();
			this.why ??= why;
			for (const reject of this.waiting) reject(lost(this.why));
			opened.delete(this);
		}

		blame(error, status) {
			if (error) this.fault ??= failure(status, error.message);
		}

		// settle waits for a promise of the browser's, or until the device is lost.
		async settle(promise) {
			if (this.why !== null) throw lost(this.why);
			let reject;
			try {
				return await new Promise((done, fail) => {
					this.waiting.add((reject = fail));
					promise.then(done, fail);
				});
			} catch (e) {
				if (this.why === null && !e.status) await Promise.race([this.device.lost, sleep(LOSS_MS)]);
				if (this.why !== null) throw lost(this.why);
				throw e;
			} finally {
				this.answers++;
				this.waiting.delete(reject);
			}
		}

		tell() {
			if (this.why !== null) throw lost(this.why);
			const { fault } = this;
			this.fault = null;
			if (fault) throw fault;
		}

		// scoped calls make and gives what it made, and a promise that ends when
		// the browser has said what is wrong with it.
		scoped(make) {
			const { device } = this;
			const scopes = [['internal', 'invalid'], ['out-of-memory', 'memory'], ['validation', 'invalid']];
			for (const [filter] of scopes) device.pushErrorScope(filter);
			let made, thrown;
			try {
				made = make();
			} catch (e) {
				thrown = e;
			}
			const checks = scopes.map(([, status]) => status).reverse().map((status) => device.popErrorScope().then((e) => this.blame(e, status)));
			if (thrown) {
				Promise.allSettled(checks);
				throw failure('invalid', thrown.message);
			}
			return [made, Promise.all(checks)];
		}

		async checked(make) {
			const [made, done] = this.scoped(make);
			await this.settle(done);
			this.tell();
			return made;
		}

		// watched does not wait: the next answer reports a failure.
		watched(make) {
			const [, done] = this.scoped(make);
			done.catch(() => {});
		}

		async buffer(label, size) {
			const gpu = await this.checked(() => this.device.createBuffer({ label, size, usage: STORAGE | COPY_SRC | COPY_DST }));
			this.buffers.set(++this.handles, { gpu, uses: 1 });
			return this.handles;
		}

		// A buffer lives until it is freed and no program binds it.
		unbind(buffer) {
			if (--buffer.uses === 0) buffer.gpu.destroy();
		}

		freeBuffer(id) {
			this.unbind(this.buffers.get(id));
			this.buffers.delete(id);
		}

		async write(id, offset, bytes) {
			this.watched(() => this.queue.writeBuffer(this.buffers.get(id).gpu, offset, bytes));
			this.unsent += bytes.length;
			if (this.unsent > UNSENT_LIMIT) {
				this.submit([]);
				await this.settle(this.queue.onSubmittedWorkDone());
			}
		}

		async reserve(size) {
			if (this.stagingSize >= size) return;
			let rounded = 1 << 16;
			while (rounded < size) rounded *= 2;
			const larger = await this.checked(() => this.device.createBuffer({ size: rounded, usage: MAP_READ | COPY_DST }));
			this.staging?.destroy();
			[this.staging, this.stagingSize] = [larger, rounded];
		}

		// fetch records a copy into the staging buffer, and gives a copy of its bytes.
		async fetch(size, record) {
			await this.reserve(size);
			const [, done] = this.scoped(() => {
				const encoder = this.device.createCommandEncoder();
				record(encoder);
				this.submit([encoder.finish()]);
			});
			const ready = this.staging.mapAsync(MAP_READ, 0, size);
			ready.catch(() => {}); // a fault of the copy is reported first
			await this.settle(done);
			await this.settle(ready);
			try {
				this.tell();
				return new Uint8Array(this.staging.getMappedRange(0, size)).slice();
			} finally {
				this.staging.unmap();
			}
		}

		read(id, offset, size) {
			return this.fetch(size, (encoder) => encoder.copyBufferToBuffer(this.buffers.get(id).gpu, offset, this.staging, 0, size));
		}

		layoutOf(access) {
			let l = this.layouts.get(access);
			if (!l) {
				const group = this.device.createBindGroupLayout({
					entries: [...access].map((a, binding) => ({ binding, visibility: COMPUTE, buffer: { type: a === 'w' ? 'storage' : 'read-only-storage' } })),
				});
				l = { group, pipeline: this.device.createPipelineLayout({ bindGroupLayouts: [group] }) };
				this.layouts.set(access, l);
			}
			return l;
		}

		async kernel(label, code, access) {
			const { device } = this;
			const compile = (message, line = 0, column = 0) => failure('compile', message, { line, column });
			device.pushErrorScope('validation'); // keeps the error of a faulty module from being reported twice
			const module = device.createShaderModule({ label, code });
			const wrong = device.popErrorScope();
			const info = await this.settle(module.getCompilationInfo());
			const scoped = await this.settle(wrong);
			const first = info.messages.find((m) => m.type === 'error');
			if (first) throw compile(first.message, first.lineNum, first.linePos);
			if (scoped) throw compile(scoped.message);
			const layout = await this.checked(() => this.layoutOf(access));
			let pipeline;
			try {
				pipeline = await this.settle(device.createComputePipelineAsync({ label, layout: layout.pipeline, compute: { module, entryPoint: 'main' } }));
			} catch (e) {
				throw e.status ? e : compile(e.message);
			}
			this.tell();
			this.kernels.set(++this.handles, { pipeline, layout: layout.group });
			return this.handles;
		}

		// program records dispatches: for each its kernel, its three numbers of
		// workgroups, how many bindings it has, and for each of these buffer, offset
		// and size, all in one array.
		async program(numbers) {
			let at = 0;
			const next = () => numbers[at++];
			const bound = new Set();
			const steps = await this.checked(() => {
				const all = [];
				while (at < numbers.length) {
					const kernel = this.kernels.get(next());
					const [x, y, z] = [next(), next(), next()];
					const entries = Array.from({ length: next() }, (_, binding) => {
						const buffer = this.buffers.get(next());
						bound.add(buffer);
						return { binding, resource: { buffer: buffer.gpu, offset: next(), size: next() } };
					});
					all.push({ pipeline: kernel.pipeline, x, y, z, group: this.device.createBindGroup({ layout: kernel.layout, entries }) });
				}
				return all;
			});
			for (const buffer of bound) buffer.uses++;
			this.programs.set(++this.handles, { steps, bound });
			return this.handles;
		}

		freeProgram(id) {
			for (const buffer of this.programs.get(id).bound) this.unbind(buffer);
			this.programs.delete(id);
		}

		submit(commands) {
			this.queue.submit(commands);
			this.unsent = 0;
		}

		record(pass, { pipeline, group, x, y, z }) {
			pass.setPipeline(pipeline);
			pass.setBindGroup(0, group);
			pass.dispatchWorkgroups(x, y, z);
		}

		async run(id) {
			while (this.underWay.length >= PENDING_RUNS) await this.settle(this.underWay.shift());
			this.tell();
			const { steps } = this.programs.get(id);
			this.watched(() => {
				for (let i = 0; i < steps.length; i += this.chunk) {
					const encoder = this.device.createCommandEncoder();
					const pass = encoder.beginComputePass();
					for (const step of steps.slice(i, i + this.chunk)) this.record(pass, step);
					pass.end();
					this.submit([encoder.finish()]);
				}
			});
			this.underWay.push(this.queue.onSubmittedWorkDone());
		}

		async wait() {
			// A scope that is asked for now answers after all that was done before.
			const [, done] = this.scoped(() => this.submit([]));
			await this.settle(this.queue.onSubmittedWorkDone());
			await this.settle(done);
			this.underWay.length = 0;
			this.tell();
		}

		// time gives two u64 for each dispatch: its start and its end in nanoseconds.
		async time(id) {
			const { steps } = this.programs.get(id);
			const n = Math.min(1024, this.chunk, steps.length);
			const all = new Uint8Array(16 * steps.length);
			const queries = await this.checked(() => this.device.createQuerySet({ type: 'timestamp', count: 2 * n }));
			const resolved = await this.checked(() => this.device.createBuffer({ size: 16 * n, usage: QUERY_RESOLVE | COPY_SRC }));
			try {
				for (let i = 0; i < steps.length; i += n) {
					const part = steps.slice(i, i + n);
					const bytes = await this.fetch(16 * part.length, (encoder) => {
						part.forEach((step, j) => {
							const pass = encoder.beginComputePass({ timestampWrites: { querySet: queries, beginningOfPassWriteIndex: 2 * j, endOfPassWriteIndex: 2 * j + 1 } });
							this.record(pass, step);
							pass.end();
						});
						encoder.resolveQuerySet(queries, 0, 2 * part.length, resolved, 0);
						encoder.copyBufferToBuffer(resolved, 0, this.staging, 0, 16 * part.length);
					});
					all.set(bytes, 16 * i);
				}
			} finally {
				queries.destroy();
				resolved.destroy();
			}
			return all;
		}

		close() {
			this.unwatch();
			opened.delete(this);
			this.device.destroy();
		}
	}

	globalThis.bitnetGPU = {
		// onstall is called when the browser has not answered for so many seconds, again
		// while that lasts, and with 0 when it does.
		onstall: null,
		// missing says why there is no WebGPU here, or nothing.
		missing() {
			if (globalThis.navigator?.gpu) return '';
			if (globalThis.isSecureContext === false) return 'WebGPU needs https, or a page of this machine (localhost)';
			return 'this browser has no WebGPU';
		},
		list: async () => list(globalThis.navigator.gpu),
		open: async (preference, chunk) => open(globalThis.navigator.gpu, preference, chunk),
		// loseAll ends all devices, as a driver does that crashes.
		loseAll() {
			for (const d of [...opened]) d.device.destroy();
		},
	};
})();
