#include "guard.h"

#ifndef _WIN32
#include <pthread.h>
#include <signal.h>
#include <string.h>

__thread sigjmp_buf bn_guard_jump;
__thread volatile int bn_guard_armed;

static struct sigaction before;

static void on_abort(int sig, siginfo_t *info, void *context) {
	if (bn_guard_armed) {
		bn_guard_armed = 0;
		siglongjmp(bn_guard_jump, 1);
	}
	if (before.sa_flags & SA_SIGINFO) {
		before.sa_sigaction(sig, info, context);
	} else if (before.sa_handler != SIG_DFL && before.sa_handler != SIG_IGN) {
		before.sa_handler(sig);
	} else {
		signal(SIGABRT, SIG_DFL);
		raise(SIGABRT);
	}
}

static void install(void) {
	struct sigaction ours;
	memset(&ours, 0, sizeof ours);
	ours.sa_sigaction = on_abort;
	// SA_NODEFER: the jump out of the handler must not leave SIGABRT blocked.
	ours.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
	sigaction(SIGABRT, &ours, &before);
}

void bn_guard_install(void) {
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	pthread_once(&once, install);
}
#endif
