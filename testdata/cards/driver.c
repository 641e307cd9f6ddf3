// A Vulkan driver for a card that is not there. It hands every call to a driver of Mesa and writes
// what that one's compiler says of each compute pipeline to stderr, a line "NAME: NUMBER" each; with
// BITNET_CARD_ASM in the environment also the machine code.
//
// For NVIDIA's cards nouveau.c is the rest of it. With NOTHING_RUNS the driver is RADV, which
// compiles for a chosen card of AMD without having one (RADV_FORCE_FAMILY), but has no memory then
// and runs nothing: this one says that there is memory, and leaves out what would run.
//
// With NO_ARITHMETIC the driver is lavapipe, whose memory and copies are real: only the kernels are left
// out, so that a step costs what surrounds the arithmetic. Nothing is printed then.
//
// Only the compiler's work is real: every result is whatever memory held.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifndef DRIVER
#error "DRIVER is the path of a Vulkan driver of Mesa"
#endif

typedef void (*function)(void);
typedef int32_t result; // VkResult, 0 for success

static function (*instance_function)(void *instance, const char *name);
static function (*device_function)(void *device, const char *name);
static function my_device_function(void *device, const char *name);

// The structs of Vulkan are as its specification lays them out.
struct device_info {
	uint32_t type;
	void *next;
	uint32_t flags, queue_count;
	const void *queues;
	uint32_t layer_count;
	const void *layers;
	uint32_t extension_count;
	const char *const *extensions;
	const void *features;
};
struct compute_info { uint32_t type; void *next; uint32_t flags; uint64_t stage[6], layout, base; int32_t base_index; };
struct executable { uint32_t type; void *next; uint64_t pipeline; uint32_t index; };
struct about { uint32_t type; void *next; uint32_t stages; char name[256], text[256]; uint32_t subgroup; };
struct statistic { uint32_t type; void *next; char name[256], text[256]; uint32_t format; uint64_t value; };
struct representation { uint32_t type; void *next; char name[256], text[256]; uint32_t is_text; size_t size; char *data; };
enum { PIPELINE = 1000269001, ABOUT, EXECUTABLE, STATISTIC, REPRESENTATION };
enum { MOST = 64 };

static result (*create_device)(void *card, const struct device_info *info, const void *allocator, void **device);
static result (*create_compute)(void *device, uint64_t cache, uint32_t n, const struct compute_info *infos, const void *allocator, uint64_t *pipelines);

// The extension that tells of compiled pipelines has to be asked for.
static result my_create_device(void *card, const struct device_info *info, const void *allocator, void **device) {
	struct device_info mine = *info;
	const char **list = malloc((info->extension_count + 1) * sizeof *list);
	if (info->extension_count) memcpy(list, info->extensions, info->extension_count * sizeof *list);
	list[mine.extension_count++] = "VK_KHR_pipeline_executable_properties";
	mine.extensions = list;
	result r = create_device(card, &mine, allocator, device);
	free(list);
	return r;
}

static void print_statistics(void *device, struct executable of) {
	result (*get)(void *, const struct executable *, uint32_t *, struct statistic *) = (void *)device_function(device, "vkGetPipelineExecutableStatisticsKHR");
	struct statistic list[MOST] = {0};
	uint32_t n = MOST;
	for (int i = 0; i < MOST; i++) list[i].type = STATISTIC;
	of.type = EXECUTABLE;
	if (!get || get(device, &of, &n, list)) return;
	for (uint32_t i = 0; i < n; i++)
		if (list[i].format < 3) fprintf(stderr, "%s: %llu\n", list[i].name, (unsigned long long)list[i].value); // whole numbers
}

static void print_code(void *device, struct executable of) {
	result (*get)(void *, const struct executable *, uint32_t *, struct representation *) = (void *)device_function(device, "vkGetPipelineExecutableInternalRepresentationsKHR");
	struct representation list[MOST] = {0};
	uint32_t n = MOST;
	for (int i = 0; i < MOST; i++) list[i].type = REPRESENTATION;
	of.type = EXECUTABLE;
	if (!get || get(device, &of, &n, list)) return;
	for (uint32_t i = 0; i < n; i++) list[i].data = malloc(list[i].size);
	if (get(device, &of, &n, list)) return;
	for (uint32_t i = 0; i < n; i++) {
		if (list[i].is_text) fprintf(stderr, "=== %s\n%.*s\n", list[i].name, (int)list[i].size, list[i].data);
		free(list[i].data);
	}
}

