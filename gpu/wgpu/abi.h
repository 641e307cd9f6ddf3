// The part of wgpu-native's C interface that this driver calls. Package webgpu
// links the library; its Go wrappers are not used, because they hand C the
// addresses of Go variables for callbacks that come later, leave fields of
// descriptors unset, and allocate on every call. abi_test.go holds these
// declarations against the header that comes with the library.
#ifndef BITNET_WGPU_ABI_H
#define BITNET_WGPU_ABI_H

#include <stddef.h>
#include <stdint.h>

typedef struct {
	const void *next;
	int type;
} abi_chain;

enum {
	abi_chain_wgsl = 6,
	abi_chain_required_limits = 0x00030002,
	abi_chain_pipeline_layout = 0x00030003,
	abi_chain_instance = 0x00030006,

	abi_backend_vulkan = 1 << 0,
	abi_backend_metal = 1 << 2,
	abi_backend_dx12 = 1 << 3,

	abi_timestamp_query = 3,
	abi_push_constants = 0x00030001,
	abi_query_timestamp = 1,
	abi_stage_compute = 4,
	abi_map_read = 1,

	abi_usage_map_read = 0x1,
	abi_usage_copy_src = 0x4,
	abi_usage_copy_dst = 0x8,
	abi_usage_storage = 0x80,
	abi_usage_query_resolve = 0x200,

	abi_binding_storage = 2,
	abi_binding_read_only = 3,

	abi_error_out_of_memory = 2,
	abi_log_off = 0,
	abi_log_info = 3,
};

typedef void (*abi_error_callback)(int kind, const char *message, void *userdata);
typedef void (*abi_lost_callback)(int reason, const char *message, void *userdata);
typedef void (*abi_status_callback)(int status, void *userdata);
typedef void (*abi_device_callback)(int status, void *device, const char *message, void *userdata);
typedef void (*abi_log_callback)(int level, const char *message, void *userdata);

typedef struct {
	const abi_chain *next;
} abi_instance_desc;

typedef struct {
	abi_chain chain;
	uint32_t backends, flags;
	int dx12_compiler, gles_version;
	const char *dxil_path, *dxc_path;
} abi_instance_extras;

typedef struct {
	const abi_chain *next;
	uint32_t backends;
} abi_enumerate_options;

typedef struct {
	void *next;
	char *vendor, *architecture, *device, *description;
	int backend, type;
	uint32_t vendor_id, device_id;
} abi_adapter_info;

typedef struct {
	uint32_t texture_1d, texture_2d, texture_3d, texture_layers;
	uint32_t bind_groups, bind_groups_and_vertex_buffers, bindings;
	uint32_t dynamic_uniform_buffers, dynamic_storage_buffers;
	uint32_t sampled_textures, samplers, storage_buffers, storage_textures, uniform_buffers;
	uint64_t uniform_binding_size, storage_binding_size;
	uint32_t uniform_alignment, storage_alignment;
	uint32_t vertex_buffers;
	uint64_t buffer_size;
	uint32_t vertex_attributes, vertex_stride;
	uint32_t inter_stage_components, inter_stage_variables;
	uint32_t color_attachments, color_attachment_bytes;
	uint32_t workgroup_memory, workgroup_invocations;
	uint32_t workgroup_size_x, workgroup_size_y, workgroup_size_z;
	uint32_t workgroups_per_dimension;
} abi_limits;

// The same layout for what an adapter supports and what a device requires.
typedef struct {
	void *next;
	abi_limits limits;
} abi_limits_desc;

typedef struct {
	abi_chain chain;
	uint32_t push_constants, non_sampler_bindings;
} abi_limits_extras;

typedef struct {
	const abi_chain *next;
	const char *label;
} abi_label_desc;

typedef struct {
	const abi_chain *next;
	const char *label;
	size_t feature_count;
	const int *features;
	const abi_limits_desc *limits;
	abi_label_desc queue;
	abi_lost_callback lost;
	void *lost_userdata;
	struct {
		const abi_chain *next;
		abi_error_callback callback;
		void *userdata;
	} uncaptured;
} abi_device_desc;

typedef struct {
	const abi_chain *next;
	const char *label;
	uint32_t usage;
	uint64_t size;
	uint32_t mapped;
} abi_buffer_desc;

typedef struct {
	abi_chain chain;
	const char *code;
} abi_wgsl_desc;

typedef struct {
	const abi_chain *next;
	const char *label;
	size_t hint_count;
	const void *hints;
} abi_module_desc;

typedef struct {
	const abi_chain *next;
	uint32_t binding, visibility;
	struct {
		const abi_chain *next;
		int type;
		uint32_t dynamic_offset;
		uint64_t min_size;
	} buffer;
	struct {
		const abi_chain *next;
		int type;
	} sampler;
	struct {
		const abi_chain *next;
		int sample_type, dimension;
		uint32_t multisampled;
	} texture;
	struct {
		const abi_chain *next;
		int access, format, dimension;
	} storage_texture;
} abi_layout_entry;

