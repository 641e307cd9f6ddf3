#include "nap.h"

#ifdef _WIN32

#include <windows.h>

#ifndef CREATE_WAITABLE_TIMER_HIGH_RESOLUTION
#define CREATE_WAITABLE_TIMER_HIGH_RESOLUTION 0x00000002
#endif

// Sleep rounds up to the system's clock tick, up to 16 ms, which is longer than
// many training steps. A high-resolution timer (Windows 10, version 1803) wakes
// within half a millisecond.
void bn_nap(long ns) {
	HANDLE timer = CreateWaitableTimerExW(NULL, NULL, CREATE_WAITABLE_TIMER_HIGH_RESOLUTION, TIMER_ALL_ACCESS);
	LARGE_INTEGER due = {.QuadPart = -(ns / 100 > 0 ? ns / 100 : 1)}; // in 100 ns; negative: from now
	if (timer && SetWaitableTimer(timer, &due, 0, NULL, NULL, FALSE)) {
		WaitForSingleObject(timer, INFINITE);
	} else {
		Sleep(ns < 1000000 ? 1 : (DWORD)(ns / 1000000));
	}
	if (timer) CloseHandle(timer);
}

#else

#include <time.h>

void bn_nap(long ns) {
	struct timespec t = {0, ns};
	nanosleep(&t, NULL);
}

#endif
