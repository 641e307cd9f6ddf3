// wgpu-native panics on some faults (a device lost at a submission, a bug of its
// own), and a panic ends in abort(). GUARD runs a call and returns BN_LOST instead;
// after that nobody may use the device. On Windows abort() cannot be caught like
// this, so there the process ends.
#ifndef BITNET_WGPU_GUARD_H
#define BITNET_WGPU_GUARD_H

#ifdef _WIN32
#define GUARD(result, call, failed) ((result) = (call))
static inline void bn_guard_install(void) {}
#else
#include <setjmp.h>

extern __thread sigjmp_buf bn_guard_jump;
extern __thread volatile int bn_guard_armed;

// bn_guard_install handles SIGABRT from then on; it has an effect once a process.
// An abort outside of a guarded call goes to the handler that was there before.
void bn_guard_install(void);

#define GUARD(result, call, failed) \
	do { \
		if (sigsetjmp(bn_guard_jump, 0) == 0) { \
			bn_guard_armed = 1; \
			(result) = (call); \
			bn_guard_armed = 0; \
		} else { \
			(result) = (failed); \
		} \
	} while (0)
#endif

#endif
