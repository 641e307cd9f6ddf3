#ifndef BITNET_MPI_H
#define BITNET_MPI_H

#include <stdint.h>

// What bitnet uses of MPI, of either ABI: in Open MPI's a handle is the address
// of an exported object, in MPICH's (and Intel MPI's) an int. A request keeps
// either. All functions return MPI's error code, 0 for success.

// mpi_load opens a library and finds the functions. It returns NULL, or what
// went wrong, which stays until the next call.
const char *mpi_load(const char *path);
int mpi_is_open_mpi(void);
// mpi_init starts MPI for one thread and makes the world return errors. Signal
// handlers stay as they were.
int mpi_init(int *rank, int *size);
int mpi_isend(const void *data, int bytes, int to, int tag, intptr_t *request);
int mpi_irecv(void *data, int bytes, int from, int tag, intptr_t *request);
int mpi_test(intptr_t *request, int *done);
int mpi_finalize(void);
void mpi_abort(int code);
void mpi_error_text(int code, char *text); // of at least 1024 bytes
void mpi_library_text(char *text);         // of at least 8192 bytes

#endif
