// wgpu-native answers some faults (a device lost at a submission, a bug of its
// own) with a panic, which ends in abort(). GUARD runs a call and comes back
// with BN_LOST instead, after which that device must not be touched again.
#ifndef BITNET_WGPU_GUARD_H
#define BITNET_WGPU_GUARD_H

#ifdef _WIN32
#define GUARD(result, call, failed) ((result) = (call))
static inline void bn_guard_install(void) {}
#else
#include <setjmp.h>

extern __thread sigjmp_buf bn_guard_jump;
extern __thread volatile int bn_guard_armed;

// bn_guard_install takes SIGABRT over once a process; an abort outside of a
// guarded call goes to the handler that was there before.
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