static result my_create_compute(void *device, uint64_t cache, uint32_t n, const struct compute_info *infos, const void *allocator, uint64_t *pipelines) {
	int code = getenv("BITNET_CARD_ASM") != NULL;
	for (uint32_t i = 0; i < n; i++) {
		struct compute_info mine = infos[i];
		mine.flags |= 0x40 | (code ? 0x80 : 0); // capture statistics, and code
		result r = create_compute(device, cache, 1, &mine, allocator, &pipelines[i]);
		if (r) return r;
		result (*get)(void *, const struct executable *, uint32_t *, struct about *) = (void *)device_function(device, "vkGetPipelineExecutablePropertiesKHR");
		struct executable of = {PIPELINE, NULL, pipelines[i], 0};
		uint32_t count = 0;
		if (!get || get(device, &of, &count, NULL)) continue;
		for (; of.index < count; of.index++) {
			print_statistics(device, of);
			if (code) print_code(device, of);
		}
	}
	return 0;
}

static result nothing(void) { return 0; }

#ifdef NOTHING_RUNS
struct memory_properties {
	uint32_t type_count;
	struct { uint32_t flags, heap; } types[32];
	uint32_t heap_count;
	struct { uint64_t size; uint32_t flags; } heaps[16];
};
struct memory_properties2 { uint32_t type; void *next; struct memory_properties properties; };
struct requirements { uint64_t size, alignment; uint32_t types; };
struct requirements2 { uint32_t type; void *next; struct requirements requirements; };

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

static result create(void *device, const void *info, const void *allocator, uint64_t *handle) {
	*handle = 1;
	return 0;
}
static result counter(void *device, uint64_t semaphore, uint64_t *value) {
	*value = 1ull << 62; // all that was submitted has run
	return 0;
}
#endif

static int starts(const char *name, const char *with) { return strncmp(name, with, strlen(with)) == 0; }

// wrap puts own functions in the place of the driver's.
static function wrap(const char *name, function real) {
	static const struct { const char *name; function *real; function mine; } own[] = {
		{"vkGetDeviceProcAddr", (function *)&device_function, (function)my_device_function},
#ifndef NO_ARITHMETIC
		{"vkCreateDevice", (function *)&create_device, (function)my_create_device},
		{"vkCreateComputePipelines", (function *)&create_compute, (function)my_create_compute},
#endif
#ifdef NOTHING_RUNS
		{"vkGetPhysicalDeviceMemoryProperties", (function *)&memory_properties, (function)my_memory_properties},
		{"vkGetPhysicalDeviceMemoryProperties2", (function *)&memory_properties2, (function)my_memory_properties2},
		{"vkGetBufferMemoryRequirements", (function *)&buffer_requirements, (function)my_buffer_requirements},
		{"vkGetBufferMemoryRequirements2", (function *)&buffer_requirements2, (function)my_buffer_requirements2},
		{"vkGetDeviceBufferMemoryRequirements", (function *)&device_requirements, (function)my_device_requirements},
#endif
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
	function real = wrap(name, device_function(device, name));
#ifdef NO_ARITHMETIC
	if (real && starts(name, "vkCmdDispatch")) return (function)nothing;
#endif
#ifdef NOTHING_RUNS
	static const char *const idle[] = {"vkCmd", "vkQueue", "vkWait", "vkBeginCommandBuffer", "vkEndCommandBuffer",
		"vkGetFenceStatus", "vkResetFences", "vkDeviceWaitIdle", "vkDestroyFence", "vkDestroySemaphore"};
	if (!real) return real;
	for (size_t i = 0; i < sizeof idle / sizeof *idle; i++)
		if (starts(name, idle[i])) return (function)nothing;
	if (!strcmp(name, "vkCreateFence") || !strcmp(name, "vkCreateSemaphore")) return (function)create;
	if (starts(name, "vkGetSemaphoreCounterValue")) return (function)counter;
#endif
	return real;
}

static void *driver(const char *symbol) {
	static void *library;
	if (!library && !(library = dlopen(DRIVER, RTLD_NOW | RTLD_LOCAL))) {
		fprintf(stderr, "%s\n", dlerror());
		abort();
	}
	return dlsym(library, symbol);
}

// What the Vulkan loader asks of a driver.
function vk_icdGetInstanceProcAddr(void *instance, const char *name) {
	instance_function = (function(*)(void *, const char *))driver("vk_icdGetInstanceProcAddr");
	return wrap(name, instance_function(instance, name));
}
function vk_icdGetPhysicalDeviceProcAddr(void *instance, const char *name) {
	return wrap(name, ((function(*)(void *, const char *))driver("vk_icdGetPhysicalDeviceProcAddr"))(instance, name));
}
result vk_icdNegotiateLoaderICDInterfaceVersion(uint32_t *version) {
	return ((result(*)(uint32_t *))driver("vk_icdNegotiateLoaderICDInterfaceVersion"))(version);
}
