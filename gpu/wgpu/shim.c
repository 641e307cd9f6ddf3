#include "shim.h"

#include "abi.h"
#include "guard.h"
#include "nap.h"
#include "table.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	// Reads pass through a staging buffer of at most this size.
	staging_limit = 16 << 20,
	// wgpu copies every write into memory of its own, which it keeps until
	// the next submission is done.
	unsent_limit = 64 << 20,
	min_staging = 64 << 10,
};

static void fail(bn_device *d, int error, const char *message) {
	if (d->error == BN_LOST || (d->error && error != BN_LOST)) return;
	d->error = error;
	snprintf(d->message, sizeof d->message, "%s", message && message[0] ? message : "no reason was given");
}

static int lost(bn_device *d) {
	fail(d, BN_LOST, "the graphics driver gave up");
	return BN_LOST;
}

static void on_error(int kind, const char *message, void *userdata) {
	fail(userdata, kind == abi_error_out_of_memory ? BN_OUT_OF_MEMORY : BN_INVALID, message);
}

static void on_lost(int reason, const char *message, void *userdata) {
	(void)reason;
	fail(userdata, BN_LOST, message);
}

static void on_done(int status, void *userdata) {
	(void)status;
	((bn_device *)userdata)->done++;
}

static void on_mapped(int status, void *userdata) { ((bn_device *)userdata)->mapped = status == 0 ? 1 : -1; }

// begin forgets the last call's error, unless the device is lost for good.
static int begin(bn_device *d) {
	if (d->error == BN_LOST) return BN_LOST;
	d->error = BN_OK;
	d->message[0] = 0;
	return BN_OK;
}

#define CALL(d, call) \
	do { \
		if (begin(d)) return BN_LOST; \
		int result; \
		GUARD(result, call, lost(d)); \
		return result; \
	} while (0)

typedef struct {
	void *device;
	char *message;
	size_t size;
} request;

static void on_device(int status, void *device, const char *message, void *userdata) {
	request *r = userdata;
	if (status == 0) {
		r->device = device;
	} else {
		snprintf(r->message, r->size, "%s", message);
	}
}

static int open_device(bn_device *d, const bn_adapter *a, request *r) {
	// All bits set: wgpu's default for that limit.
	abi_limits_desc limits;
	memset(&limits, 0xff, sizeof limits);
	limits.next = NULL;
	limits.limits.buffer_size = a->buffer_size;
	limits.limits.storage_binding_size = a->binding_size;
	limits.limits.storage_alignment = (uint32_t)a->alignment;
	limits.limits.storage_buffers = a->storage_buffers;
	limits.limits.workgroup_memory = a->workgroup_memory;
	limits.limits.workgroup_invocations = a->workgroup_invocations;
	limits.limits.workgroup_size_x = a->workgroup_size_x;
	limits.limits.workgroups_per_dimension = a->workgroups_per_dimension;

	int features[2];
	size_t feature_count = 0;
	if (a->timestamps) features[feature_count++] = abi_timestamp_query;
	abi_limits_extras extras = {{NULL, abi_chain_required_limits}, bn_table_size, UINT32_MAX};
	if (a->uniform_table) {
		features[feature_count++] = abi_push_constants;
		limits.next = &extras;
		d->uniform_table = 1;
	}
	abi_device_desc desc = {
		.feature_count = feature_count,
		.features = features,
		.limits = &limits,
		.lost = on_lost,
		.lost_userdata = d,
		.uncaptured = {NULL, on_error, d},
	};
	wgpuAdapterRequestDevice(a->handle, &desc, on_device, r);
	if (!r->device) return BN_LOST;
	d->device = r->device;
	d->queue = wgpuDeviceGetQueue(d->device);
	return BN_OK;
}

