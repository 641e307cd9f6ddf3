// The calls that the Go side of the driver makes. A whole program is recorded
// and submitted by one of them, without an allocation in Go and without a
// callback into Go.
#ifndef BITNET_WGPU_SHIM_H
#define BITNET_WGPU_SHIM_H

#include <stddef.h>
#include <stdint.h>

// What every call returns; the device's message has the details. After BN_LOST a
// device returns nothing but BN_LOST.
enum { BN_OK = 0, BN_INVALID = 1, BN_OUT_OF_MEMORY = 2, BN_LOST = 3 };

typedef struct {
	void *handle;
	char name[256], driver[256];
	int backend, type;
	uint32_t vendor_id, device_id;
	int timestamps, uniform_table;
	uint64_t buffer_size, binding_size, alignment;
	uint32_t storage_buffers, workgroup_memory, workgroup_invocations, workgroup_size_x, workgroups_per_dimension;
} bn_adapter;

typedef struct {
	void *device, *queue;
	void *staging;
	uint64_t staging_size;
	// Submissions handed over and known to be done.
	uint64_t submitted, done;
	// Value of submitted after each of the last two runs.
	uint64_t ends[2];
	// Bytes of writes that no submission has carried yet.
	uint64_t unsent;
	int mapped;
	int uniform_table; // every kernel gets the table
	int error;
	char message[8192];
} bn_device;

typedef struct {
	void *pipeline, *layout;
} bn_kernel;

typedef struct {
	void *buffer;
	uint64_t offset, size;
} bn_binding;

typedef struct {
	void *pipeline, *bind_group;
	uint32_t groups[3];
} bn_dispatch;

typedef struct {
	size_t count;
	bn_dispatch dispatches[];
} bn_program;

// bn_adapters lists at most max adapters of the backends this system uses and
// returns how many there are. It is called once a process.
size_t bn_adapters(bn_adapter *out, size_t max);

// bn_open returns NULL and a message if the adapter gives no device.
bn_device *bn_open(const bn_adapter *adapter, char *message, size_t size);
int bn_close(bn_device *d);

int bn_buffer_new(bn_device *d, const char *label, uint64_t size, void **buffer);
void bn_buffer_free(bn_device *d, void *buffer);
int bn_write(bn_device *d, void *buffer, uint64_t offset, const uint8_t *data, size_t size);
int bn_read(bn_device *d, void *buffer, uint64_t offset, uint8_t *dst, size_t size);

// writable has one byte a binding.
int bn_kernel_new(bn_device *d, const char *label, const char *wgsl, const uint8_t *writable, size_t count, bn_kernel *kernel);
void bn_kernel_free(bn_device *d, bn_kernel *kernel);

bn_program *bn_program_new(size_t count);
int bn_program_set(bn_device *d, bn_program *p, size_t i, const bn_kernel *kernel, const bn_binding *bindings, size_t count, const uint32_t *groups);
void bn_program_free(bn_device *d, bn_program *p);

// bn_run submits a program, `chunk` dispatches at a time, and returns without
// waiting for it, unless two earlier runs are unfinished.
int bn_run(bn_device *d, const bn_program *p, size_t chunk);

// bn_time runs a program once and fills ticks with two a dispatch, before and
// after it.
int bn_time(bn_device *d, const bn_program *p, size_t chunk, uint64_t *ticks);

// bn_tick reads the adapter's clock, whose unit is unknown (see calibrate in
// device.go).
int bn_tick(bn_device *d, uint64_t *now);

// bn_wait blocks until all that was submitted is done.
int bn_wait(bn_device *d);

#endif
