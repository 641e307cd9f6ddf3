#include "abi.h"
#include "guard.h"
#include "shim.h"
#include "table.h"

#include <stdio.h>
#include <string.h>

#if defined(_WIN32)
#include <windows.h>

// Wine translates DX12 to the Vulkan that is there anyway, and has no shader compiler for it.
static int under_wine(void) {
	HMODULE ntdll = GetModuleHandleA("ntdll.dll");
	return ntdll && GetProcAddress(ntdll, "wine_get_version");
}

static unsigned backends(void) { return abi_backend_vulkan | (under_wine() ? 0 : abi_backend_dx12); }
#elif defined(__APPLE__)
static unsigned backends(void) { return abi_backend_metal; }
#else
static unsigned backends(void) { return abi_backend_vulkan; }
#endif

enum { max_adapters = 64 };

// The C interface reports an adapter's name but not its driver's version. That is
// only in a line that wgpu logs for each adapter as it lists them:
// Adapter Vulkan AdapterInfo { name: "...", ..., driver: "...", driver_info: "...", ... }
static char drivers[max_adapters][256];
static size_t drivers_seen;

static int quoted(const char *line, const char *key, char *out, size_t size) {
	const char *from = strstr(line, key);
	if (!from) return 0;
	from += strlen(key);
	const char *to = strchr(from, '"');
	if (!to || (size_t)(to - from) >= size) return 0;
	memcpy(out, from, to - from);
	out[to - from] = 0;
	return 1;
}

static void on_log(int level, const char *message, void *userdata) {
	(void)level, (void)userdata;
	if (strncmp(message, "Adapter ", 8) != 0 || drivers_seen == max_adapters) return;
	char name[120] = "", info[120] = "";
	quoted(message, " driver: \"", name, sizeof name);
	quoted(message, " driver_info: \"", info, sizeof info);
	snprintf(drivers[drivers_seen++], sizeof drivers[0], "%s%s%s", name, name[0] && info[0] ? " " : "", info);
}

static void describe(void *handle, bn_adapter *a) {
	memset(a, 0, sizeof *a);
	a->handle = handle;

	abi_adapter_info info;
	memset(&info, 0, sizeof info);
	wgpuAdapterGetInfo(handle, &info);
	// The module links a newer wgpu-native on Linux on Arm than elsewhere. There device is the name;
	// in the older one it is a number, and description is the name.
	const char *name = info.device && info.device[0] && strncmp(info.device, "0x", 2) ? info.device : info.description;
	snprintf(a->name, sizeof a->name, "%s", name);
	a->backend = info.backend;
	a->type = info.type;
	a->vendor_id = info.vendor_id;
	a->device_id = info.device_id;
	wgpuAdapterInfoFreeMembers(info);

	a->timestamps = wgpuAdapterHasFeature(handle, abi_timestamp_query) & 1;
	// Only llvmpipe needs the table.
	a->uniform_table = strncmp(a->name, "llvmpipe", 8) == 0 && bn_table_offered() && (wgpuAdapterHasFeature(handle, abi_push_constants) & 1);

	abi_limits_desc desc;
	memset(&desc, 0, sizeof desc);
	wgpuAdapterGetLimits(handle, &desc);
	a->buffer_size = desc.limits.buffer_size;
	a->binding_size = desc.limits.storage_binding_size;
	a->alignment = desc.limits.storage_alignment;
	a->storage_buffers = desc.limits.storage_buffers;
	a->workgroup_memory = desc.limits.workgroup_memory;
	a->workgroup_invocations = desc.limits.workgroup_invocations;
	a->workgroup_size_x = desc.limits.workgroup_size_x;
	a->workgroups_per_dimension = desc.limits.workgroups_per_dimension;
}

static size_t list(bn_adapter *out, size_t max) {
	abi_instance_extras extras = {.chain = {NULL, abi_chain_instance}, .backends = backends()};
	abi_instance_desc desc = {&extras.chain};
	void *instance = wgpuCreateInstance(&desc);
	if (!instance) return 0;

	void *handles[max_adapters];
	abi_enumerate_options options = {NULL, backends()};
	drivers_seen = 0;
	size_t n = wgpuInstanceEnumerateAdapters(instance, &options, handles);
	if (n > max) n = max;
	for (size_t i = 0; i < n; i++) {
		describe(handles[i], &out[i]);
		if (drivers_seen == n) memcpy(out[i].driver, drivers[i], sizeof drivers[i]);
	}
	return n;
}

size_t bn_adapters(bn_adapter *out, size_t max) {
	bn_guard_install();
	wgpuSetLogCallback(on_log, NULL);
	wgpuSetLogLevel(abi_log_info);
	size_t n;
	GUARD(n, list(out, max), 0);
	wgpuSetLogLevel(abi_log_off);
	return n;
}