typedef struct {
	const abi_chain *next;
	const char *label;
	size_t count;
	const abi_layout_entry *entries;
} abi_layout_desc;

typedef struct {
	const abi_chain *next;
	const char *label;
	size_t count;
	void *const *layouts;
} abi_pipeline_layout_desc;

typedef struct {
	uint32_t stages, start, end;
} abi_push_range;

typedef struct {
	abi_chain chain;
	size_t count;
	const abi_push_range *ranges;
} abi_pipeline_layout_extras;

typedef struct {
	const abi_chain *next;
	const char *label;
	void *layout;
	struct {
		const abi_chain *next;
		void *module;
		const char *entry;
		size_t constant_count;
		const void *constants;
	} stage;
} abi_pipeline_desc;

typedef struct {
	const abi_chain *next;
	uint32_t binding;
	void *buffer;
	uint64_t offset, size;
	void *sampler, *texture;
} abi_bind_entry;

typedef struct {
	const abi_chain *next;
	const char *label;
	void *layout;
	size_t count;
	const abi_bind_entry *entries;
} abi_bind_group_desc;

typedef struct {
	const abi_chain *next;
	const char *label;
	int type;
	uint32_t count;
} abi_query_set_desc;

#ifndef BITNET_ABI_TYPES_ONLY
void wgpuSetLogCallback(abi_log_callback, void *);
void wgpuSetLogLevel(int);

void *wgpuCreateInstance(const abi_instance_desc *);
size_t wgpuInstanceEnumerateAdapters(void *, const abi_enumerate_options *, void **);
void wgpuAdapterGetInfo(void *, abi_adapter_info *);
void wgpuAdapterInfoFreeMembers(abi_adapter_info);
uint32_t wgpuAdapterGetLimits(void *, abi_limits_desc *);
uint32_t wgpuAdapterHasFeature(void *, int);
void wgpuAdapterRequestDevice(void *, const abi_device_desc *, abi_device_callback, void *);

void *wgpuDeviceGetQueue(void *);
void wgpuDeviceRelease(void *);
uint32_t wgpuDevicePoll(void *, uint32_t, const void *);
void *wgpuDeviceCreateBuffer(void *, const abi_buffer_desc *);
void *wgpuDeviceCreateShaderModule(void *, const abi_module_desc *);
void *wgpuDeviceCreateBindGroupLayout(void *, const abi_layout_desc *);
void *wgpuDeviceCreatePipelineLayout(void *, const abi_pipeline_layout_desc *);
void *wgpuDeviceCreateComputePipeline(void *, const abi_pipeline_desc *);
void *wgpuDeviceCreateBindGroup(void *, const abi_bind_group_desc *);
void *wgpuDeviceCreateQuerySet(void *, const abi_query_set_desc *);
void *wgpuDeviceCreateCommandEncoder(void *, const abi_label_desc *);

void *wgpuCommandEncoderBeginComputePass(void *, const void *);
void wgpuCommandEncoderCopyBufferToBuffer(void *, void *, uint64_t, void *, uint64_t, uint64_t);
void wgpuCommandEncoderWriteTimestamp(void *, void *, uint32_t);
void wgpuCommandEncoderResolveQuerySet(void *, void *, uint32_t, uint32_t, void *, uint64_t);
void *wgpuCommandEncoderFinish(void *, const abi_label_desc *);
void wgpuCommandEncoderRelease(void *);
void wgpuCommandBufferRelease(void *);
void wgpuComputePassEncoderSetPipeline(void *, void *);
void wgpuComputePassEncoderSetBindGroup(void *, uint32_t, void *, size_t, const uint32_t *);
void wgpuComputePassEncoderDispatchWorkgroups(void *, uint32_t, uint32_t, uint32_t);
void wgpuComputePassEncoderEnd(void *);
void wgpuComputePassEncoderRelease(void *);

void wgpuQueueSubmit(void *, size_t, void *const *);
void wgpuQueueOnSubmittedWorkDone(void *, abi_status_callback, void *);
void wgpuQueueWriteBuffer(void *, void *, uint64_t, const void *, size_t);
void wgpuQueueRelease(void *);

void wgpuBufferMapAsync(void *, uint32_t, size_t, size_t, abi_status_callback, void *);
const void *wgpuBufferGetConstMappedRange(void *, size_t, size_t);
void wgpuBufferUnmap(void *);
void wgpuBufferRelease(void *);
void wgpuShaderModuleRelease(void *);
void wgpuBindGroupLayoutRelease(void *);
void wgpuPipelineLayoutRelease(void *);
void wgpuComputePipelineRelease(void *);
void wgpuBindGroupRelease(void *);
void wgpuQuerySetRelease(void *);
#endif

#endif