bn_device *bn_open(const bn_adapter *adapter, char *message, size_t size) {
	bn_guard_install();
	bn_device *d = calloc(1, sizeof *d);
	if (!d) {
		snprintf(message, size, "out of memory");
		return NULL;
	}
	request r = {NULL, message, size};
	int result;
	GUARD(result, open_device(d, adapter, &r), lost(d));
	if (result) {
		if (!message[0]) snprintf(message, size, "%s", d->message[0] ? d->message : "no reason was given");
		free(d);
		return NULL;
	}
	return d;
}

// A blocking poll of wgpu returns after five seconds as if the work were done, so
// the driver polls without blocking and sleeps between two polls: briefly at
// first, for a fast GPU, then longer and longer, to leave the cores to a CPU
// adapter.
static void nap(long *ns) {
	bn_nap(*ns);
	if (*ns < 500000) *ns += *ns / 4;
}

static int wait_until(bn_device *d, uint64_t done) {
	long ns = 10000;
	if (d->done < done) wgpuDevicePoll(d->device, 0, NULL);
	while (d->done < done && !d->error) {
		nap(&ns);
		wgpuDevicePoll(d->device, 0, NULL);
	}
	return d->error;
}

static void submit(bn_device *d, void *commands) {
	wgpuQueueSubmit(d->queue, commands ? 1 : 0, &commands);
	if (commands) wgpuCommandBufferRelease(commands);
	d->submitted++;
	d->unsent = 0;
	wgpuQueueOnSubmittedWorkDone(d->queue, on_done, d);
}

// finish submits what an encoder has recorded, or nothing after an error.
static int finish(bn_device *d, void *encoder) {
	void *commands = wgpuCommandEncoderFinish(encoder, NULL);
	wgpuCommandEncoderRelease(encoder);
	if (d->error) {
		wgpuCommandBufferRelease(commands);
		return d->error;
	}
	submit(d, commands);
	return d->error;
}

static int wait_all(bn_device *d) {
	if (d->unsent) submit(d, NULL);
	return wait_until(d, d->submitted);
}

int bn_wait(bn_device *d) { CALL(d, wait_all(d)); }

static int close_device(bn_device *d) {
	// Releasing a device waits for it, for five seconds at most.
	wait_all(d);
	if (d->staging) wgpuBufferRelease(d->staging);
	wgpuQueueRelease(d->queue);
	wgpuDeviceRelease(d->device);
	return BN_OK;
}

int bn_close(bn_device *d) {
	if (begin(d) == BN_LOST) return BN_LOST; // whatever a lost device still holds may call back
	int result;
	GUARD(result, close_device(d), BN_LOST);
	if (result == BN_OK) free(d);
	return result;
}

static void *new_buffer(bn_device *d, const char *label, uint64_t size, uint32_t usage) {
	abi_buffer_desc desc = {.label = label, .usage = usage, .size = size};
	void *buffer = wgpuDeviceCreateBuffer(d->device, &desc);
	if (d->error) {
		wgpuBufferRelease(buffer);
		return NULL;
	}
	return buffer;
}

static int buffer_new(bn_device *d, const char *label, uint64_t size, void **buffer) {
	*buffer = new_buffer(d, label, size, abi_usage_storage | abi_usage_copy_src | abi_usage_copy_dst);
	return d->error;
}

int bn_buffer_new(bn_device *d, const char *label, uint64_t size, void **buffer) { CALL(d, buffer_new(d, label, size, buffer)); }

static int release(void (*free_one)(void *), void *handle) {
	free_one(handle);
	return BN_OK;
}

static void guarded_release(bn_device *d, void (*free_one)(void *), void *handle) {
	if (!handle || d->error == BN_LOST) return;
	int result;
	GUARD(result, release(free_one, handle), lost(d));
	(void)result;
}

void bn_buffer_free(bn_device *d, void *buffer) { guarded_release(d, wgpuBufferRelease, buffer); }

static int write_pieces(bn_device *d, void *buffer, uint64_t offset, const uint8_t *data, size_t size) {
	while (size > 0) {
		size_t n = size < staging_limit ? size : staging_limit;
		wgpuQueueWriteBuffer(d->queue, buffer, offset, data, n);
		d->unsent += n;
		if (d->unsent > unsent_limit) {
			submit(d, NULL);
			wait_until(d, d->submitted);
		}
		if (d->error) return d->error;
		offset += n;
		data += n;
		size -= n;
	}
	return BN_OK;
}

