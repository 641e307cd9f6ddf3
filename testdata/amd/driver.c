// A Vulkan driver for a card that is not there. Mesa's RADV compiles kernels for a chosen AMD card
// without having one (RADV_FORCE_FAMILY), but it has no memory and runs nothing then. This driver
// hands every call to RADV, says that there is memory, and leaves out what would run.
// Only the compiler's work is real: every result is whatever memory held.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifndef RADV
#error "RADV is the path of Mesa's library for AMD cards"
#endif

typedef void (*function)(void);
typedef int32_t result; // VkResult, 0 for success

// The structs of Vulkan that are changed, as its specification lays them out.
struct memory_properties {
	uint32_t type_count;
	struct { uint32_t flags, heap; } types[32];
	uint32_t heap_count;
	struct { uint64_t size; uint32_t flags; } heaps[16];
};
struct memory_properties2 { uint32_t type; void *next; struct memory_properties properties; };
struct requirements { uint64_t size, alignment; uint32_t types; };
struct requirements2 { uint32_t type; void *next; struct requirements requirements; };

static function (*instance_function)(void *instance, const char *name);
static function (*device_function)(void *device, const char *name);
static void (*memory_properties)(void *card, struct memory_properties *m);
static void (*memory_properties2)(void *card, struct memory_properties2 *m);
static void (*buffer_requirements)(void *device, uint64_t buffer, struct requirements *r);
static void (*buffer_requirements2)(void *device, const void *buffer, struct requirements2 *r);
static void (*device_requirements)(void *device, const void *buffer, struct requirements2 *r);

// One heap of 24 GB, on the card and seen by the host.
static void fill(struct memory_properties *m) {
	memset(m, 0, sizeof *m);
	m->type_count = m->heap_count = 1;
	m->types[0].flags = 15;
	m->heaps[0].size = 24ull << 30;
	m->heaps[0].flags = 1;
}

static void my_memory_properties(void *card, struct memory_properties *m) { fill(m); }
static void my_memory_properties2(void *card, struct memory_properties2 *m) {
	memory_properties2(card, m); // what is chained behind it
	fill(&m->properties);
}
static void my_buffer_requirements(void *device, uint64_t buffer, struct requirements *r) {
	buffer_requirements(device, buffer, r);
	r->types = 1;
}
static void my_buffer_requirements2(void *device, const void *buffer, struct requirements2 *r) {
	buffer_requirements2(device, buffer, r);
	r->requirements.types = 1;
}
static void my_device_requirements(void *device, const void *buffer, struct requirements2 *r) {
	device_requirements(device, buffer, r);
	r->requirements.types = 1;
}

static result nothing(void) { return 0; }
static result create(void *device, const void *info, const void *allocator, uint64_t *handle) {
	*handle = 1;
	return 0;
}
static result counter(void *device, uint64_t semaphore, uint64_t *value) {
	*value = 1ull << 62; // all that was submitted has run
	return 0;
}
static function my_device_function(void *device, const char *name);

static int starts(const char *name, const char *with) { return strncmp(name, with, strlen(with)) == 0; }

// wrap puts own functions in the place of RADV's.
static function wrap(const char *name, function real) {
	static const struct { const char *name; function *real; function mine; } own[] = {
		{"vkGetDeviceProcAddr", (function *)&device_function, (function)my_device_function},
		{"vkGetPhysicalDeviceMemoryProperties", (function *)&memory_properties, (function)my_memory_properties},
		{"vkGetPhysicalDeviceMemoryProperties2", (function *)&memory_properties2, (function)my_memory_properties2},
		{"vkGetBufferMemoryRequirements", (function *)&buffer_requirements, (function)my_buffer_requirements},
		{"vkGetBufferMemoryRequirements2", (function *)&buffer_requirements2, (function)my_buffer_requirements2},
		{"vkGetDeviceBufferMemoryRequirements", (function *)&device_requirements, (function)my_device_requirements},
	};
	if (!real) return real;
	for (size_t i = 0; i < sizeof own / sizeof *own; i++) {
		size_t n = strlen(own[i].name);
		if (starts(name, own[i].name) && (!name[n] || !strcmp(name + n, "KHR"))) {
			*own[i].real = real;
			return own[i].mine;
		}
	}
	return real;
}

static function my_device_function(void *device, const char *name) {
	static const char *const idle[] = {"vkCmd", "vkQueue", "vkWait", "vkBeginCommandBuffer", "vkEndCommandBuffer",
		"vkGetFenceStatus", "vkResetFences", "vkDeviceWaitIdle", "vkDestroyFence", "vkDestroySemaphore"};
	function real = wrap(name, device_function(device, name));
	if (!real) return real;
	for (size_t i = 0; i < sizeof idle / sizeof *idle; i++)
		if (starts(name, idle[i])) return (function)nothing;
	if (!strcmp(name, "vkCreateFence") || !strcmp(name, "vkCreateSemaphore")) return (function)create;
	if (starts(name, "vkGetSemaphoreCounterValue")) return (function)counter;
	return real;
}

static void *radv(const char *symbol) {
	static void *library;
	if (!library && !(library = dlopen(RADV, RTLD_NOW | RTLD_LOCAL))) {
		fprintf(stderr, "%s\n", dlerror());
		abort();
	}
	return dlsym(library, symbol);
}

// What the Vulkan loader asks of a driver.
function vk_icdGetInstanceProcAddr(void *instance, const char *name) {
	instance_function = (function(*)(void *, const char *))radv("vk_icdGetInstanceProcAddr");
	return wrap(name, instance_function(instance, name));
}
function vk_icdGetPhysicalDeviceProcAddr(void *instance, const char *name) {
	return wrap(name, ((function(*)(void *, const char *))radv("vk_icdGetPhysicalDeviceProcAddr"))(instance, name));
}
result vk_icdNegotiateLoaderICDInterfaceVersion(uint32_t *version) {
	return ((result(*)(uint32_t *))radv("vk_icdNegotiateLoaderICDInterfaceVersion"))(version);
}
