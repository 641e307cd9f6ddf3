//go:build unix

#define _GNU_SOURCE
#include "mpi.h"

#include <dlfcn.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

enum {
	thread_funneled = 1, // in both ABIs: only the thread that called MPI_Init_thread calls MPI
	mpich_world = 0x44000000,
	mpich_byte = 0x4c00010d,
	mpich_errors_return = 0x54000001,
};

// The functions of MPI that need no handles, and those that do in either form.
static struct {
	int (*init_thread)(int *, char ***, int, int *);
	int (*finalize)(void);
	int (*error_string)(int, char *, int *);
	int (*library_version)(char *, int *);
	void *rank, *size, *isend, *irecv, *test, *set_errhandler, *abort;
} f;

static void *library;
static int open_mpi;
static void *world, *bytes, *errors_return; // of Open MPI

static const struct {
	const char *name;
	void *to;
} functions[] = {
	{"MPI_Init_thread", &f.init_thread}, {"MPI_Finalize", &f.finalize}, {"MPI_Error_string", &f.error_string},
	{"MPI_Get_library_version", &f.library_version}, {"MPI_Comm_rank", &f.rank}, {"MPI_Comm_size", &f.size},
	{"MPI_Isend", &f.isend}, {"MPI_Irecv", &f.irecv}, {"MPI_Test", &f.test},
	{"MPI_Comm_set_errhandler", &f.set_errhandler}, {"MPI_Abort", &f.abort},
};

const char *mpi_load(const char *path) {
	// Global: the parts that Open MPI loads by itself look for symbols of the library.
	library = dlopen(path, RTLD_NOW | RTLD_GLOBAL);
	if (!library) return dlerror();
	for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) {
		void *found = dlsym(library, functions[i].name);
		if (!found) return dlerror();
		memcpy(functions[i].to, &found, sizeof found);
	}
	world = dlsym(library, "ompi_mpi_comm_world");
	bytes = dlsym(library, "ompi_mpi_byte");
	errors_return = dlsym(library, "ompi_mpi_errors_return");
	open_mpi = world && bytes && errors_return;
	return NULL;
}

int mpi_is_open_mpi(void) { return open_mpi; }

// Go needs its own handlers of these signals; some MPI libraries replace them.
static const int kept[] = {SIGHUP, SIGINT, SIGQUIT, SIGILL, SIGABRT, SIGFPE, SIGBUS, SIGSEGV, SIGTERM, SIGUSR1, SIGUSR2, SIGPIPE, SIGCHLD, SIGURG};
enum { kept_signals = sizeof kept / sizeof *kept };

int mpi_init(int *rank, int *size) {
	struct sigaction before[kept_signals];
	for (int i = 0; i < kept_signals; i++) sigaction(kept[i], NULL, &before[i]);
	int provided = 0;
	int code = f.init_thread(NULL, NULL, thread_funneled, &provided);
	for (int i = 0; i < kept_signals; i++) sigaction(kept[i], &before[i], NULL);
	if (code) return code;
	if (open_mpi) {
		if ((code = ((int (*)(void *, void *))f.set_errhandler)(world, errors_return))) return code;
		if ((code = ((int (*)(void *, int *))f.rank)(world, rank))) return code;
		return ((int (*)(void *, int *))f.size)(world, size);
	}
	if ((code = ((int (*)(int, int))f.set_errhandler)(mpich_world, mpich_errors_return))) return code;
	if ((code = ((int (*)(int, int *))f.rank)(mpich_world, rank))) return code;
	return ((int (*)(int, int *))f.size)(mpich_world, size);
}

int mpi_isend(const void *data, int n, int to, int tag, intptr_t *request) {
	if (open_mpi)
		return ((int (*)(const void *, int, void *, int, int, void *, void **))f.isend)(data, n, bytes, to, tag, world, (void **)request);
	return ((int (*)(const void *, int, int, int, int, int, int *))f.isend)(data, n, mpich_byte, to, tag, mpich_world, (int *)request);
}

int mpi_irecv(void *data, int n, int from, int tag, intptr_t *request) {
	if (open_mpi)
		return ((int (*)(void *, int, void *, int, int, void *, void **))f.irecv)(data, n, bytes, from, tag, world, (void **)request);
	return ((int (*)(void *, int, int, int, int, int, int *))f.irecv)(data, n, mpich_byte, from, tag, mpich_world, (int *)request);
}

int mpi_test(intptr_t *request, int *done) {
	if (open_mpi) return ((int (*)(void **, int *, void *))f.test)((void **)request, done, NULL); // MPI_STATUS_IGNORE is 0
	return ((int (*)(int *, int *, void *))f.test)((int *)request, done, (void *)1);              // and 1 here
}

int mpi_finalize(void) { return f.finalize(); }

void mpi_abort(int code) {
	if (open_mpi)
		((int (*)(void *, int))f.abort)(world, code);
	else
		((int (*)(int, int))f.abort)(mpich_world, code);
}

void mpi_error_text(int code, char *text) {
	int n = 0;
	if (f.error_string(code, text, &n)) snprintf(text, 64, "error %d", code);
}

void mpi_library_text(char *text) {
	int n = 0;
	if (f.library_version(text, &n)) text[0] = 0;
}