int bn_write(bn_device *d, void *buffer, uint64_t offset, const uint8_t *data, size_t size) {
	CALL(d, write_pieces(d, buffer, offset, data, size));
}

static int reserve_staging(bn_device *d, uint64_t size) {
	if (size <= d->staging_size) return BN_OK;
	uint64_t rounded = min_staging;
	while (rounded < size) rounded *= 2;
	void *staging = new_buffer(d, "staging", rounded, abi_usage_map_read | abi_usage_copy_dst);
	if (!staging) return d->error;
	if (d->staging) wgpuBufferRelease(d->staging);
	d->staging = staging;
	d->staging_size = rounded;
	return BN_OK;
}

static int map_staging(bn_device *d, uint8_t *dst, size_t size) {
	d->mapped = 0;
	wgpuBufferMapAsync(d->staging, abi_map_read, 0, size, on_mapped, d);
	if (d->error || wait_until(d, d->submitted)) return d->error;
	for (long ns = 10000; d->mapped == 0 && !d->error; nap(&ns)) wgpuDevicePoll(d->device, 0, NULL);
	if (d->mapped != 1) fail(d, BN_INVALID, "the buffer could not be mapped");
	if (d->error) return d->error;
	memcpy(dst, wgpuBufferGetConstMappedRange(d->staging, 0, size), size);
	wgpuBufferUnmap(d->staging);
	return d->error;
}

static int read_pieces(bn_device *d, void *buffer, uint64_t offset, uint8_t *dst, size_t size) {
	if (reserve_staging(d, size < staging_limit ? size : staging_limit)) return d->error;
	while (size > 0) {
		size_t n = size < staging_limit ? size : staging_limit;
		void *encoder = wgpuDeviceCreateCommandEncoder(d->device, NULL);
		wgpuCommandEncoderCopyBufferToBuffer(encoder, buffer, offset, d->staging, 0, n);
		if (finish(d, encoder) || map_staging(d, dst, n)) return d->error;
		offset += n;
		dst += n;
		size -= n;
	}
	return BN_OK;
}

int bn_read(bn_device *d, void *buffer, uint64_t offset, uint8_t *dst, size_t size) {
	CALL(d, read_pieces(d, buffer, offset, dst, size));
}

static void *bind_group_layout(bn_device *d, const uint8_t *writable, size_t count) {
	abi_layout_entry *entries = calloc(count ? count : 1, sizeof *entries);
	if (!entries) {
		fail(d, BN_OUT_OF_MEMORY, "out of memory");
		return NULL;
	}
	for (size_t i = 0; i < count; i++) {
		entries[i].binding = (uint32_t)i;
		entries[i].visibility = abi_stage_compute;
		entries[i].buffer.type = writable[i] ? abi_binding_storage : abi_binding_read_only;
	}
	abi_layout_desc desc = {.count = count, .entries = entries};
	void *layout = wgpuDeviceCreateBindGroupLayout(d->device, &desc);
	free(entries);
	return layout;
}

