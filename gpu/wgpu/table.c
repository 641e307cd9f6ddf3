#include "table.h"

#include <stddef.h>
#include <stdint.h>

#if defined(__linux__)

// Weak, so that a library without it links too.
extern void wgpu_compute_pass_set_push_constant(void *pass, uint32_t offset, uint32_t size, const void *data) __attribute__((weak));

static const uint32_t table[bn_table_size / 4] = {
	0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31,
	32, 33, 34, 35, 36, 37, 38, 39, 40, 41, 42, 43, 44, 45, 46, 47, 48, 49, 50, 51, 52, 53, 54, 55, 56, 57, 58, 59, 60, 61, 62, 63,
};

int bn_table_offered(void) { return wgpu_compute_pass_set_push_constant != NULL; }

void bn_table_set(void *pass) {
	// wgpu-native's handle of a pass begins with two pointers of its own
	// before wgpu-core's; the check when a device is listed would show another
	// layout.
	void *core = ((void **)pass)[2];
	wgpu_compute_pass_set_push_constant(core, 0, sizeof table, table);
}

#else

int bn_table_offered(void) { return 0; }
void bn_table_set(void *pass) { (void)pass; }

#endif