static int kernel_new(bn_device *d, const char *label, const char *wgsl, const uint8_t *writable, size_t count, bn_kernel *kernel) {
	void *pipeline = NULL;
	void *module = NULL, *pipeline_layout = NULL;
	void *layout = bind_group_layout(d, writable, count);
	if (!d->error) {
		abi_wgsl_desc source = {{NULL, abi_chain_wgsl}, wgsl};
		abi_module_desc desc = {.next = &source.chain, .label = label};
		module = wgpuDeviceCreateShaderModule(d->device, &desc);
	}
	if (!d->error) {
		abi_push_range range = {abi_stage_compute, 0, bn_table_size};
		abi_pipeline_layout_extras extras = {{NULL, abi_chain_pipeline_layout}, 1, &range};
		abi_pipeline_layout_desc desc = {.label = label, .count = 1, .layouts = &layout};
		if (d->uniform_table) desc.next = &extras.chain;
		pipeline_layout = wgpuDeviceCreatePipelineLayout(d->device, &desc);
	}
	if (!d->error) {
		abi_pipeline_desc desc = {.label = label, .layout = pipeline_layout, .stage = {.module = module, .entry = "main"}};
		pipeline = wgpuDeviceCreateComputePipeline(d->device, &desc);
	}
	if (pipeline_layout) wgpuPipelineLayoutRelease(pipeline_layout);
	if (module) wgpuShaderModuleRelease(module);
	if (d->error) {
		if (pipeline) wgpuComputePipelineRelease(pipeline);
		if (layout) wgpuBindGroupLayoutRelease(layout);
		return d->error;
	}
	kernel->pipeline = pipeline;
	kernel->layout = layout;
	return BN_OK;
}

int bn_kernel_new(bn_device *d, const char *label, const char *wgsl, const uint8_t *writable, size_t count, bn_kernel *kernel) {
	CALL(d, kernel_new(d, label, wgsl, writable, count, kernel));
}

void bn_kernel_free(bn_device *d, bn_kernel *kernel) {
	guarded_release(d, wgpuComputePipelineRelease, kernel->pipeline);
	guarded_release(d, wgpuBindGroupLayoutRelease, kernel->layout);
	kernel->pipeline = kernel->layout = NULL;
}

bn_program *bn_program_new(size_t count) {
	bn_program *p = calloc(1, sizeof *p + count * sizeof p->dispatches[0]);
	if (p) p->count = count;
	return p;
}

static int program_set(bn_device *d, bn_dispatch *dispatch, const bn_kernel *kernel, const bn_binding *bindings, size_t count, const uint32_t *groups) {
	abi_bind_entry *entries = calloc(count ? count : 1, sizeof *entries);
	if (!entries) {
		fail(d, BN_OUT_OF_MEMORY, "out of memory");
		return d->error;
	}
	for (size_t i = 0; i < count; i++) {
		entries[i].binding = (uint32_t)i;
		entries[i].buffer = bindings[i].buffer;
		entries[i].offset = bindings[i].offset;
		entries[i].size = bindings[i].size;
	}
	abi_bind_group_desc desc = {.layout = kernel->layout, .count = count, .entries = entries};
	void *group = wgpuDeviceCreateBindGroup(d->device, &desc);
	free(entries);
	if (d->error) {
		wgpuBindGroupRelease(group);
		return d->error;
	}
	dispatch->pipeline = kernel->pipeline;
	dispatch->bind_group = group;
	memcpy(dispatch->groups, groups, sizeof dispatch->groups);
	return BN_OK;
}

int bn_program_set(bn_device *d, bn_program *p, size_t i, const bn_kernel *kernel, const bn_binding *bindings, size_t count, const uint32_t *groups) {
	CALL(d, program_set(d, &p->dispatches[i], kernel, bindings, count, groups));
}

void bn_program_free(bn_device *d, bn_program *p) {
	for (size_t i = 0; i < p->count; i++) guarded_release(d, wgpuBindGroupRelease, p->dispatches[i].bind_group);
	free(p);
}

static void record(const bn_device *device, void *encoder, const bn_dispatch *dispatches, size_t count) {
	void *pass = wgpuCommandEncoderBeginComputePass(encoder, NULL);
	for (size_t i = 0; i < count; i++) {
		const bn_dispatch *d = &dispatches[i];
		wgpuComputePassEncoderSetPipeline(pass, d->pipeline);
		if (device->uniform_table) bn_table_set(pass);
		wgpuComputePassEncoderSetBindGroup(pass, 0, d->bind_group, 0, NULL);
		wgpuComputePassEncoderDispatchWorkgroups(pass, d->groups[0], d->groups[1], d->groups[2]);
	}
	wgpuComputePassEncoderEnd(pass);
	wgpuComputePassEncoderRelease(pass);
}

static int run(bn_device *d, const bn_program *p, size_t chunk) {
	if (wait_until(d, d->ends[0])) return d->error;
	for (size_t i = 0; i < p->count; i += chunk) {
		size_t n = p->count - i < chunk ? p->count - i : chunk;
		void *encoder = wgpuDeviceCreateCommandEncoder(d->device, NULL);
		record(d, encoder, &p->dispatches[i], n);
		if (finish(d, encoder)) return d->error;
	}
	d->ends[0] = d->ends[1];
	d->ends[1] = d->submitted;
	return BN_OK;
}

int bn_run(bn_device *d, const bn_program *p, size_t chunk) { CALL(d, run(d, p, chunk)); }

typedef struct {
	void *queries, *resolved;
	uint64_t *stamps;
} timer;

static void timer_free(timer *t) {
	if (t->queries) wgpuQuerySetRelease(t->queries);
	if (t->resolved) wgpuBufferRelease(t->resolved);
	free(t->stamps);
}

// timer_new makes room for n dispatches in one submission.
static int timer_new(bn_device *d, timer *t, size_t n) {
	memset(t, 0, sizeof *t);
	size_t size = 8 * (n + 1);
	t->stamps = malloc(size);
	if (!t->stamps) {
		fail(d, BN_OUT_OF_MEMORY, "out of memory");
		return d->error;
	}
	if (reserve_staging(d, size)) return d->error;
	t->resolved = new_buffer(d, "timestamps", size, abi_usage_query_resolve | abi_usage_copy_src);
	if (d->error) return d->error;
	abi_query_set_desc desc = {.type = abi_query_timestamp, .count = (uint32_t)n + 1};
	t->queries = wgpuDeviceCreateQuerySet(d->device, &desc);
	return d->error;
}

// timed_submit puts a timestamp before each dispatch and one after the last.
static int timed_submit(bn_device *d, timer *t, const bn_dispatch *dispatches, size_t n) {
	void *encoder = wgpuDeviceCreateCommandEncoder(d->device, NULL);
	for (size_t i = 0; i < n; i++) {
		wgpuCommandEncoderWriteTimestamp(encoder, t->queries, (uint32_t)i);
		record(d, encoder, &dispatches[i], 1);
	}
	wgpuCommandEncoderWriteTimestamp(encoder, t->queries, (uint32_t)n);
	wgpuCommandEncoderResolveQuerySet(encoder, t->queries, 0, (uint32_t)n + 1, t->resolved, 0);
	wgpuCommandEncoderCopyBufferToBuffer(encoder, t->resolved, 0, d->staging, 0, 8 * (n + 1));
	if (finish(d, encoder)) return d->error;
	return map_staging(d, (uint8_t *)t->stamps, 8 * (n + 1));
}

static int time_program(bn_device *d, const bn_program *p, size_t chunk, uint64_t *ticks) {
	timer t;
	timer_new(d, &t, chunk);
	for (size_t i = 0; i < p->count && !d->error; i += chunk) {
		size_t n = p->count - i < chunk ? p->count - i : chunk;
		if (timed_submit(d, &t, &p->dispatches[i], n)) break;
		for (size_t j = 0; j < n; j++) {
			ticks[2 * (i + j)] = t.stamps[j];
			ticks[2 * (i + j) + 1] = t.stamps[j + 1];
		}
	}
	timer_free(&t);
	return d->error;
}

int bn_time(bn_device *d, const bn_program *p, size_t chunk, uint64_t *ticks) { CALL(d, time_program(d, p, chunk, ticks)); }

static int tick(bn_device *d, uint64_t *now) {
	timer t;
	if (timer_new(d, &t, 0) == BN_OK && timed_submit(d, &t, NULL, 0) == BN_OK) *now = t.stamps[0];
	timer_free(&t);
	return d->error;
}

int bn_tick(bn_device *d, uint64_t *now) { CALL(d, tick(d, now)); }
